"""`muster backup`, and the SDK's `client.backups`, against a real service."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from musterroll import AsyncClient, Client
from musterroll.errors import Conflict, Invalid, NotFound
from tests.conftest import Database, fresh_database
from tests.interfaces.muster import Muster
from tests.interfaces.service import PASSWORD, Service

SECONDS_MAX = 30
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    """Takes no backup by itself."""
    with Service(database, tmp_path, backup_seconds=0) as service:
        yield service


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Takes no backup by itself; one was taken."""
    folder = tmp_path_factory.mktemp("service")
    with (
        fresh_database() as database,
        Service(database, folder, backup_seconds=0) as service,
    ):
        with client_of(service) as client:
            client.tasks.submit("count")
            client.backups.wait(client.backups.create("full").id, timeout_seconds=30)
        yield service


@pytest.fixture
def muster(
    shared_service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Muster:
    monkeypatch.setenv("MUSTERROLL_DATA_DIR", str(shared_service.process.settings.data_dir))
    return Muster(shared_service, monkeypatch, capsys)


def client_of(service: Service) -> Client:
    return Client(service.url, username="admin", password=PASSWORD)


def store_of(service: Service) -> str:
    return str(service.process.settings.data_dir / "backups")


# Taken, listed, shown.


def test_a_backup_is_taken_and_told_of_when_it_is_proved(muster: Muster) -> None:
    said = muster.done("backup", "create", "--type", "full")

    fields = dict(line.split("  ", 1) for line in said.out.splitlines())
    assert fields["status"].strip() == "verified"
    assert fields["type"].strip() == "full"
    assert fields["proved"].strip() == "level 2"
    assert "bytes an event" in fields["size"]
    assert "position" in fields["up to"]


def test_who_does_not_wait_gets_its_id(muster: Muster) -> None:
    begun = muster.done("backup", "create", "--no-wait", "--json").json
    plain = muster.done("backup", "create", "--no-wait").out.strip()

    for backup_id in (begun["backup_id"], plain):
        shown = muster.done("backup", "show", backup_id, "--json").json
        assert shown["id"] == backup_id


def test_backups_are_listed(muster: Muster) -> None:
    made = muster.done("backup", "create", "--json").json

    rows = muster.done("backup", "list", "--status", "verified", "--json").rows
    table = muster.done("backup", "list").out

    assert rows[0] == made
    assert table.startswith("BACKUP")
    assert made["id"] in table


def test_latest_is_the_newest_that_is_verified(muster: Muster) -> None:
    made = muster.done("backup", "create", "--json").json

    shown = muster.done("backup", "show", "latest", "--json").json

    assert shown["id"] == made["id"]


def test_where_there_is_none_the_latest_is_not_found(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    muster = Muster(service, monkeypatch, capsys)

    said = muster("backup", "show", "latest")

    assert (said.code, said.err.count("\n")) == (5, 1)
    assert "muster backup create" in said.err


def test_a_backup_that_cannot_be_stored_fails_in_one_line(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "no-folder").write_text("a file")
    store = str(tmp_path / "no-folder")

    with Service(database, tmp_path / "data", backup_seconds=0, backup_store=store) as service:
        said = Muster(service, monkeypatch, capsys)("backup", "create")

    # The service of this test logs there too.
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith("muster: the backup failed: ")


# Proved.


def test_a_backup_is_verified_and_drilled(muster: Muster) -> None:
    verified = muster.done("backup", "verify", "latest", "--level", "3")
    job = muster.done("backup", "verify", "latest", "--level", "1", "--json").json
    drilled = muster.done("backup", "drill")
    shown = muster.done("backup", "show", "latest").out

    assert "It is as it was signed" in verified.out
    assert (job["state"], job["result"]["level"]) == ("done", 1)
    assert "It can be restored" in drilled.out
    assert "level 3, drilled" in shown


def test_a_backup_is_read_where_it_is_kept(muster: Muster, shared_service: Service) -> None:
    store = store_of(shared_service)
    known = muster.done("backup", "list", "--status", "verified", "--json").rows

    rows = muster.done("backup", "list", "--store", store, "--json").rows
    table = muster.done("backup", "list", "--store", store).out
    verified = muster.done("backup", "verify", "latest", "--store", store, "--level", "3")

    assert {row["id"] for row in known} <= {row["id"] for row in rows}
    assert known[0]["id"] in table
    assert f"{rows[0]['id']} is as it was signed" in verified.out


def test_what_is_damaged_where_it_is_kept_is_told_in_one_line(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTERROLL_DATA_DIR", str(service.process.settings.data_dir))
    muster = Muster(service, monkeypatch, capsys)
    muster.done("backup", "create")
    store = service.process.settings.data_dir / "backups"
    file = next(store.rglob("segments/events-*.seg"))
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1])

    offline = muster("backup", "verify", "latest", "--store", str(store))
    online = muster("backup", "verify", "latest")

    for said in (offline, online):
        assert (said.code, said.err.count("\n")) == (1, 1)
        assert file.name in said.err

    manifest = next(store.rglob("manifests/*.json"))
    manifest.chmod(0o600)
    manifest.write_bytes(b"{}")
    [row] = muster.done("backup", "list", "--store", str(store), "--json").rows
    assert (row["status"], row["id"]) == ("broken", f"manifests/{manifest.name}")
    assert row["error"]["message"] in muster.done("backup", "list", "--store", str(store)).out


def test_a_place_without_backups_is_told(muster: Muster, shared_service: Service) -> None:
    nowhere = str(shared_service.process.settings.data_dir / "nowhere")

    listed = muster("backup", "list", "--store", nowhere, "--json")
    verified = muster("backup", "verify", "latest", "--store", nowhere)
    absurd = muster("backup", "list", "--store", "ftp://example.org/x")

    assert listed.out == ""
    assert (verified.code, verified.err.count("\n")) == (5, 1)
    assert (absurd.code, absurd.err.count("\n")) == (2, 1)


# Restored: what becomes of it stands in tests/system/test_backups.py.


def test_a_restore_tells_first_what_it_would_do(muster: Muster, shared_service: Service) -> None:
    with client_of(shared_service) as client:
        client.backups.wait(client.backups.create().id, timeout_seconds=30)
        client.tasks.submit("count")

    said = muster.done("backup", "restore", "latest", "--dry-run")
    planned = muster.done("backup", "restore", "latest", "--dry-run", "--json").json

    assert "lost" in said.out
    assert "epoch    1 ends, 2 begins" in said.out
    assert planned["job"] is None
    assert planned["plan"]["lost"]["events"] >= 1


def test_nobody_restores_unasked(muster: Muster) -> None:
    unasked = muster("backup", "restore", "latest")
    both = muster("backup", "restore", "latest", "--to-position", "1", "--to-time", "x", "--yes")

    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert both.code == 2
    assert muster.done("backup", "restore", "latest", "--dry-run", "--json")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to-position", "99999999999"], "beyond the archive"),
        (["--to-time", "1999-01-01T00:00:00Z"], "nothing had happened yet"),
        (["--to-time", "yesterday"], "to_time"),
    ],
)
def test_an_end_that_is_none_is_refused_in_one_line(
    muster: Muster, arguments: list[str], words: str
) -> None:
    said = muster("backup", "restore", "latest", "--dry-run", *arguments)

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert words in said.err


