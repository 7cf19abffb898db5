"""`muster audit verify` on an embedded database: beside the service, and when there is none."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.system.service import ROOT, ServiceProcess

VERIFY_SECONDS_MAX = 60


def verify(data_dir: Path, *more: str) -> tuple[int, Any]:
    words = [sys.executable, "-m", "interfaces.cli.main", "audit", "verify", "--json"]
    done = subprocess.run(
        [*words, "--data-dir", str(data_dir), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=VERIFY_SECONDS_MAX,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_an_embedded_log_is_verified_beside_its_service_and_without(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with ServiceProcess(data_dir, seal_seconds="0.05", log_level="error") as service:
        with service.client() as client:
            client.post("/v1/tasks", json={"kind": "x"}, headers={"Idempotency-Key": "1"})
            while not heads_of(client):
                pass
        beside = verify(data_dir)

    without = verify(data_dir)

    assert beside[0] == without[0] == 0
    assert beside[1]["ok"] is without[1]["ok"] is True
    assert without[1]["compared"] == without[1]["seals"] >= beside[1]["seals"] >= 1
    assert not (data_dir / "postgres" / "cluster" / "postmaster.pid").exists(), (
        "it was left running"
    )


def test_where_there_is_no_database_that_is_said(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "interfaces.cli.main", "audit", "verify"]
    done = subprocess.run(
        [*words, "--data-dir", str(tmp_path / "nothing")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=VERIFY_SECONDS_MAX,
    )

    assert done.returncode == 1
    assert done.stderr == f"muster: There is no database in {tmp_path / 'nothing'}.\n"
    assert not (tmp_path / "nothing").exists()


def heads_of(client: httpx.Client) -> list[Any]:
    return list(client.get("/v1/audit/heads").raise_for_status().json()["items"])
