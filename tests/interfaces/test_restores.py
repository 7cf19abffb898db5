"""Goal: the store goes back to any event and goes on from there, in an epoch of its own, and
nothing of the epoch before comes through. Method: a whole service, restored through its API."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from application.seals.verification import Verification
from domain.merkle import root_of
from infrastructure.seals.heads_file import FILE_NAME
from infrastructure.seals.signer import Ed25519Signer, signed
from infrastructure.security.signing_key import load_or_make
from interfaces.bootstrap.seals import evidence_of, kept_heads
from tests.conftest import Database
from tests.interfaces.restored import backed_up, in_epoch_after, post, restored, store_of, undone
from tests.interfaces.service import Service
from tests.interfaces.test_http_nodes import Standby

BOB = {"username": "bob", "password": "a long enough one"}


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    with Service(database, tmp_path, backup_seconds=0, seal_seconds=0.05) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def test_a_store_goes_back_to_an_event_and_on_from_there(client: httpx.Client) -> None:
    kept, lost = submitted(client), submitted(client)
    archive = backed_up(client)

    plan = restored(client, archive, to_position=position_of(kept))

    assert (plan["position"], plan["lost"]["after"]) == (position_of(kept), kept["cursor"])
    first = plan["lost"]["first"], plan["lost"]["first_type"]
    assert first == (lost["cursor"], "task.submitted")
    assert [one["epoch"] for one in store_of(client)["former"]] == [1]
    assert client.get(f"/v1/tasks/{kept['task_id']}").status_code == 200
    assert client.get(f"/v1/tasks/{lost['task_id']}").status_code == 404
    old = client.get("/v1/events", params={"after": kept["cursor"]})
    assert (old.status_code, old.json()["code"]) == (410, "epoch_ended")
    new = submitted(client)
    assert position_of(new) > position_of(lost) + 1
    assert new["cursor"].startswith("2:")


def test_an_undone_restore_brings_everything_back_but_what_came_since(
    client: httpx.Client,
) -> None:
    kept, lost = submitted(client), submitted(client)
    restored(client, backed_up(client), to_position=position_of(kept))
    between = submitted(client)

    undone(client)

    assert store_of(client)["epoch"] == 3
    assert [one["epoch"] for one in store_of(client)["former"]] == [2]
    assert client.get(f"/v1/tasks/{lost['task_id']}").status_code == 200
    assert client.get(f"/v1/tasks/{between['task_id']}").status_code == 404
    assert position_of(submitted(client)) > position_of(between)


def test_the_trail_of_the_store_that_serves_tells_who_ordered_a_restore_and_an_undoing(
    client: httpx.Client,
) -> None:
    kept = submitted(client)
    archive = backed_up(client)
    traced = f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"

    restoring = client.post(
        f"/v1/backups/{archive}/restore",
        json={"to_position": position_of(kept)},
        headers={"traceparent": traced},
    )
    in_epoch_after(client, 1, restoring.json()["job"])
    of_restore = ordered(client)
    undoing = client.post("/v1/backups/undo-restore")
    in_epoch_after(client, 2, undoing.json())
    of_undoing = ordered(client)

    about = {"backup_id": archive, "to_position": str(position_of(kept)), "dry_run": "False"}
    assert of_restore["data"] == {
        "address": "127.0.0.1",
        "method": "POST",
        "route": "/v1/backups/{backup_id}/restore",
        "about": about,
        "request_id": restoring.headers["X-Request-ID"],
        "status": 202,
        "code": None,
    }
    assert of_restore["traceparent"] == traced
    assert of_undoing["data"]["route"] == "/v1/backups/undo-restore"
    assert of_undoing["data"]["request_id"] == undoing.headers["X-Request-ID"]
    for entry in (of_restore, of_undoing):
        assert (entry["type"], entry["actor"]) == ("audit.commanded", "user/admin")


def test_what_agents_held_is_given_back_because_of_the_restore(
    service: Service, client: httpx.Client
) -> None:
    agent = post(client, "/v1/agents", {"name": "a", "capabilities": ["review"]})
    task = submitted(client)
    with service.machine(agent["client_id"], agent["client_secret"]) as worker:
        path = f"/v1/agents/{agent['agent_id']}"
        lease = post(worker, f"{path}/leases", {"slots": 1, "wait_seconds": 10})["leases"][0]
        restored(client, backed_up(client))
        events = client.get("/v1/events", params={"aggregate_id": task["task_id"]}).json()["items"]
        report = {"task_id": task["task_id"], "attempt": lease["attempt"], "type": "completed"}

        late = post(worker, f"{path}/reports", {"reports": [{**report, "result": 1}]})

    released = next(one for one in events if one["type"].endswith("task.released"))
    began = client.get("/v1/events", params={"type": "store.restored"}).json()["items"]
    assert released["causationid"] == began[0]["id"]
    assert late["outcomes"][0]["error"]["code"] == "stale_attempt"


def test_an_account_that_was_revoked_stays_revoked_and_a_secret_stays_changed(
    service: Service, client: httpx.Client
) -> None:
    made = post(client, "/v1/users", BOB | {"scopes": ["tasks:read"]})
    task = submitted(client)
    archive = backed_up(client)
    client.delete(f"/v1/users/{made['user_id']}").raise_for_status()

    restored(client, archive, to_position=position_of(task))

    form = {"grant_type": "password"} | BOB
    assert httpx.post(f"{service.url}/v1/oauth/token", data=form).status_code == 400


def test_a_request_that_was_restored_is_answered_as_before_and_one_that_was_not_is_done_anew(
    client: httpx.Client,
) -> None:
    keys = [str(uuid4()), str(uuid4())]
    kept, lost = (with_key(client, key) for key in keys)
    restored(client, backed_up(client), to_position=position_of(kept))

    again, anew = (with_key(client, key) for key in keys)

    assert (again["task_id"], again["cursor"]) == (kept["task_id"], f"2:{position_of(kept)}")
    assert anew["task_id"] != lost["task_id"]


def test_both_processes_on_one_database_come_back_in_the_new_epoch(
    database: Database, tmp_path: Path, client: httpx.Client
) -> None:
    task = submitted(client)
    with (
        Standby(database, tmp_path, backup_seconds=0) as standby,
        standby.client() as other,
    ):
        answer = post(client, f"/v1/backups/{backed_up(client)}/restore", {})
        # Either of them may lead from now on, and only that one is ready.
        in_epoch_after(client, 1, answer["job"], ready=False)
        in_epoch_after(other, 1, answer["job"], ready=False)

        assert other.get(f"/v1/tasks/{task['task_id']}").status_code == 200
        assert submitted(other)["cursor"].startswith("2:")


def test_heads_that_a_restore_took_back_are_told_from_tampering(
    service: Service, client: httpx.Client, database: Database, tmp_path: Path
) -> None:
    kept = submitted(client)
    sealed(client, kept)
    lost = submitted(client)
    sealed(client, lost)
    restored(client, backed_up(client), to_position=position_of(kept))
    sealed(client, submitted(client))
    heads = kept_heads(tmp_path / FILE_NAME)

    with evidence_of(service.process.settings) as evidence:
        verdict = Verification(evidence, signed, heads).run()
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(
            "ALTER TABLE musterroll.events DISABLE TRIGGER append_only; "
            "UPDATE musterroll.events SET state = replace(convert_from(state, 'UTF8'), "
            "'\"undone\":false', '\"undone\":true')::bytea WHERE topic = 'store.restored'"
        )
    with evidence_of(service.process.settings) as evidence:
        forged = Verification(evidence, signed, heads).run()

    assert verdict.fault is None
    assert verdict.restored_over >= 1
    assert verdict.compared + verdict.restored_over == len(heads)
    assert forged.fault is not None


def test_a_head_that_was_made_after_the_archive_is_no_tampering_once_its_epoch_has_ended(
    service: Service, client: httpx.Client, tmp_path: Path
) -> None:
    first = submitted(client)
    sealed(client, submitted(client))
    restored(client, backed_up(client), to_position=position_of(first))
    sealed(client, submitted(client))
    settings = service.process.settings
    heads = kept_heads(tmp_path / FILE_NAME)
    signer = Ed25519Signer(load_or_make(tmp_path / "seal-key.pem"))

    with evidence_of(settings) as evidence:
        leaves = evidence.leaves(after=None, until=position_of(first))
        head = replace(
            heads[0], size=len(leaves), position=position_of(first), root=root_of(leaves)
        )
        former = replace(head, signature=signer.sign(head.text))
        present = replace(head, epoch=2)
        present = replace(present, signature=signer.sign(present.text))
        of_former = Verification(evidence, signed, [*heads, former]).run()
        of_present = Verification(evidence, signed, [*heads, present]).run()

    assert of_former.fault is None
    assert of_present.fault is not None
    assert of_present.fault.code == "seal_missing"


def test_there_is_nothing_to_undo_before_a_restore(client: httpx.Client) -> None:
    answer = client.post("/v1/backups/undo-restore")

    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_undo")
    assert store_of(client)["epoch"] == 1


def test_a_drill_touches_nothing_and_finds_what_was(
    client: httpx.Client, database: Database
) -> None:
    for _ in range(20):
        submitted(client)
    archive = backed_up(client)

    job = post(client, f"/v1/backups/{archive}/drill", {})
    found = client.get(f"/v1/backups/jobs/{job['job_id']}", params={"wait": 30}).json()

    assert (found["state"], found["result"]["equal"]) == ("done", True), found
    assert found["result"]["events"] >= 20
    with psycopg.connect(database.owner_url) as owner:
        left = owner.execute("SELECT datname FROM pg_database WHERE datname LIKE '%drill%'")
        assert left.fetchall() == []


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"to_time": "2001-01-01T00:00:00Z"}, "before_history"),
        ({"to_position": 10**9}, "beyond_archive"),
        ({"to_time": "2101-01-01T00:00:00Z"}, "beyond_archive"),
    ],
)
def test_what_an_archive_does_not_hold_is_refused(
    client: httpx.Client, end: dict[str, Any], code: str
) -> None:
    submitted(client)
    archive = backed_up(client)

    answer = client.post(f"/v1/backups/{archive}/restore", json={**end, "dry_run": True})

    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == code


def submitted(client: httpx.Client, **task: Any) -> dict[str, Any]:
    return post(client, "/v1/tasks", {"kind": "review"} | task)


def with_key(client: httpx.Client, key: str) -> dict[str, Any]:
    headers = {"Idempotency-Key": key}
    answer = client.post("/v1/tasks", json={"kind": "review"}, headers=headers)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def ordered(client: httpx.Client) -> dict[str, Any]:
    """What the audit trail tells of the order that began the epoch: the newest of its commands."""
    params: dict[str, str | int] = {"type": "audit.commanded", "limit": 1}
    found = client.get("/v1/audit/trail", params=params).raise_for_status().json()
    (entry,) = found["items"]
    (began,) = client.get("/v1/events", params={"type": "store.restored"}).json()["items"]
    assert (entry["actor"], entry["commandid"]) == (began["actor"], began["commandid"])
    shown: dict[str, Any] = entry
    return shown


def sealed(client: httpx.Client, receipt: dict[str, Any]) -> None:
    while True:
        heads = client.get("/v1/audit/heads", params={"limit": 1}).raise_for_status().json()
        if heads["items"] and heads["items"][0]["position"] >= position_of(receipt):
            return


def position_of(receipt: dict[str, Any]) -> int:
    return int(receipt["cursor"].partition(":")[2])
