"""A backup is restored and the restore undone, by the command line, in a service that starts anew
each time; and a service that is killed on the way is whole."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.service import ROOT, ServiceProcess

SECONDS_MAX = 120


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """Takes no backup by itself."""
    with ServiceProcess(tmp_path / "data", backup_seconds="0") as service:
        yield service


def backup(service: ServiceProcess, *words: str) -> Any:
    """What `muster backup` answers."""
    done = subprocess.run(
        [sys.executable, "-m", "interfaces.cli.main", "backup", *words, "--json"],
        env=service.environment,
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, done.stdout + done.stderr + service.output
    return json.loads(done.stdout)


def said_to(service: ServiceProcess, *words: str, answer: str) -> str:
    """What `muster backup` says on standard error to somebody at a terminal who answers so."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "interfaces.cli.main", "backup", *words],
        env=service.environment,
        cwd=ROOT,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as asking:
        os.write(ours, f"{answer}\n".encode())
        _, said = asking.communicate(timeout=SECONDS_MAX)
    os.close(ours)
    os.close(theirs)
    return said


def submitted(client: httpx.Client) -> dict[str, Any]:
    receipt: dict[str, Any] = (
        client.post("/v1/tasks", json={"kind": "count"}).raise_for_status().json()
    )
    return receipt


def there(client: httpx.Client, *receipts: dict[str, Any]) -> list[bool]:
    codes = [client.get(f"/v1/tasks/{one['task_id']}/status").status_code for one in receipts]
    assert set(codes) <= {200, 404}
    return [code == 200 for code in codes]


def position_of(cursor: str) -> int:
    return int(cursor.partition(":")[2])


def test_a_restore_goes_back_and_undoing_it_comes_back(service: ServiceProcess) -> None:
    with service.client() as client:
        earlier = submitted(client)
        taken = backup(service, "create")
        later = submitted(client)

        planned = backup(service, "restore", "latest", "--dry-run")
        mistaken = said_to(service, "restore", "latest", answer="y")
        restored = backup(service, "restore", taken["id"], "--yes")

        assert planned["plan"]["lost"]["events"] >= 1
        assert f"Type {restored['store_id'][:8]}" in mistaken
        assert "nothing was changed" in mistaken
        assert (restored["epoch"], restored["restored"]["archive_id"]) == (2, taken["id"])
        assert [one["epoch"] for one in restored["former"]] == [1]
        assert there(client, earlier, later) == [True, False]

        between = submitted(client)
        former = client.get("/v1/tasks", params={"seen": later["cursor"]})
        undone = backup(service, "undo-restore", "--yes")

        assert position_of(between["cursor"]) > position_of(later["cursor"])
        assert (former.status_code, former.json()["code"]) == (410, "epoch_ended")
        assert (undone["epoch"], undone["restored"]["archive_id"]) == (3, None)
        assert there(client, earlier, later, between) == [True, True, False]
        assert submitted(client)["cursor"].startswith("3:")


def test_a_restore_ends_at_an_event_and_a_kill_on_the_way_leaves_a_whole_store(
    service: ServiceProcess,
) -> None:
    with service.client() as client:
        first, second = submitted(client), submitted(client)
        taken = backup(service, "create")
        path, position = f"/v1/backups/{taken['id']}/restore", position_of(first["cursor"])
        begun = client.post(path, json={"to_position": position})
        assert begun.status_code == 202, begun.text

        service.kill()
        service.start()

        epoch = client.get("/v1/store").json()["epoch"]
        assert (epoch, there(client, first, second)) in [(1, [True, True]), (2, [True, False])]
        restored = backup(service, "restore", taken["id"], "--to-position", str(position), "--yes")

        assert restored["epoch"] > epoch
        assert restored["restored"]["position"] == position
        assert there(client, first, second) == [True, False]
