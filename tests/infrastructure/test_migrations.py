"""Goal: any number of processes may start at once on an empty database.

Method: 20 times over, 4 real processes migrate the same new database at the same moment.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from infrastructure.postgres import migrate as module
from infrastructure.postgres.migrate import MigrationFailed, all_migrations, migrate
from tests.conftest import APPLICATION_URL, OWNER_URL, Database

STARTS, PROCESSES = 20, 4
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
