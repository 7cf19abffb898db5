"""The SDK beside `muster up`: found without being told, and kept through its death."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from musterroll import Client, Task, Worker
from musterroll.errors import Unavailable
from tests.system.service import ServiceProcess

PATIENCE_SECONDS = 60


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceProcess]:
    for name in ("URL", "CLIENT_ID", "USERNAME", "TOKEN"):
        monkeypatch.delenv(f"MUSTERROLL_{name}", raising=False)
    with ServiceProcess(tmp_path / "data") as service:
        monkeypatch.setenv("MUSTERROLL_DATA_DIR", str(service.data_dir))
        yield service


def test_a_worker_and_its_task_outlive_the_service(service: ServiceProcess) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()
    worker = Worker(name="counter")

    @worker.task("count")
    def count(_: Task) -> str:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)
        done.set()
        return "kept"

    working = threading.Thread(target=lambda: asyncio.run(worker.serve()))
    working.start()
    try:
        with Client() as client:
            task = client.tasks.submit("count")
            assert begun.wait(PATIENCE_SECONDS)
            service.kill()
            go_on.set()
            assert done.wait(PATIENCE_SECONDS)
            service.start()
            found = client.tasks.wait(task.id, timeout_seconds=PATIENCE_SECONDS)
    finally:
        worker.stop(hurry=True)
        working.join(PATIENCE_SECONDS)

    assert not working.is_alive()
    assert (found.status, found.result, found.attempt) == ("completed", "kept", 1)


def test_a_service_that_was_stopped_is_said_to_be_gone(service: ServiceProcess) -> None:
    with Client() as client:
        assert client.tasks.counts().cursor
    service.stop()

    with Client() as client, pytest.raises(Unavailable, match="`muster up`") as caught:
        client.tasks.counts()

    assert caught.value.code == "service_not_found"


def test_a_service_that_died_is_said_to_be_dead(service: ServiceProcess) -> None:
    service.kill()

    with Client() as client, pytest.raises(Unavailable, match="is not running") as caught:
        client.tasks.counts()

    assert caught.value.code == "service_not_running"
