"""Goal: a backup of one process and letting go by another never cross. Method: the job of a backup
in a process of its own, while this one lets archives go under the same advisory lock."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from application.archives.expiry import Expired, Expiry
from application.archives.retention import Rules
from application.ids import uuid7
from infrastructure.archives.child import ArchivistProcess
from infrastructure.archives.holding import letting_go
from infrastructure.archives.named_keys import named_key
from infrastructure.seals.signer import Ed25519Signer
from infrastructure.security.signing_key import load_or_make
from interfaces.bootstrap.archive_jobs.expire import known_in
from tests.conftest import Database
from tests.infrastructure.test_archive_taking import Vault
from tests.interfaces.test_backup_keeper import until
from tests.interfaces.test_expire_job import KNOWN

DAY = timedelta(days=1)
WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database
WHERE datname = current_database() AND locktype = 'advisory' AND objid = 7311006 AND NOT granted
"""


@pytest.fixture
def vault(database: Database, tmp_path: Path) -> Vault:
    vault = Vault(database, tmp_path / "backups")
    vault.signer = Ed25519Signer(load_or_make(tmp_path / "seal-key.pem"))
    return vault


def test_a_backup_waits_for_who_lets_archives_go_and_writes_anew_what_went(
    vault: Vault, tmp_path: Path
) -> None:
    vault.happen(50)
    kept = [vault.take("full")]
    vault.happen(5)
    unfinished = events_of_one_that_was_killed(vault)
    kept.append(vault.take("incremental"))

    with (
        letting_go(vault.database.url) as connection,
        backup_elsewhere(vault, tmp_path / "seal-key.pem") as backup,
    ):
        until(lambda: asked(vault, WAITING), lambda count: count == 1)
        assert not backup.done()
        remember(vault, [taken.file.manifest.archive_id for taken in kept])
        swept = swept_of(vault, connection)
        went = not (vault.folder / unfinished).exists()
        connection.close()
        taken = backup.result()

    (found,) = [
        file for file in vault.catalogue.manifests() if file.sha256 == taken["facts"]["sha256"]
    ]
    assert (went, swept.files) == (True, 1)
    assert taken["verified"] == {"level": 2, "events": 55}
    assert unfinished.removeprefix(f"{vault.store_id}/") in {e.name for e in found.manifest.files}
    assert [vault.sound_file(file) for file in vault.catalogue.manifests()] == [50, 55, 55]


def events_of_one_that_was_killed(vault: Vault) -> str:
    """Its segment of events, older than anybody waits for it; there is no manifest."""
    newest, taken = vault.newest, vault.take("full")
    (entry,) = taken.chain.files("events")
    vault.repository.delete(taken.file.name)
    vault.newest = newest
    path = vault.folder / str(vault.store_id) / entry.name
    old = (datetime.now(UTC) - 2 * DAY).timestamp()
    os.utime(path, (old, old))
    return str(path.relative_to(vault.folder))


def swept_of(vault: Vault, connection: Any) -> Expired:
    """As the job lets go, under its lock."""
    rules = Rules(last=9, daily=0, weekly=0, monthly=0, age_min=timedelta(0))
    expiry = Expiry(vault.repository, vault.catalogue, rules=rules, grace=DAY, key_of=named_key)
    known = known_in(connection)
    return expiry.run(known, now=datetime.now(UTC), dry_run=False, told=lambda *_: None)


@contextmanager
def backup_elsewhere(vault: Vault, key_file: Path) -> Iterator[Future[dict[str, Any]]]:
    """A full one, by a process of its own."""
    settings = {"backup_store": str(vault.folder), "seal_key_file": str(key_file)}

    async def told() -> dict[str, Any]:
        return {
            "settings": settings,
            "database_url": vault.database.url,
            "owner_url": vault.database.owner_url,
            "trusted_keys": [vault.signer.key_id],
        }

    request: dict[str, Any] = {
        "archive_id": str(uuid7()),
        "type": "full",
        "newest": None,
        "verified": [],
        "store_id": str(vault.store_id),
        "ordered_at": 55,
        "topics": {"subject.erased": 1},
        "release": "1",
    }
    archivist = ArchivistProcess(told)
    with ThreadPoolExecutor(1) as thread:
        job = archivist.run("backup", request, lambda *_: None)
        yield thread.submit(asyncio.run, job)


def remember(vault: Vault, archive_ids: list[UUID]) -> None:
    """In the log's list, as verified."""
    with psycopg.connect(vault.database.owner_url) as owner:
        for archive_id in archive_ids:
            owner.execute(KNOWN, (archive_id, "verified"))


def asked(vault: Vault, statement: str) -> int:
    with psycopg.connect(vault.database.owner_url) as owner:
        row = owner.execute(statement).fetchone()
    assert row is not None
    return int(row[0])