@pytest.mark.parametrize(
    "position", ["0", "-1", str(10**18), str(2**63), str(2**64), str(10**30), "nan", "1e3", "x"]
)
def test_a_position_that_cannot_be_is_wrong_usage(muster: Muster, position: str) -> None:
    said = muster("backup", "restore", "latest", "--dry-run", f"--to-position={position}")

    assert said.code == 2
    assert "--to-position" in said.err


def test_what_was_never_restored_is_not_undone(muster: Muster) -> None:
    said = muster("backup", "undo-restore", "--yes")

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "put aside" in said.err


def test_expiry_tells_what_would_go(muster: Muster) -> None:
    said = muster.done("backup", "expire", "--dry-run")

    assert "0 backups would go" in said.out
    assert "stays" in said.out


def test_what_is_not_there_is_not_found(muster: Muster) -> None:
    for command in (["show"], ["verify"], ["drill"], ["restore", "--dry-run"]):
        assert muster("backup", *command, NOBODY).code == 5
        no_id = muster("backup", *command, "../tasks")
        assert (no_id.code, "not the id of a backup" in no_id.err) == (5, True)


def test_the_doctor_tells_of_backups(muster: Muster, shared_service: Service) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    with client_of(shared_service) as client:
        # The service looks every 5 s.
        while client.ready()["checks"]["backups"]["last_verified_at"] is None:
            assert time.monotonic() < deadline

    rows = {row["subject"]: row for row in muster.done("doctor", "--json").rows}

    assert rows["backups"]["level"] == "ok"
    assert "verified" in rows["backups"]["text"]
    assert rows["kept in"]["level"] in {"ok", "warn"}


@pytest.mark.parametrize(
    ("store", "level"), [("s3://bucket/prefix", "ok"), ("ftp://example.org/x", "fail")]
)
def test_the_doctor_tells_where_they_are_kept(
    muster: Muster, monkeypatch: pytest.MonkeyPatch, store: str, level: str
) -> None:
    monkeypatch.setenv("MUSTERROLL_BACKUP_STORE", store)

    rows = {row["subject"]: row for row in muster("doctor", "--json").rows}

    assert rows["kept in"]["level"] == level


# The SDK.


def test_the_clients_take_prove_and_plan(shared_service: Service) -> None:
    with client_of(shared_service) as client:
        receipt = client.backups.create("synthetic")
        made = client.backups.wait(receipt.id, timeout_seconds=30)
        begun = client.backups.verify(made.id, level=1)
        verified = client.backups.wait_job(begun.job_id, timeout_seconds=30)
        planned = client.backups.plan_restore(made.id, to_position=made.position)
        store = client.store()
        newest = next(iter(client.backups.list(limit=1)))
        expired = client.backups.wait_job(client.backups.expire(dry_run=True).job_id)
        with pytest.raises(Conflict) as other_epoch:
            client.backups.restore(made.id, if_epoch=7)
        with pytest.raises(Conflict) as nothing:
            client.backups.undo_restore(if_epoch=store.epoch)

    async def ask() -> list[Any]:
        async with AsyncClient(shared_service.url, username="admin", password=PASSWORD) as other:
            with pytest.raises(NotFound):
                await other.backups.get(NOBODY)
            with pytest.raises(Invalid):
                await other.backups.create("differential")
            return [await other.backups.get(made.id), await other.store()]

    assert (made.status, made.finished) == ("verified", True)
    assert verified.result is not None
    assert verified.result["level"] == 1
    assert planned.plan.position == made.position
    assert (planned.job, planned.plan.to_epoch) == (None, store.epoch + 1)
    assert newest.id == made.id
    assert expired.result is not None
    assert expired.result["archives"] == []
    assert other_epoch.value.code == "version_mismatch"
    assert nothing.value.code == "nothing_to_undo"
    found, same_store = asyncio.run(ask())
    assert (found.id, found.level) == (made.id, 2)
    assert same_store.store_id == store.store_id
