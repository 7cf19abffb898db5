"""Subjects over HTTP: what is personal is shown until it is erased, and by nobody afterwards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import psycopg
import pytest

from tests.conftest import Database
from tests.interfaces.service import Service

SUBJECT = "customer-4711"
CANARY = "Ada Lovelace, 10 December 1815"
ERASED = "[erased]"

NOBODY = "018f6a3e-1c2b-7d4e-9f00-0123456789ab"


@pytest.fixture
def worker(service: Service, admin: httpx.Client) -> Iterator[httpx.Client]:
    """An agent's program; its base is the agent's own path."""
    made = admin.post("/v1/agents", json={"name": "reviewer", "capabilities": ["review"]}).json()
    with service.machine(made["client_id"], made["client_secret"]) as worker:
        worker.base_url = httpx.URL(f"{service.url}/v1/agents/{made['agent_id']}")
        worker.post("/heartbeat", json={}).raise_for_status()
        yield worker


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """One key, and one frame that may hold another."""
    monkeypatch.setattr("application.erasure.keyring.KEYS_MAX", 1)
    monkeypatch.setattr("application.live.hub.RECENT_MAX", 1)


def submit(client: httpx.Client, **task: Any) -> str:
    body = {"kind": "review", "subject": SUBJECT, "input": {"name": CANARY}} | task
    return str(client.post("/v1/tasks", json=body).raise_for_status().json()["task_id"])


def ask_for_work(worker: httpx.Client, *, wait_seconds: float = 20, key: str) -> httpx.Response:
    body = {"slots": 1, "wait_seconds": wait_seconds}
    answer = worker.post("/leases", json=body, headers={"Idempotency-Key": key})
    return answer.raise_for_status()


def lease(worker: httpx.Client) -> dict[str, Any]:
    answer = ask_for_work(worker, key=uuid4().hex)
    (granted,) = answer.json()["leases"]
    found: dict[str, Any] = granted
    return found


def report(worker: httpx.Client, held: dict[str, Any], kind: str, **what: Any) -> None:
    one = {"task_id": held["task_id"], "attempt": held["attempt"], "type": kind, **what}
    (outcome,) = (
        worker.post("/reports", json={"reports": [one]}).raise_for_status().json()["outcomes"]
    )
    assert outcome["accepted"], outcome


def erase(client: httpx.Client, subject: str = SUBJECT) -> httpx.Response:
    return client.post(f"/v1/subjects/{subject}/erase")


def task_of(client: httpx.Client, task_id: str) -> dict[str, Any]:
    head = client.get("/v1/events", params={"limit": 1000}).json()["next_cursor"]
    answer = client.get(f"/v1/tasks/{task_id}", params={"seen": head}).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def events_of(client: httpx.Client, task_id: str) -> dict[str, dict[str, Any]]:
    answer = client.get("/v1/events", params={"aggregate_id": task_id}).raise_for_status()
    return {event["type"]: event["data"] for event in answer.json()["items"]}


def rows(database: Database, statement: str) -> list[Any]:
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("SET search_path = musterroll")
        return connection.execute(statement).fetchall()


def test_what_is_personal_is_shown_to_whoever_may_read_the_task(
    admin: httpx.Client, worker: httpx.Client
) -> None:
    task_id = submit(admin)

    held = lease(worker)
    report(worker, held, "progress", fraction=0.5, message=f"half of {CANARY}")
    report(worker, held, "completed", result=[CANARY, 1])

    assert held["input"] == {"name": CANARY}
    shown = task_of(admin, task_id)
    assert (shown["input"], shown["result"]) == ({"name": CANARY}, [CANARY, 1])
    events = events_of(admin, task_id)
    assert events["task.submitted"]["input"] == {"name": CANARY}
    assert events["task.progressed"]["message"] == f"half of {CANARY}"
    assert events["task.completed"]["result"] == [CANARY, 1]


def test_what_is_personal_is_gone_once_its_subject_is_erased(
    admin: httpx.Client, worker: httpx.Client
) -> None:
    failed, cancelled = submit(admin, max_attempts=1), submit(admin, approval=True)
    held = lease(worker)
    report(worker, held, "failed", error={"code": "boom", "message": f"no {CANARY}"})
    admin.post(f"/v1/tasks/{cancelled}/cancel", json={"reason": f"for {CANARY}"})
    before = task_of(admin, failed), task_of(admin, cancelled)

    answer = erase(admin).raise_for_status().json()

    assert before[0]["error"] == {"code": "boom", "message": f"no {CANARY}"}
    assert before[1]["error"] == {"code": "cancelled", "message": f"for {CANARY}"}
    after = task_of(admin, failed), task_of(admin, cancelled)
    assert [one["input"] for one in after] == [ERASED, ERASED]
    assert [one["error"]["message"] for one in after] == [ERASED, ERASED]
    assert (after[0]["status"], after[0]["attempt"]) == ("failed", 1)
    texts = [one["text"] for one in admin.get("/v1/activity").json()["items"]]
    assert f"The task was cancelled: {ERASED}." in texts
    everything = admin.get("/v1/events", params={"limit": 1000}).text
    assert CANARY not in everything
    assert "$sealed" not in everything
    assert events_of(admin, answer["subject_id"]) == {"subject.erased": {"tenant": "default"}}


def test_a_task_without_a_subject_and_one_of_another_stay_as_they_were(
    admin: httpx.Client, worker: httpx.Client
) -> None:
    submit(admin)
    plain, other = submit(admin, subject=None), submit(admin, subject="customer-4712")

    erase(admin).raise_for_status()

    assert task_of(admin, plain)["input"] == {"name": CANARY}
    assert task_of(admin, other)["input"] == {"name": CANARY}


def test_nothing_more_is_taken_about_an_erased_subject(admin: httpx.Client) -> None:
    submit(admin)
    key = {"Idempotency-Key": "first"}
    body = {"kind": "review", "subject": SUBJECT, "input": CANARY}
    first = admin.post("/v1/tasks", json=body, headers=key).json()
    erase(admin)

    again = admin.post("/v1/tasks", json=body)
    repeated = admin.post("/v1/tasks", json=body, headers=key)
    batch = admin.post("/v1/tasks/batch", json={"tasks": [body, body | {"subject": None}]})

    assert (again.status_code, again.json()["code"]) == (409, "subject_erased")
    assert repeated.json() == first
    refused, taken = batch.json()["outcomes"]
    assert refused["error"]["code"] == "subject_erased"
    assert "task_id" in taken


def test_the_outcome_of_an_attempt_counts_after_the_erasure_and_its_content_does_not(
    database: Database, admin: httpx.Client, worker: httpx.Client
) -> None:
    task_id = submit(admin)
    held = lease(worker)
    erase(admin)

    report(worker, held, "completed", result={"name": CANARY})

    shown = task_of(admin, task_id)
    assert (shown["status"], shown["result"]) == ("completed", ERASED)
    [(state,)] = rows(database, "SELECT state FROM events WHERE topic = 'task.completed'")
    assert orjson.loads(bytes(state))["result"] == ERASED


def test_a_lease_that_is_asked_for_again_does_not_tell_what_was_erased(
    admin: httpx.Client, worker: httpx.Client
) -> None:
    submit(admin)
    (first,) = ask_for_work(worker, wait_seconds=1, key="lease").json()["leases"]
    (again,) = ask_for_work(worker, wait_seconds=1, key="lease").json()["leases"]
    erase(admin)

    answer = ask_for_work(worker, wait_seconds=1, key="lease")

    assert first["input"] == again["input"] == {"name": CANARY}
    assert CANARY not in answer.text


def test_a_lease_is_forgotten_too_when_the_key_was_gone_from_memory_by_then(
    short_memory: None, admin: httpx.Client, worker: httpx.Client
) -> None:
    task_id = submit(admin)
    (first,) = ask_for_work(worker, wait_seconds=1, key="lease").json()["leases"]
    # The other is the one key that stays in memory.
    other = submit(admin, subject="customer-4712", approval=True)
    assert task_of(admin, other)["input"] == {"name": CANARY}
    erase(admin)

    answer = ask_for_work(worker, wait_seconds=1, key="lease")

    assert (first["task_id"], first["input"]) == (task_id, {"name": CANARY})
    assert CANARY not in answer.text


def test_the_keys_of_a_batch_are_there_until_it_is_decided(
    short_memory: None, admin: httpx.Client
) -> None:
    bodies = [{"kind": "review", "subject": f"customer-{n}", "input": CANARY} for n in range(9)]

    answer = admin.post("/v1/tasks/batch", json={"tasks": bodies}).raise_for_status()

    ids = [outcome["task_id"] for outcome in answer.json()["outcomes"]]
    assert [task_of(admin, one)["input"] for one in ids] == [CANARY] * 9


def test_a_worker_that_comes_after_the_erasure_is_not_told(
    admin: httpx.Client, worker: httpx.Client
) -> None:
    submit(admin)
    erase(admin)

    held = lease(worker)

    assert held["input"] == ERASED


def test_erasing_again_changes_nothing(admin: httpx.Client, database: Database) -> None:
    submit(admin)
    known = admin.get(f"/v1/subjects/{SUBJECT}").json()

    first, second = erase(admin).json(), erase(admin).json()

    erased = admin.get(f"/v1/subjects/{SUBJECT}").json()
    assert (known["subject"], known["state"], known["erased_at"]) == (SUBJECT, "known", None)
    assert (erased["state"], erased["subject_id"]) == ("erased", first["subject_id"])
    assert first["subject_id"] == second["subject_id"]
    assert second["version"] == 1
    assert rows(database, "SELECT count(*) FROM events WHERE topic = 'subject.erased'") == [(1,)]


def test_a_subject_that_is_not_as_expected_is_not_erased(admin: httpx.Client) -> None:
    task_id = submit(admin)
    path, another = f"/v1/subjects/{SUBJECT}/erase", {"If-Match": '"77"'}

    refused = admin.post(path, headers=another)
    before = admin.get(f"/v1/tasks/{task_id}").json()["input"]
    erase(admin)
    refused_again = admin.post(path, headers=another)

    assert (refused.status_code, refused.json()["code"]) == (412, "version_mismatch")
    assert before != ERASED
    assert refused_again.status_code == 412


@pytest.mark.parametrize("subject", ["nobody", "%20", "a%2Fb", "-", "x" * 201, NOBODY])
def test_an_unknown_subject_is_not_found(shared_admin: httpx.Client, subject: str) -> None:
    assert shared_admin.get(f"/v1/subjects/{subject}").status_code == 404
    assert erase(shared_admin, subject).status_code == 404


@pytest.mark.parametrize("subject", ["", " ", "a b", "a/b", "é", ".", "x" * 201, 7, ["a"]])
def test_a_subject_that_could_not_stand_in_a_path_is_refused(
    shared_admin: httpx.Client, subject: object
) -> None:
    answer = shared_admin.post("/v1/tasks", json={"kind": "review", "subject": subject})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/subject"


def test_a_subject_of_another_tenant_is_another_subject(
    service: Service, admin: httpx.Client
) -> None:
    submit(admin)
    body = {"name": "b", "scopes": ["admin", "tasks:write", "tasks:read"], "tenant": "other"}
    made = admin.post("/v1/clients", json=body).json()
    with service.machine(made["client_id"], made["client_secret"]) as stranger:
        unknown = erase(stranger).status_code
        stranger.post("/v1/tasks", json={"kind": "x", "subject": SUBJECT}).raise_for_status()
        erased = erase(stranger).raise_for_status().json()

    mine = admin.get(f"/v1/subjects/{SUBJECT}").json()
    assert unknown == 404
    assert mine["state"] == "known"
    assert mine["subject_id"] != erased["subject_id"]


def test_only_an_admin_may_erase(service: Service, admin: httpx.Client) -> None:
    submit(admin)
    scopes = ["tasks:read", "tasks:write", "audit:read"]
    made = admin.post("/v1/clients", json={"name": "c", "scopes": scopes}).json()

    with service.machine(made["client_id"], made["client_secret"]) as client:
        refused = erase(client), client.get(f"/v1/subjects/{SUBJECT}")

    assert [one.status_code for one in refused] == [403, 403]


def test_a_task_is_about_whom_its_parent_is_about(admin: httpx.Client) -> None:
    parent = submit(admin)
    child = submit(admin, subject=None, parent_id=parent)

    before = task_of(admin, child)["input"]
    erase(admin)

    assert (before, task_of(admin, child)["input"]) == ({"name": CANARY}, ERASED)
    orphan = {"kind": "review", "parent_id": child}
    assert admin.post("/v1/tasks", json=orphan).json()["code"] == "subject_erased"


def test_what_looks_sealed_and_is_not_is_shown_as_it_came(
    database: Database, admin: httpx.Client, worker: httpx.Client
) -> None:
    """Not even the genuine text of another task is opened, or called erased."""
    submit(admin)
    (state,) = rows(database, "SELECT state FROM events WHERE topic = 'task.submitted'")[0]
    genuine = orjson.loads(bytes(state))["input"]
    lookalike = f"$sealed:1:{uuid4().hex}:AAAA"

    ids = [submit(admin, subject=None, input=text) for text in (genuine, lookalike, "$sealed:1:")]
    erase(admin)

    assert [task_of(admin, one)["input"] for one in ids] == [genuine, lookalike, "$sealed:1:"]


def test_who_looks_a_subject_up_stands_in_the_audit_trail(admin: httpx.Client) -> None:
    submit(admin)

    admin.get(f"/v1/subjects/{SUBJECT}").raise_for_status()

    wanted = {"type": "audit.read", "limit": "2"}
    entries = admin.get("/v1/audit/trail", params=wanted).json()["items"]
    looked_up = [one for one in entries if one["data"]["route"] == "/v1/subjects/{subject}"]
    assert [one["data"]["about"] for one in looked_up] == [{}]
    assert SUBJECT not in str(entries)


def test_the_name_of_a_subject_stands_nowhere(
    database: Database, admin: httpx.Client, tmp_path: Path
) -> None:
    name = f"ada-{uuid4().hex}"
    submit(admin, subject=name)
    admin.get(f"/v1/subjects/{name}").raise_for_status()
    erase(admin, name).raise_for_status()

    tables = rows(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'musterroll'")

    for (table,) in tables:
        found = rows(database, f"SELECT t::text FROM {table} AS t")
        assert not [row for (row,) in found if name in row], table
    audited = rows(database, "SELECT state FROM events")
    assert not [state for (state,) in audited if name.encode() in bytes(state)]
    listed = (tmp_path / "erasures.ndjson").read_text()
    assert name not in listed
    assert len(listed.splitlines()) == 1
