"""Workers over HTTP: heartbeats, leases and reports."""

import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from application.commands import RequestKey
from interfaces.http.recent_answers import RecentAnswers
from tests.interfaces.service import Service

NOBODY = "018f6a3e-1c2b-7d4e-9f00-0123456789ab"


@pytest.fixture
def worker(service: Service, admin: httpx.Client) -> Iterator[httpx.Client]:
    """An agent's program; its base is the agent's own path."""
    made = admin.post("/v1/agents", json={"name": "reviewer", "capabilities": ["review"]}).json()
    with service.machine(made["client_id"], made["client_secret"]) as worker:
        worker.base_url = httpx.URL(f"{service.url}/v1/agents/{made['agent_id']}")
        worker.post("/heartbeat", json={}).raise_for_status()
        yield worker


def submit(client: httpx.Client, **task: Any) -> str:
    answer = client.post("/v1/tasks", json={"kind": "review"} | task).raise_for_status()
    return str(answer.json()["task_id"])


def lease(worker: httpx.Client) -> dict[str, Any]:
    answer = worker.post("/leases", json={"slots": 1, "wait_seconds": 20}).raise_for_status()
    (granted,) = answer.json()["leases"]
    found: dict[str, Any] = granted
    return found


def report(worker: httpx.Client, *reports: dict[str, Any], **headers: str) -> httpx.Response:
    return worker.post("/reports", json={"reports": reports}, headers=headers)


def test_work_is_leased_with_all_that_it_takes(admin: httpx.Client, worker: httpx.Client) -> None:
    task_id = submit(admin, input={"file": "a.py"}, labels={"team": "x"}, timeout_seconds=60)

    found = lease(worker)

    assert found | {"lease_expires_at": ""} == {
        "task_id": task_id,
        "attempt": 1,
        "kind": "review",
        "input": {"file": "a.py"},
        "timeout_seconds": 60,
        "lease_expires_at": "",
        "labels": {"team": "x"},
        "lessons": [],
        "collaboration_id": None,
    }


def test_a_heartbeat_says_how_to_go_on(admin: httpx.Client, worker: httpx.Client) -> None:
    attempt = {"task_id": submit(admin), "attempt": 1}
    lease(worker)
    lost = {"task_id": NOBODY, "attempt": 3}

    answer = worker.post(
        "/heartbeat", json={"cpu": 50, "memory": 12.5, "queue": 3, "running": [attempt, lost]}
    )

    assert answer.json() == {
        "state": "available",
        "cancel": [],
        "lost": [lost],
        "lease_seconds": 30.0,
        "heartbeat_seconds": 10.0,
    }


def test_a_cancelled_task_is_to_be_stopped(admin: httpx.Client, worker: httpx.Client) -> None:
    attempt = {"task_id": submit(admin), "attempt": 1}
    lease(worker)
    admin.post(f"/v1/tasks/{attempt['task_id']}/cancel").raise_for_status()

    answer = worker.post("/heartbeat", json={"running": [attempt]}).json()

    assert attempt in answer["cancel"] + answer["lost"]


def test_reports_have_an_outcome_each_in_order(admin: httpx.Client, worker: httpx.Client) -> None:
    attempt = {"task_id": submit(admin), "attempt": 1}
    lease(worker)

    answer = report(
        worker,
        attempt | {"type": "started"},
        attempt | {"type": "progress", "fraction": 0.5, "message": "half way"},
        attempt | {"type": "completed", "result": {"verdict": "fine"}},
        attempt | {"type": "completed", "result": {"verdict": "late"}},
        {"task_id": NOBODY, "attempt": 1, "type": "started"},
    )

    assert answer.status_code == 200
    outcomes = answer.json()["outcomes"]
    assert [outcome["accepted"] for outcome in outcomes] == [True, True, True, False, False]
    assert [outcome["error"]["code"] for outcome in outcomes[3:]] == ["stale_attempt", "not_found"]
    assert [outcome["version"] for outcome in outcomes[:3]] == [3, 4, 5]
    path = f"/v1/tasks/{attempt['task_id']}"
    found = admin.get(path, params={"seen": outcomes[2]["cursor"]}).json()
    assert (found["status"], found["result"]) == ("completed", {"verdict": "fine"})


@pytest.mark.parametrize(("retryable", "status"), [(True, "scheduled"), (False, "failed")])
def test_a_failure_is_tried_again_when_that_may_help(
    admin: httpx.Client, worker: httpx.Client, retryable: bool, status: str
) -> None:
    attempt = {"task_id": submit(admin), "attempt": 1}
    lease(worker)
    error = {"code": "boom", "message": "It went wrong."}

    failed = attempt | {"type": "failed", "error": error, "retryable": retryable}
    outcome = report(worker, failed).json()["outcomes"][0]

    path = f"/v1/tasks/{attempt['task_id']}"
    found = admin.get(path, params={"seen": outcome["cursor"]}).json()
    assert (found["status"], found["error"]) == (status, error)


def test_work_that_was_given_back_costs_no_attempt(
    admin: httpx.Client, worker: httpx.Client
) -> None:
    attempt = {"task_id": submit(admin, max_attempts=1), "attempt": 1}
    lease(worker)

    report(worker, attempt | {"type": "released"}).raise_for_status()

    assert lease(worker)["attempt"] == 2


