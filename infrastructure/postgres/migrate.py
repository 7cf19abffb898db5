"""Numbered migrations, applied once, in order, by one process at a time."""

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from domain.errors import DatabaseUnavailable
from infrastructure.postgres.pool import CONNECTION, SCHEMA
from infrastructure.postgres.sql_files import load

SQL = load("migrate.sql")
FOLDER = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 7311000
LOCK_WAIT_SECONDS = 600
LOCK_POLL_SECONDS = 0.05
SERVER_VERSION_MIN = 150000
WITHOUT_TRANSACTION = "-- without a transaction\n"
"""The first line of a migration whose statements are sent one by one, each by itself."""
_INDEX = re.compile(r"CREATE INDEX CONCURRENTLY IF NOT EXISTS (\w+)")


class MigrationFailed(Exception):
    """The database cannot be brought to the shape that this code needs; the message says why."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step, from a file `NNNN_name.sql`. Once shipped, it is never edited.

    It is applied in one transaction, or, where its first line says `-- without a transaction`, a
    statement at a time. Those build indexes while others write, and nothing else: only what can be
    done again may be left half done.
    """

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Tells whether the file is the one that was applied."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def indexes(self) -> dict[str, str] | None:
        """The statements by the indexes that they build, of one without a transaction."""
        if not self.text.startswith(WITHOUT_TRANSACTION):
            return None
        code = "\n".join(line for line in self.text.splitlines() if not line.startswith("--"))
        statements = [one.strip() for one in code.split(";") if one.strip()]
        names = [_INDEX.match(statement) for statement in statements]
        assert all(names), f"migration {self.number} may only build indexes concurrently"
        return {n[1]: one for n, one in zip(names, statements, strict=True) if n}


def all_migrations() -> list[Migration]:
    """Every step, in order."""
    migrations = []
    for path in sorted(FOLDER.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_(\w+)", path.stem)
        assert match, f"{path.name} is not named NNNN_name.sql"
        migrations.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    return migrations


def migrate(owner_url: str, application_url: str, *, schema: str = SCHEMA) -> None:
    """Bring the database to the newest shape, as its owner, and let the application's role in.

    Safe to run by many processes at once. Another `schema` is a store that is not in its place:
    its functions work once it has the name of the one that serves. Raises MigrationFailed,
    DatabaseUnavailable.
    """
    try:
        with psycopg.connect(owner_url, **CONNECTION) as connection:
            application_role = _role_of(application_url, connection)
            _migrate(connection, application_role, all_migrations(), schema)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"The database does not answer: {error}") from error
    except psycopg.Error as error:
        raise MigrationFailed(f"A migration failed: {error}") from error


def _migrate(
    connection: Connection[TupleRow],
    application_role: str,
    migrations: Sequence[Migration],
    name: str,
) -> None:
    if connection.info.server_version < SERVER_VERSION_MIN:
        found = connection.info.server_version // 10_000
        raise MigrationFailed(f"PostgreSQL 15 or later is needed, not {found}.")
    connection.execute(f"SET lock_timeout = '{LOCK_WAIT_SECONDS}s'")
    connection.execute("SET statement_timeout = 0")
    _lock(connection)
    schema = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    connection.execute(sql.SQL("SET search_path = {}").format(schema))
    if name != SCHEMA:
        # Bodies of functions speak of the schema that serves, which may not be there yet.
        connection.execute("SET check_function_bodies = off")
    connection.execute(SQL["make_table"])
    rows = connection.execute(SQL["applied"]).fetchall()
    applied: dict[int, str] = {row[0]: row[1] for row in rows}
    _refuse_strangers(applied, migrations)
    for migration in migrations:
        if migration.number not in applied:
            _apply(connection, migration, application_role, name)


def _lock(connection: Connection[TupleRow]) -> None:
    """For the session, so that it also covers the making of the table of migrations.

    Asked for again and again: who waits for a lock within a statement holds a snapshot, and an
    index that is built concurrently waits for that. Raises DatabaseUnavailable.
    """
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while connection.execute(SQL["lock"], (MIGRATION_LOCK,)).fetchone() != (True,):
        if time.monotonic() >= deadline:
            message = f"Another process has been migrating for {LOCK_WAIT_SECONDS} s."
            raise DatabaseUnavailable(message)
        time.sleep(LOCK_POLL_SECONDS)


def _refuse_strangers(applied: dict[int, str], migrations: Sequence[Migration]) -> None:
    known = {migration.number: migration.checksum for migration in migrations}
    newer = sorted(set(applied) - set(known))
    if newer:
        raise MigrationFailed(f"The database is of a newer version (migration {newer[-1]}).")
    edited = [number for number, checksum in applied.items() if known[number] != checksum]
    if edited:
        raise MigrationFailed(f"Migration {edited[0]} was edited after it was applied.")


def _apply(
    connection: Connection[TupleRow], migration: Migration, application_role: str, schema: str
) -> None:
    role = sql.Identifier(application_role).as_string(connection)
    text = migration.text.replace("{application_role}", role)
    text = text.replace(f"USAGE ON SCHEMA {SCHEMA} ", f"USAGE ON SCHEMA {schema} ")
    note = (migration.number, migration.name, migration.checksum)
    if migration.indexes is not None:
        _build(connection, migration.indexes, schema)
        connection.execute(SQL["note"], note)
        return
    with connection.transaction():
        connection.execute(text, prepare=False)
        connection.execute(SQL["note"], note)


def _build(connection: Connection[TupleRow], indexes: Mapping[str, str], schema: str) -> None:
    """Those that are not there yet. What a build that was killed left behind, which nobody reads
    and every append pays for, is dropped first."""
    for name, statement in indexes.items():
        if connection.execute(SQL["invalid"], (name,)).fetchone():
            index = sql.Identifier(schema, name)
            connection.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(index))
        # Nobody else writes to another schema; a concurrent build would wait for them elsewhere.
        build = statement if schema == SCHEMA else statement.replace(" CONCURRENTLY", "")
        connection.execute(build, prepare=False)


def _role_of(application_url: str, connection: Connection[TupleRow]) -> str:
    user = psycopg.conninfo.conninfo_to_dict(application_url).get("user")
    return str(user or connection.info.user)
