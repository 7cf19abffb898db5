"""Goal: wherever a service is killed while it takes a backup, the next one has that backup, whole.

Method: a service with a PostgreSQL of its own is told to take an archive and killed with SIGKILL at
a random moment within it; then it is started again. The process that took it ends with it.
"""

import time
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import httpx
import psutil

from tests.system.service import ServiceProcess

KILLS = 2
SECONDS_MAX = 60.0
ARCHIVIST = "interfaces.bootstrap.archivist"


def test_a_backup_outlives_the_service_that_took_it(tmp_path: Path, rng: Random) -> None:
    with ServiceProcess(tmp_path / "data", backup_seconds="86400") as service:
        submit(service, 50)
        for _ in range(KILLS):
            archive_id = ordered(service)
            took = archivist_of(service)

            time.sleep(rng.uniform(0, 0.4))
            service.kill()
            psutil.wait_procs(took, timeout=SECONDS_MAX)
            assert not any(process.is_running() for process in took)
            service.start()

            archive = ended(service, archive_id)
            assert archive["status"] == "verified", archive
        assert [one["status"] for one in all_archives(service)] == ["verified"] * KILLS


def submit(service: ServiceProcess, tasks: int) -> None:
    with service.client() as client:
        for _ in range(tasks):
            headers = {"Idempotency-Key": str(uuid4())}
            client.post("/v1/tasks", json={"kind": "k"}, headers=headers).raise_for_status()


def ordered(service: ServiceProcess) -> str:
    headers = {"Idempotency-Key": str(uuid4())}
    with service.client() as client:
        answer = client.post("/v1/backups", json={"type": "full"}, headers=headers)
        return str(answer.raise_for_status().json()["backup_id"])


def ended(service: ServiceProcess, archive_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + SECONDS_MAX
    with service.client() as client:
        while True:
            found: httpx.Response = client.get(f"/v1/backups/{archive_id}", params={"wait": 5})
            archive: dict[str, Any] = found.raise_for_status().json()
            if archive["status"] in {"verified", "failed"}:
                return archive
            assert time.monotonic() < deadline, archive


def all_archives(service: ServiceProcess) -> list[dict[str, Any]]:
    with service.client() as client:
        items: list[dict[str, Any]] = client.get("/v1/backups").raise_for_status().json()["items"]
        return items


def archivist_of(service: ServiceProcess) -> list[psutil.Process]:
    """The process that takes the archive, once it has begun."""
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        found = [
            child
            for child in psutil.Process(service.pid).children()
            if ARCHIVIST in " ".join(child.cmdline())
        ]
        if found:
            return found
        assert time.monotonic() < deadline, "nobody takes it"
        time.sleep(0.005)
