"""One Idempotency-Key stands for one request of a principal, on whatever paths it is used."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.interfaces.service import Service


def uses() -> dict[str, tuple[str, Any]]:
    """Ways for an administrator to use a key; each of them works."""
    return {
        "task": ("/v1/tasks", {"kind": "a"}),
        "other task": ("/v1/tasks", {"kind": "b"}),
        "batch": ("/v1/tasks/batch", {"tasks": [{"kind": "a"}]}),
        "client": ("/v1/clients", {"name": uuid4().hex, "scopes": ["tasks:read"]}),
        "user": ("/v1/users", {"username": uuid4().hex, "scopes": ["tasks:read"]}),
    }


@pytest.fixture
def worker(shared_service: Service, shared_admin: httpx.Client) -> Iterator[httpx.Client]:
    """An agent's program; its base is the agent's own path."""
    body = {"name": uuid4().hex, "capabilities": ["review"]}
    made = shared_admin.post("/v1/agents", json=body).json()
    with shared_service.machine(made["client_id"], made["client_secret"]) as worker:
        worker.base_url = httpx.URL(f"{shared_service.url}/v1/agents/{made['agent_id']}")
        yield worker


def forget_keys(service: Service) -> None:
    """As a process that has just begun has never known them."""
    service.process.accounts.keys._recent.clear()
    service.process._writer._recent_keys.clear()


def require_reused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize(("first", "second"), list(permutations(uses(), 2)))
def test_a_key_that_was_used_elsewhere_is_refused(
    shared_service: Service, shared_admin: httpx.Client, first: str, second: str, forgotten: bool
) -> None:
    ways, key = uses(), {"Idempotency-Key": uuid4().hex}
    path, body = ways[first]
    shared_admin.post(path, json=body, headers=key).raise_for_status()
    if forgotten:
        forget_keys(shared_service)

    path, body = ways[second]
    require_reused(shared_admin.post(path, json=body, headers=key))


@pytest.mark.parametrize("use", list(uses()))
@pytest.mark.parametrize("forgotten", [False, True])
def test_the_same_request_is_answered_again(
    shared_service: Service, shared_admin: httpx.Client, use: str, forgotten: bool
) -> None:
    (path, body), key = uses()[use], {"Idempotency-Key": uuid4().hex}
    first = shared_admin.post(path, json=body, headers=key).raise_for_status()
    if forgotten:
        forget_keys(shared_service)

    again = shared_admin.post(path, json=body, headers=key)

    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (first.status_code, "true")


def test_a_heartbeat_under_a_used_key_is_refused(worker: httpx.Client) -> None:
    key = {"Idempotency-Key": "k"}
    worker.post("/heartbeat", json={"cpu": 1}, headers=key).raise_for_status()

    worker.post("/heartbeat", json={"cpu": 1}, headers=key).raise_for_status()
    require_reused(worker.post("/heartbeat", json={"cpu": 2}, headers=key))
    require_reused(worker.post("/leases", json={"slots": 1}, headers=key))


def test_reports_count_by_what_they_left_in_the_log(
    shared_service: Service, shared_admin: httpx.Client, worker: httpx.Client
) -> None:
    shared_admin.post("/v1/tasks", json={"kind": "x", "requires": ["review"]}).raise_for_status()
    (lease,) = worker.post("/leases", json={"slots": 1, "wait_seconds": 20}).json()["leases"]
    about = {"task_id": lease["task_id"], "attempt": lease["attempt"]}
    reports = {"reports": [about | {"type": "completed", "result": 1}]}
    key = {"Idempotency-Key": "r"}
    worker.post("/reports", json=reports, headers=key).raise_for_status()
    require_reused(worker.post("/heartbeat", json={}, headers=key))
    forget_keys(shared_service)

    again = worker.post("/reports", json=reports, headers=key)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    forget_keys(shared_service)
    other = {"reports": [about | {"type": "completed", "result": 2}]}
    require_reused(worker.post("/reports", json=other, headers=key))


def test_a_rebuild_under_a_used_key_is_refused(admin: httpx.Client) -> None:
    key = {"Idempotency-Key": "k"}
    admin.post("/v1/tasks", json={"kind": "a"}, headers=key).raise_for_status()

    require_reused(admin.post("/v1/read-models/task_board/rebuild", headers=key))


def test_a_request_that_failed_leaves_its_key_free(shared_admin: httpx.Client) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    body = {"kind": "a", "parent_id": str(uuid4())}
    assert shared_admin.post("/v1/tasks", json=body, headers=key).status_code == 404

    answer = shared_admin.post("/v1/tasks", json={"kind": "a"}, headers=key)

    assert answer.status_code == 202


def test_of_many_requests_at_once_under_one_key_one_is_done(shared_admin: httpx.Client) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    bodies: list[tuple[str, Any]] = [("/v1/tasks", {"kind": f"k{n}"}) for n in range(8)]
    bodies += [("/v1/tasks/batch", {"tasks": [{"kind": f"k{n}"}]}) for n in range(8)]
    with ThreadPoolExecutor(16) as threads:
        answers = list(
            threads.map(lambda use: shared_admin.post(use[0], json=use[1], headers=key), bodies)
        )

    assert sorted(answer.status_code for answer in answers) == [202] + [422] * 15


@pytest.mark.parametrize("path", ["/v1/users", "/v1/users/{user_id}/secret"])
@pytest.mark.parametrize("given_first", [True, False])
def test_a_password_given_or_not_makes_another_request(
    shared_admin: httpx.Client, path: str, given_first: bool
) -> None:
    made = shared_admin.post("/v1/users", json=uses()["user"][1]).json()
    body = uses()["user"][1] if path == "/v1/users" else {}
    bodies = [body | {"password": "correct horse"}, body]
    first, second = bodies if given_first else reversed(bodies)
    path, key = path.format(user_id=made["user_id"]), {"Idempotency-Key": uuid4().hex}
    shared_admin.post(path, json=first, headers=key).raise_for_status()

    require_reused(shared_admin.post(path, json=second, headers=key))
    assert shared_admin.post(path, json=first, headers=key).status_code in {200, 201}
