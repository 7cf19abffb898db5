"""A webhook that this version cannot read is left aside; all others, and all work, go on."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.conftest import Database
from tests.interfaces.service import Service
from tests.receiver import Receiver

SECONDS_MAX = 20


def put_on(database: Database, webhook_id: str, change: str) -> None:
    """What another version of the service may have written, and this one has to meet."""
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(
            f"UPDATE musterroll.webhooks SET state = 'on', {change} WHERE webhook_id = %s",
            (webhook_id,),
        )


def state_of(database: Database, webhook_id: str) -> str:
    with psycopg.connect(database.owner_url) as owner:
        row = owner.execute(
            "SELECT state, failure FROM musterroll.webhooks WHERE webhook_id = %s", (webhook_id,)
        ).fetchone()
    assert row is not None
    return f"{row[0]}: {row[1]}"


def added(admin: httpx.Client, url: str) -> str:
    body = {"url": url, "channels": ["tasks"], "types": ["task.submitted"]}
    made: dict[str, Any] = admin.post("/v1/webhooks", json=body).raise_for_status().json()
    return str(made["webhook_id"])


def eventually(ask: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + SECONDS_MAX
    while not wanted(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


@pytest.mark.parametrize(
    "change",
    ["channels = ARRAY['weather']", "labels = '[1]'", "created_at = 'infinity'"],
    ids=["channel of another version", "labels that are none", "row that cannot be read"],
)
def test_a_webhook_that_cannot_be_read_is_paused_alone(
    database: Database, tmp_path: Path, change: str
) -> None:
    service = Service(database, tmp_path, webhook_private_targets=True)
    with Receiver() as receiver, service, service.client() as admin:
        good, bad = added(admin, receiver.url), added(admin, "http://127.0.0.1:9/never")
        admin.post(f"/v1/webhooks/{good}/allow").raise_for_status()
        agent = {"name": "a", "capabilities": ["k"], "slots": 1}
        made = admin.post("/v1/agents", json=agent).raise_for_status().json()
        secret = admin.post(f"/v1/agents/{made['agent_id']}/secret").raise_for_status().json()

        put_on(database, bad, change)
        found = eventually(lambda: state_of(database, bad), lambda it: it.startswith("paused"))
        task = {"kind": "k", "requires": ["k"]}
        task_id = admin.post("/v1/tasks", json=task).raise_for_status().json()["task_id"]
        [delivery] = receiver.wait_for(1)
        with service.machine(secret["client_id"], secret["client_secret"]) as worker:
            path = f"/v1/agents/{made['agent_id']}"
            worker.post(f"{path}/heartbeat", json={}).raise_for_status()
            wanted = {"slots": 1, "wait_seconds": 20}
            leases = worker.post(f"{path}/leases", json=wanted).raise_for_status().json()["leases"]
        ready = admin.get("/readyz").json()

    assert "its log tells why" in found
    assert delivery.event["subject"] == f"task/{task_id}"
    assert [lease["task_id"] for lease in leases] == [task_id]
    assert ready["ready"] is True


def test_its_failure_is_told_and_it_may_be_removed(database: Database, tmp_path: Path) -> None:
    service = Service(database, tmp_path, webhook_private_targets=True)
    with service, service.client() as admin:
        path = f"/v1/webhooks/{added(admin, 'http://127.0.0.1:9/never')}"
        put_on(database, path.rpartition("/")[2], "channels = ARRAY['weather']")

        def shown() -> dict[str, Any]:
            found: dict[str, Any] = admin.get(path).raise_for_status().json()
            return found

        found = eventually(shown, lambda it: it["state"] == "paused")
        allowed = admin.post(f"{path}/allow").raise_for_status().json()
        again = eventually(shown, lambda it: it["state"] == "paused")
        admin.delete(path).raise_for_status()

    assert "could not work with it" in found["last_failure"]
    assert found["failing_since"]
    assert allowed["state"] == "on"
    assert again["last_failed_at"] > found["last_failed_at"]
