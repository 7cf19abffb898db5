"""Letting archives go as the service does: in a process of its own, over archives that verify."""

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from application.archives.chain import ManifestFile
from application.archives.faults import BadArchive
from application.archives.ports import JobFailed
from infrastructure.archives.child import ArchivistProcess
from infrastructure.archives.holding import writing
from tests.archive_forge import Forge, entries_of, row_of
from tests.conftest import Database

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
KNOWN = """
INSERT INTO musterroll.archives
    (archive_id, tenant, type, status, requested_by, started_at, version, position)
VALUES (%s, 'default', 'full', %s, 'schedule', now(), 1, 1)
"""


@pytest.fixture
def forge(tmp_path: Path, rng: random.Random) -> Forge:
    return Forge(tmp_path / "kept", rng)


def take(forge: Forge, taken_at: datetime) -> ManifestFile:
    """A full archive of a log that has grown, with the keys of a subject."""
    forge.write_sealed(70)
    position = forge.events[-1].position
    keys = forge.draft("subject_keys", 0, position, columns=("subject_id", "wrapped"))
    segments = [*forge.segments(), forge.segment(keys, [row_of([bytes(16), b"wrapped"])])]
    return forge.keep(forge.manifest("full", segments, taken_at=taken_at))


def expire(
    forge: Forge, database: Database, statuses: Mapping[UUID, str], **settings: Any
) -> dict[str, Any]:
    rules = {"backup_keep_daily": 0, "backup_keep_weekly": 0, "backup_keep_monthly": 0}
    told = {
        "settings": {"backup_store": str(forge.folder), "seal_key_file": None, **rules, **settings},
        "database_url": database.url,
        "owner_url": None,
        "trusted_keys": [forge.signer.key_id],
    }
    request = {"store_id": str(forge.store_id), "dry_run": False}
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("TRUNCATE musterroll.archives")
        for archive_id, status in statuses.items():
            connection.execute(KNOWN, (archive_id, status))

    async def settings_of_jobs() -> dict[str, Any]:
        return told

    archivist = ArchivistProcess(settings_of_jobs)
    return asyncio.run(archivist.run("expire", request, lambda *_: None))


def test_what_goes_is_told_with_the_reason_and_what_stays_verifies(
    forge: Forge, database: Database
) -> None:
    old, failed, new = (take(forge, NOW - days * DAY) for days in (5, 4, 3))
    statuses = {file.manifest.archive_id: "verified" for file in (old, new)}

    result = expire(
        forge, database, {**statuses, failed.manifest.archive_id: "failed"}, backup_keep_last=1
    )

    gone = [file.manifest.archive_id for file in (failed, old)]
    assert result == {
        "archives": [{"id": str(one), "reason": "no rule keeps it"} for one in gone],
        "kept": [
            {
                "id": str(new.manifest.archive_id),
                "reason": "one of the last 1, the newest verified, the newest of epoch 1",
            }
        ],
        "unreadable": [],
        "files": 0,
        "bytes": 0,
        "locked": 0,
        "dry_run": False,
    }
    assert forge.verify(new, 3).events == 210


def test_an_old_archive_verifies_without_what_is_personal(forge: Forge, database: Database) -> None:
    taken = [take(forge, NOW - days * DAY) for days in (39, 38, 37, 36, 35)]
    statuses = {file.manifest.archive_id: "verified" for file in taken}

    result = expire(forge, database, statuses, backup_keep_last=9, backup_grace_hours=0)

    assert result["files"] == 2
    for file in taken[:2]:
        (entry,) = entries_of(file, "subject_keys")
        assert not (forge.folder / str(forge.store_id) / entry.name).exists()
    assert [forge.verify(file, 3).events for file in taken] == [70, 140, 210, 280, 350]


def test_what_is_personal_may_not_be_missing_where_it_should_be_there(forge: Forge) -> None:
    files = [take(forge, NOW - days * DAY) for days in (39, 38, 37, 36)]
    young = take(forge, NOW - 29 * DAY)
    for file in (files[2], young):
        (entry,) = entries_of(file, "subject_keys")
        forge.repository.delete(entry.name)

        with pytest.raises(BadArchive, match="file_missing"):
            forge.verify(file, 0)


def test_a_place_that_is_not_there_is_told_of(
    forge: Forge, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(JobFailed) as failed:
        expire(forge, database, {}, backup_store=str(tmp_path / "not" / "mounted"))

    assert failed.value.code == "repository_unavailable"

    with pytest.raises(JobFailed) as failed:
        expire(forge, database, {}, backup_store="gopher://hunter2")
    assert (failed.value.code, "hunter2" in failed.value.message) == ("bad_repository_url", False)


def test_nothing_is_let_go_while_any_process_writes_an_archive(
    forge: Forge, database: Database
) -> None:
    taken = take(forge, NOW - 5 * DAY)

    with writing(database.url), pytest.raises(JobFailed) as failed:
        expire(forge, database, {taken.manifest.archive_id: "failed"})

    assert failed.value.code == "archive_job_running"
    assert forge.verify(taken, 2).events == 70
