"""Goal: any number of processes may start at once on an empty database.

Method: 20 times over, 4 real processes migrate the same new database at the same moment. And: who
migrates a log that is written to, holds up nobody; an index build is kept waiting for that by a
transaction that holds a lock on the log.
"""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from domain.errors import DatabaseUnavailable
from infrastructure.postgres import migrate as module
from infrastructure.postgres.migrate import Migration, MigrationFailed, all_migrations, migrate
from tests.conftest import APPLICATION_URL, OWNER_URL, Database
from tests.faults.tampering import write_events

STARTS, PROCESSES = 20, 4
SECONDS_MAX = 30
PROGRAM = """
import sys
from infrastructure.postgres.migrate import migrate
sys.stdin.readline()
migrate(sys.argv[1], sys.argv[2])
"""


@pytest.fixture
def empty_databases() -> Iterator[list[str]]:
    names = [f"empty_{uuid.uuid4().hex}" for _ in range(STARTS)]
    with psycopg.connect(os.environ[OWNER_URL], autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY")
        yield names
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_twenty_starts_of_four_processes_at_once_all_succeed(empty_databases: list[str]) -> None:
    failures = []
    for name in empty_databases:
        urls = [make_conninfo(os.environ[url], dbname=name) for url in (OWNER_URL, APPLICATION_URL)]
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *urls],
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[2],
            )
            for _ in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            _, errors = process.communicate(timeout=60)
            if process.returncode:
                failures.append(errors)
        with psycopg.connect(urls[1]) as connection:
            numbers = connection.execute(
                "SELECT number FROM pg_tables, LATERAL (SELECT 1) x(number)"
                " WHERE schemaname = 'musterroll' AND tablename = 'events'"
            ).fetchall()
        assert len(numbers) == 1
    assert failures == []


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute(
            "INSERT INTO musterroll.schema_migrations VALUES (9999, 'future', 'x', now())"
        )

    with pytest.raises(MigrationFailed, match="newer version"):
        migrate(database.owner_url, database.url)


def test_a_migration_that_was_edited_after_it_was_applied_is_refused(database: Database) -> None:
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("UPDATE musterroll.schema_migrations SET checksum = 'x' WHERE number = 1")

    with pytest.raises(MigrationFailed, match="edited"):
        migrate(database.owner_url, database.url)


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [m.number for m in all_migrations()] == list(range(1, len(all_migrations()) + 1))
    assert module.FOLDER.is_dir()


# Indexes on the log, which are built while it is written to.


def test_appends_go_on_while_an_index_of_the_log_is_built(database: Database, rng: Random) -> None:
    with ThreadPoolExecutor(2) as threads, before_the_indexes(database) as owner:
        with building(database):
            first = threads.submit(migrate, database.owner_url, database.url)
            pid = the_builder(owner)
            # A second process that starts meanwhile must not be what the first one waits for.
            second = threads.submit(migrate, database.owner_url, database.url)
            assert the_one_that(owner, "%SELECT pg_%advisory_lock") != pid
            owner.execute("SET lock_timeout = '2s'")

            write_events(owner, rng, 100)

            assert the_one_that(owner, "CREATE INDEX", "active") == pid
        first.result(timeout=60)
        second.result(timeout=60)

        assert indexes(owner) == dict.fromkeys(BUILT, True)


def test_the_build_of_an_index_that_was_killed_is_taken_up(database: Database, rng: Random) -> None:
    with ThreadPoolExecutor(1) as threads, before_the_indexes(database) as owner:
        with building(database):
            killed = threads.submit(migrate, database.owner_url, database.url)
            pid = the_builder(owner)
            owner.execute("SELECT pg_terminate_backend(%s)", (pid,))
            with pytest.raises(DatabaseUnavailable):
                killed.result(timeout=60)
            assert list(indexes(owner).values()) == [False]
            write_events(owner, rng, 100)

        migrate(database.owner_url, database.url)

        assert indexes(owner) == dict.fromkeys(BUILT, True)
        numbers = owner.execute("SELECT number FROM schema_migrations ORDER BY 1").fetchall()
        assert [number for (number,) in numbers] == [m.number for m in all_migrations()]


def test_a_migration_without_a_transaction_can_do_nothing_but_build_indexes() -> None:
    bad = Migration(1, "bad", f"{module.WITHOUT_TRANSACTION}CREATE INDEX x ON y (z);\n")

    with pytest.raises(AssertionError, match="may only build indexes"):
        assert bad.indexes


BUILT = [name for one in all_migrations() for name in one.indexes or ()]


@contextmanager
def before_the_indexes(database: Database) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """The owner, in a database to which the migrations that build indexes are still to come."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("SET search_path = musterroll")
        owner.execute(f"DROP INDEX {', '.join(BUILT)}")
        numbers = [one.number for one in all_migrations() if one.indexes is not None]
        owner.execute("DELETE FROM schema_migrations WHERE number = ANY (%s)", (numbers,))
        yield owner


@contextmanager
def building(database: Database) -> Iterator[None]:
    """A build that began within waits until the end."""
    with psycopg.connect(database.owner_url) as slow:
        slow.execute("LOCK TABLE musterroll.events IN ROW EXCLUSIVE MODE")
        yield


def the_builder(owner: "psycopg.Connection[tuple[object, ...]]") -> object:
    """The process id of the session that builds an index, of which the row is committed."""
    pid, deadline = the_one_that(owner, "CREATE INDEX", "active"), time.monotonic() + SECONDS_MAX
    while not indexes(owner):
        assert time.monotonic() < deadline, "no index was begun"
    return pid


def the_one_that(
    owner: "psycopg.Connection[tuple[object, ...]]", query: str, state: str = "%"
) -> object:
    """The process id of the session whose last statement begins so, once there is one."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        row = owner.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND query LIKE %s AND state LIKE %s AND pid <> pg_backend_pid()",
            (f"{query}%", state),
        ).fetchone()
        if row:
            return row[0]
    raise AssertionError(f"nobody came to {query}")


def indexes(owner: "psycopg.Connection[tuple[object, ...]]") -> dict[str, bool]:
    """Which of those that are built concurrently are there, and whether they are whole."""
    rows = owner.execute(
        "SELECT relname, indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
        " WHERE relname = ANY(%s)",
        (BUILT,),
    ).fetchall()
    return {str(name): bool(valid) for name, valid in rows}
