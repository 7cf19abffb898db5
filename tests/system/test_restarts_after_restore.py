"""Goal: what a restore began goes on in the next process, however the one before ended. Method:
`muster up` on an embedded database, restored, ended at once or in order, and started again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.interfaces.restored import backed_up, in_epoch_after, post, store_of
from tests.system.service import ServiceProcess
from tests.system.test_audit_verify import verify


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """Takes no backup by itself, and seals at once."""
    settings = {"backup_seconds": "0", "seal_seconds": "0.05", "log_level": "info"}
    with ServiceProcess(tmp_path / "data", **settings) as service:
        yield service


@pytest.mark.parametrize("ending", [ServiceProcess.kill, ServiceProcess.stop])
def test_a_service_that_ends_behind_a_restore_goes_on_in_its_epoch(
    service: ServiceProcess, ending: Callable[[ServiceProcess], object]
) -> None:
    with service.client() as client:
        backed_up(client)
        late = leased(service, client)
        archive = backed_up(client, "incremental")
        lost = post(client, "/v1/tasks", {"kind": "review"})
        former = store_of(client)
        answer = post(client, f"/v1/backups/{archive}/restore", {})
        in_epoch_after(client, 1, answer["job"], ready=False)

        ending(service)
        service.start()
        store = store_of(client)
        refused = late()
        for _ in range(2):
            backed_up(client, "incremental")
        verdict = verify(service.data_dir)
        new = post(client, "/v1/tasks", {"kind": "review"})

    taken = [line["type"] for line in lines_of(service, "archive_taken")]
    assert (store["store_id"], store["epoch"]) == (former["store_id"], 2)
    assert store["restored"]["archive_id"] == archive
    assert refused["error"]["code"] == "stale_attempt"
    assert taken[-2:] == ["full", "incremental"], "the first of an epoch is full"
    assert (verdict[0], verdict[1]["ok"]) == (0, True), verdict
    assert position_of(new) > position_of(lost)


def leased(service: ServiceProcess, client: httpx.Client) -> Callable[[], dict[str, Any]]:
    """An agent holds a task from now on; what comes of its report, whenever it makes that."""
    agent = post(client, "/v1/agents", {"name": "a", "capabilities": ["review"]})
    post(client, "/v1/tasks", {"kind": "review"})
    form = {
        "grant_type": "client_credentials",
        "client_id": agent["client_id"],
        "client_secret": agent["client_secret"],
    }
    path = f"{service.url}/v1/agents/{agent['agent_id']}"

    def asked(what: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = httpx.post(f"{service.url}/v1/oauth/token", data=form).raise_for_status()
        with httpx.Client(
            headers={"Authorization": f"Bearer {answer.json()['access_token']}"}, timeout=40
        ) as worker:
            return post(worker, f"{path}/{what}", body)

    (lease,) = asked("leases", {"slots": 1, "wait_seconds": 10})["leases"]
    report = {"task_id": lease["task_id"], "attempt": lease["attempt"], "type": "completed"}

    def late() -> dict[str, Any]:
        (outcome,) = asked("reports", {"reports": [{**report, "result": 1}]})["outcomes"]
        found: dict[str, Any] = outcome
        return found

    return late


def lines_of(service: ServiceProcess, event: str) -> list[dict[str, Any]]:
    """What it wrote to its log, of one kind."""
    lines = [line for line in service.output.splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line.get("event") == event]


def position_of(receipt: dict[str, Any]) -> int:
    return int(receipt["cursor"].partition(":")[2])