def test_repeated_reports_get_the_first_outcomes_again(
    admin: httpx.Client, worker: httpx.Client
) -> None:
    attempt = {"task_id": submit(admin), "attempt": 1}
    lease(worker)
    reports = [attempt | {"type": "started"}, attempt | {"type": "completed", "result": 1}]
    first = worker.post("/reports", json={"reports": reports}, headers={"Idempotency-Key": "1"})

    again = worker.post("/reports", json={"reports": reports}, headers={"Idempotency-Key": "1"})
    other = worker.post("/reports", json={"reports": reports[:1]}, headers={"Idempotency-Key": "1"})

    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_lost_lease_is_found_again_by_the_key_of_its_request(
    admin: httpx.Client, worker: httpx.Client
) -> None:
    submit(admin)
    wanted = {"json": {"slots": 1, "wait_seconds": 20}, "headers": {"Idempotency-Key": "1"}}
    first = worker.post("/leases", **wanted)  # type: ignore[arg-type]

    again = worker.post("/leases", **wanted)  # type: ignore[arg-type]
    other = worker.post("/leases", json={"slots": 2}, headers={"Idempotency-Key": "1"})

    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_an_empty_wait_may_be_repeated(admin: httpx.Client, worker: httpx.Client) -> None:
    key = {"Idempotency-Key": "1"}
    body = {"slots": 1, "wait_seconds": 1}
    empty = worker.post("/leases", json=body, headers=key)

    submit(admin)
    again = worker.post("/leases", json=body, headers=key)

    assert empty.json()["leases"] == []
    assert len(again.json()["leases"]) == 1


def test_answers_are_kept_for_a_while_only() -> None:
    now = [0.0]
    recent = RecentAnswers(clock=lambda: now[0])
    key = RequestKey(command_id=uuid4(), fingerprint=b"1")
    recent.keep(key, b"answer")
    recent.keep(None, b"of nobody")

    assert recent.find(key) == b"answer"
    assert recent.find(None) is None
    now[0] = 61
    assert recent.find(key) is None


def test_answers_about_an_erased_subject_are_forgotten_and_no_others() -> None:
    now = [0.0]
    recent = RecentAnswers(clock=lambda: now[0])
    keys = [RequestKey(command_id=uuid4(), fingerprint=b"1") for _ in range(5)]
    ada, bob = uuid4(), uuid4()
    recent.keep(keys[0], b"ada's", about=[ada])
    recent.keep(keys[1], b"bob's", about=[bob])
    recent.keep(keys[2], b"nobody's")

    recent.forget(ada)
    recent.keep(keys[3], b"ada's, made before", about=[bob, ada])
    found = [recent.find(key) for key in keys]
    now[0] = 61
    recent.keep(keys[4], b"[erased]", about=[ada])

    assert found == [None, b"bob's", b"nobody's", None, None]
    assert recent.find(keys[4]) == b"[erased]"


def test_answers_are_kept_up_to_a_number_of_bytes() -> None:
    recent = RecentAnswers()
    keys = [RequestKey(command_id=uuid4(), fingerprint=b"1") for _ in range(5)]

    for key in keys:
        recent.keep(key, b"x" * (10 * 2**20))

    assert [recent.find(key) is not None for key in keys] == [False, False, True, True, True]


def test_an_empty_wait_ends_in_time(worker: httpx.Client) -> None:
    began = time.monotonic()

    answer = worker.post("/leases", json={"slots": 1, "wait_seconds": 0.5})

    assert answer.json() == {"leases": [], "cancel": [], "state": "available"}
    assert 0.4 < time.monotonic() - began < 5


def test_a_wait_ends_with_the_work(admin: httpx.Client, worker: httpx.Client) -> None:
    submitter = threading.Timer(0.3, lambda: submit(admin))
    submitter.start()

    began = time.monotonic()
    lease(worker)
    submitter.join()

    assert time.monotonic() - began < 10


def test_a_worker_that_hung_up_is_given_nothing(
    service: Service, admin: httpx.Client, worker: httpx.Client
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        worker.post("/leases", json={"slots": 1, "wait_seconds": 30}, timeout=0.3)
    deadline = time.monotonic() + 10
    while b"http_requests_open 1.0" not in admin.get("/metrics").content:
        assert time.monotonic() < deadline, "the wait of the one who hung up goes on"

    task_id = submit(admin)

    assert lease(worker)["task_id"] == task_id


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/heartbeat", {"cpu": 101}),
        ("/heartbeat", {"cpu": -0.1}),
        ("/heartbeat", {"cpu": "12"}),
        ("/heartbeat", {"queue": -1}),
        ("/heartbeat", {"running": [{"task_id": NOBODY}]}),
        ("/heartbeat", {"running": [{"task_id": NOBODY, "attempt": 0}]}),
        ("/leases", {"slots": 0}),
        ("/leases", {"slots": 1, "wait_seconds": 31}),
        ("/reports", {"reports": []}),
        ("/reports", {}),
        ("/reports", {"reports": [{"task_id": NOBODY, "attempt": 1, "type": "x"}]}),
    ],
)
def test_what_makes_no_sense_is_refused(
    worker: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    answer = worker.post(path, json=body)

    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_body"
