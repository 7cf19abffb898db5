"""Two services on one database: what is committed at one is seen at the other without a poll."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from application.projections import runner
from application.watermarks import LOG
from interfaces.bootstrap import ControlPlaneProcess
from tests.conftest import Database
from tests.interfaces.service import Service

NO_POLL_SECONDS = 60.0
WAIT_SECONDS = 20.0


class Standby(Service):
    """A service that need not lead to be there."""

    def __enter__(self) -> Self:
        self._thread.start()
        with httpx.Client(base_url=self.url, timeout=WAIT_SECONDS) as client:
            client.get("/healthz").raise_for_status()
        return self


Nodes = tuple[Service, Service]


@pytest.fixture
def nodes(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """One that leads and one that does not, each aware that the other listens."""
    monkeypatch.setattr(runner, "POLL_SECONDS", NO_POLL_SECONDS)
    with Service(database, tmp_path) as leading, Standby(database, tmp_path) as standby:
        deadline = threading.Event()
        timer = threading.Timer(WAIT_SECONDS, deadline.set)
        timer.start()
        while not all(one.process._announcer.others_listen for one in (leading, standby)):
            assert not deadline.wait(0.01), "the nodes do not see one another"
        timer.cancel()
        yield leading, standby


def reached(process: ControlPlaneProcess, name: str, position: int) -> bool:
    """Whether it hears of a position within a time in which it never looks by itself."""
    loop = process.watermarks._loop
    assert loop is not None
    waiting = process.watermarks.reached(
        name, position, timeout_seconds=WAIT_SECONDS, poll_seconds=NO_POLL_SECONDS
    )
    return asyncio.run_coroutine_threadsafe(waiting, loop).result(WAIT_SECONDS + 10)


def submit(client: httpx.Client) -> tuple[str, int]:
    made = client.post("/v1/tasks", json={"kind": "review"}).raise_for_status().json()
    return made["task_id"], int(made["cursor"].partition(":")[2])


def test_what_one_node_commits_the_other_hears_of(nodes: Nodes) -> None:
    leading, standby = nodes
    with leading.client() as here, standby.client() as there:
        _, first = submit(here)
        assert reached(standby.process, LOG, first)

        _, second = submit(there)
        assert reached(leading.process, LOG, second)


def test_the_node_that_leads_projects_what_others_commit(nodes: Nodes) -> None:
    leading, standby = nodes
    with standby.client() as there:
        for _ in range(3):
            _, position = submit(there)
            assert reached(leading.process, "task_board", position)


def test_a_long_poll_on_one_node_ends_with_a_commit_on_the_other(nodes: Nodes) -> None:
    leading, standby = nodes
    found: dict[str, Any] = {}
    with leading.client() as here, standby.client() as there:
        _, before = submit(here)
        waiting: dict[str, Any] = {"after": f"1:{before}", "wait": 20, "type": "task.submitted"}

        def wait() -> None:
            found.update(there.get("/v1/events", params=waiting).raise_for_status().json())

        poll = threading.Thread(target=wait)
        poll.start()
        task_id, position = submit(here)
        poll.join()

    assert [item["subject"] for item in found["items"]] == [f"task/{task_id}"]
    assert found["items"][0]["id"] == f"1:{position}"


def test_a_worker_is_told_which_node_is_on_standby(nodes: Nodes) -> None:
    leading, standby = nodes
    with leading.client() as here:
        made = here.post("/v1/agents", json={"name": "a", "capabilities": ["review"]}).json()
        attempt = {"task_id": submit(here)[0], "attempt": 1}
        with standby.machine(made["client_id"], made["client_secret"]) as worker:
            path = f"/v1/agents/{made['agent_id']}"
            answers = [
                worker.post(f"{path}/heartbeat", json={"running": [attempt]}),
                worker.post(f"{path}/leases", json={"slots": 1}),
                worker.post(f"{path}/output", json={"output": [attempt | {"text": "x"}]}),
            ]

    assert [(one.status_code, one.json()["code"]) for one in answers] == 3 * [(503, "on_standby")]
