"""Backups and restores, in turns with pg_dump and pg_restore of the same table.

Each figure is the median of its rounds, with the least and the most. "Taken" and "verified" are one
process besides PostgreSQL's; an increment is all of it, from the order to the answer of the process
that took and verified it.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import psycopg
import uvloop
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from application.archives.chain import Catalogue
from application.ids import uuid7
from benchmarks import our_seals, ours
from benchmarks.timing import rate_in_flight
from domain.catalogue import EVENTS
from infrastructure.archives.checking import Effort
from infrastructure.archives.child import ArchivistProcess
from infrastructure.archives.collecting import snapshot_of
from infrastructure.archives.encryption import DataKeys
from infrastructure.archives.folder import FolderRepository
from infrastructure.archives.loading import Loading
from infrastructure.archives.next_store import NextStore, owner_session
from infrastructure.archives.restoring import source_of
from infrastructure.archives.taking import Order, Taken, Taking
from infrastructure.archives.verifying import verify_archive
from infrastructure.postgres.embedded_programs import find_programs
from infrastructure.seals.signer import Ed25519Signer, signed
from infrastructure.security import signing_key
from infrastructure.settings import Settings
from interfaces.bootstrap.archives import job_settings

RESULT = Path(__file__).parent / "results" / "backup.json"
EVENTS_WHOLE, EVENTS_QUICK = 1_000_000, 200_000
INCREMENT_EVENTS = 10_000
ROUNDS = 3
IN_FLIGHT = 256
APPEND_SECONDS = 6.0
TOPICS = {topic: getattr(kind, "class_version", 1) for topic, kind in EVENTS.items()}
FILL = (Path(__file__).parent / "backup_fill.sql").read_text(encoding="utf-8")
TARGET = """
CREATE SCHEMA musterroll; CREATE SEQUENCE musterroll.positions;
CREATE FUNCTION musterroll.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no'; END $$
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A log, a folder for its archives, and what both are measured with."""

    urls: ours.Urls
    folder: Path
    programs: Path
    store_id: UUID
    signer: Ed25519Signer

    @property
    def repository(self) -> FolderRepository:
        """The archives."""
        return FolderRepository(self.folder / "backups", self.store_id)

    @property
    def catalogue(self) -> Catalogue:
        """The same, as they are listed."""
        return Catalogue(self.repository, self.store_id, signed, {self.signer.key_id})

    def full(self) -> Taken:
        """A new one, in an empty repository."""
        shutil.rmtree(self.folder / "backups", ignore_errors=True)
        order = Order(archive_id=uuid7(), type="full", newest=None, topics=TOPICS, release="bench")
        taking = Taking(self.repository, self.catalogue, self.signer, lambda *_: None)
        with snapshot_of(self.urls.application) as snapshot:
            return taking.take(order, snapshot, None)

    def verify(self, taken: Taken, processes: int) -> None:
        """Level 2."""
        keys, effort = DataKeys(self.repository, None), Effort(processes=processes)
        told: Callable[..., None] = lambda *_: None  # noqa: E731
        found = verify_archive(
            self.repository, self.catalogue, taken.file, 2, keys, told, effort=effort
        )
        assert found.events == taken.chain.newest.size

    def load(self, taken: Taken, owner_url: str, processes: int) -> None:
        """Into a database of its own, with its indexes and seals; without read models."""
        source = source_of(
            self.repository,
            self.store_id,
            taken.chain.newest.archive_id,
            identity_file=None,
            trusted={self.signer.key_id},
        )
        application = make_conninfo(
            self.urls.application, dbname=str(conninfo_to_dict(owner_url)["dbname"])
        )
        with owner_session(owner_url) as connection:
            store = NextStore(connection, "musterroll")
            store.make(owner_url, application)
            effort, told = Effort(processes=processes), lambda *_: None
            loading = Loading(store, source.chain, source.files, signed, told, effort=effort)
            loading.load(source.cut(), tables=source.chain)

    def program(self, name: str, *words: str) -> None:
        """One of PostgreSQL's."""
        subprocess.run([str(self.programs / name), *words], check=True, capture_output=True)

    @contextmanager
    def another_database(self) -> Iterator[str]:
        """Its owner's URL."""
        name = f"bench_{uuid7().hex}"
        with psycopg.connect(self.urls.owner, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
            try:
                yield make_conninfo(self.urls.owner, dbname=name)
            finally:
                # FORCE is refused while autovacuum is in it, which a plain drop sends away.
                connection.execute(f"DROP DATABASE {name}".encode())

    def happen(self, events: int) -> None:
        """So many more."""
        with psycopg.connect(self.urls.owner, autocommit=True) as connection:
            before = ours.count_events(self.urls)
            connection.execute(FILL.encode(), {"tasks": events // 4, "after": before})
            connection.execute("VACUUM ANALYZE musterroll.events")

    def archivist(self) -> ArchivistProcess:
        """As a service has it."""
        settings = Settings(data_dir=self.folder, backup_store=str(self.folder / "backups"))

        async def told() -> dict[str, Any]:
            return {
                **job_settings(settings),
                "database_url": self.urls.application,
                "owner_url": self.urls.owner,
                "trusted_keys": [self.signer.key_id],
            }

        return ArchivistProcess(told)

    def request(self, kind: str, newest: Taken | None) -> dict[str, Any]:
        """For a job."""
        return {
            "store_id": str(self.store_id),
            "archive_id": str(uuid7()),
            "type": kind,
            "newest": newest
            and {
                "archive_id": str(newest.chain.newest.archive_id),
                "sha256": newest.file.sha256,
            },
            "verified": [str(file.manifest.archive_id) for file in newest.chain.manifests]
            if newest
            else [],
            "topics": TOPICS,
            "ordered_at": 0,
            "release": "bench",
        }


@contextmanager
def a_bench(parent: Path) -> Iterator[Bench]:
    """On a PostgreSQL of its own, durable as it is shipped."""
    folder = Path(tempfile.mkdtemp(prefix="backup-", dir=parent))
    try:
        with ours.postgres(folder / "postgres") as urls:
            ours.migrated(urls)
            with psycopg.connect(urls.application) as connection:
                row = connection.execute("SELECT store_id FROM musterroll.store").fetchone()
            assert row is not None
            signer = Ed25519Signer(signing_key.load_or_make(folder / "seal-key.pem"))
            programs = find_programs(folder / "postgres").folder
            yield Bench(urls, folder, programs, row[0], signer)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def rates(bench: Bench, events: int, rounds: int) -> dict[str, list[float]]:
    """Events a second of each, in turns."""
    found: dict[str, list[float]] = {}
    dump = bench.folder / "events.dump"

    def note(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(events / seconds)

    for _ in range(rounds):
        taken: list[Taken] = []
        note("full", timed(lambda: taken.append(bench.full())))  # noqa: B023
        note("verify", timed(lambda: bench.verify(taken[0], 1)))  # noqa: B023
        note("verify_2_processes", timed(lambda: bench.verify(taken[0], 2)))  # noqa: B023
        for processes, name in ((1, "restore"), (2, "restore_2_processes")):
            with bench.another_database() as owner_url:
                note(name, timed(lambda: bench.load(taken[0], owner_url, processes)))  # noqa: B023
        dumping = ("-Fc", "-t", "musterroll.events", "-f", str(dump), bench.urls.owner)
        note("pg_dump", timed(lambda: bench.program("pg_dump", *dumping)))  # noqa: B023
        with bench.another_database() as owner_url:
            with psycopg.connect(owner_url, autocommit=True) as connection:
                connection.execute(TARGET.encode())
            filling = ("--no-owner", "--no-privileges", "-d", owner_url, str(dump))
            note("pg_restore", timed(lambda: bench.program("pg_restore", *filling)))  # noqa: B023
    found["pg_dump_bytes_an_event"] = [dump.stat().st_size / events]
    return found


async def increments(bench: Bench, rounds: int) -> list[float]:
    """Seconds for each, all included."""
    taken, archivist, found = bench.full(), bench.archivist(), []
    for _ in range(rounds):
        bench.happen(INCREMENT_EVENTS)
        began = time.monotonic()
        answer = await archivist.run("backup", bench.request("incremental", taken), lambda *_: None)
        found.append(time.monotonic() - began)
        assert answer["type"] == "incremental"
        assert answer["verified"] is not None, answer
        file = bench.catalogue.one(UUID(answer["facts"]["manifest"][-41:-5]))
        taken = Taken(file=file, chain=bench.catalogue.chain(file))
    return found


async def appends(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Submissions a second, without a backup and during full ones, in turns."""
    found: dict[str, list[float]] = {"append": [], "append_during_backup": []}
    with ours.somebody_else_leads(bench.urls):
        async with ours.a_process(bench.urls, bench.folder / "data") as process:

            async def submit() -> None:
                await process.commands.execute(ours.submit_task())

            async def measured(name: str) -> None:
                _, rate = await rate_in_flight(submit, in_flight=IN_FLIGHT, seconds=APPEND_SECONDS)
                found[name].append(rate)

            await rate_in_flight(submit, in_flight=IN_FLIGHT, seconds=2.0)
            for _ in range(rounds):
                await measured("append")
                backups = asyncio.create_task(_full_again_and_again(bench))
                await measured("append_during_backup")
                backups.cancel()
                await asyncio.wait([backups])
    found["append_share"] = [
        during / alone
        for alone, during in zip(found["append"], found["append_during_backup"], strict=True)
    ]
    return found


async def _full_again_and_again(bench: Bench) -> None:
    archivist = bench.archivist()
    while True:
        await archivist.run("backup", bench.request("full", None), lambda *_: None)


def measure(bench: Bench, events: int, rounds: int) -> dict[str, list[float]]:
    """Every figure."""
    bench.happen(events)
    our_seals.seal_everything(our_seals.a_sealer(bench.urls, bench.folder))
    found = rates(bench, events, rounds)
    taken = bench.full()
    found["bytes_an_event"] = [sum(file.size for file in taken.files) / events]
    found["increment_seconds"] = uvloop.run(increments(bench, rounds))
    found.update(uvloop.run(appends(bench, rounds)))
    return found


def main() -> None:
    """Measure, print, and keep what is whole."""
    parser = argparse.ArgumentParser(prog="scripts/bench_backup.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200,000 events, one round")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    asked = parser.parse_args()
    events, rounds = (EVENTS_QUICK, 1) if asked.quick else (EVENTS_WHOLE, ROUNDS)
    with a_bench(asked.folder) as bench:
        found = measure(bench, events, rounds)
    figures = {
        name: {"median": median(values), "least": min(values), "most": max(values)}
        for name, values in found.items()
    }
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "events": events,
        "rounds": rounds,
        "figures": figures,
    }
    for name, figure in figures.items():
        spread = f"{figure['least']:>14,.2f} to {figure['most']:,.2f}"
        print(f"{name:<26}{figure['median']:>14,.2f}   {spread}")
    if not asked.quick:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
