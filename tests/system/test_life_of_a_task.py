"""Goal: a task survives the death of its worker and of the whole service, and is done exactly once.

Method: a real service, real worker processes, real HTTP, `kill -9`.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system.service import ROOT, ServiceProcess

PATIENCE_SECONDS = 60


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(
        tmp_path / "data", lease_seconds="2", heartbeat_seconds="0.5", offline_seconds="2"
    ) as service:
        yield service


@contextmanager
def a_worker(service: ServiceProcess, name: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.system.patient_worker", name],
        env=service.environment,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_task_outlives_its_worker_and_the_service_and_is_completed_exactly_once(
    service: ServiceProcess, tmp_path: Path
) -> None:
    with service.client() as client:
        body = {"kind": "wait", "input": {"folder": str(tmp_path)}}
        task_id = client.post("/v1/tasks", json=body).raise_for_status().json()["task_id"]

    with a_worker(service, "first") as first:
        wait_until((tmp_path / "began-1").exists)
        first.kill()
        service.kill()
        service.start()
        with a_worker(service, "second"):
            wait_until((tmp_path / "began-2").exists)
            service.kill()
            (tmp_path / "go").touch()
            service.start()
            task = finished(service, task_id)

    assert (task["status"], task["result"]) == ("completed", {"attempt": task["attempt"]})
    events = events_of(service, task_id)
    types = [event["type"] for event in events]
    assert types.count("task.submitted") == types.count("task.completed") == 1
    assert types.count("task.assigned") == task["attempt"] >= 2
    assert "task.lease_expired" in types
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))


def test_a_service_that_is_asked_to_stop_leaves_no_process_behind(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "data") as service:
        code = service.stop()

    assert code == 0
    assert not (tmp_path / "data" / "service.json").exists()
    wait_until(lambda: processes_of(tmp_path) == [])


def finished(service: ServiceProcess, task_id: str) -> dict[str, Any]:
    with service.client() as client:
        deadline = time.monotonic() + PATIENCE_SECONDS
        version = 0
        while time.monotonic() < deadline:
            parameters = {"wait": 5, "after_version": version}
            answer = client.get(f"/v1/tasks/{task_id}/status", params=parameters)
            task: dict[str, Any] = answer.raise_for_status().json()
            if task["status"] in {"completed", "failed", "cancelled"}:
                return task
            version = task["version"]
    raise AssertionError(task)


def events_of(service: ServiceProcess, task_id: str) -> list[dict[str, Any]]:
    with service.client() as client:
        answer = client.get("/v1/events", params={"aggregate_id": task_id, "limit": 1_000})
        events: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
        return events


def processes_of(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found
