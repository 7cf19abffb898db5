"""What an archive is made of, read from PostgreSQL in one snapshot."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from application.archives.manifest import Digest
from domain.errors import DatabaseUnavailable
from infrastructure.postgres.pool import CONNECTION
from infrastructure.postgres.row_copy import rows_of
from infrastructure.postgres.sql_files import load

SQL = load("archives.sql")
EVENTS = load("seals.sql")["rows"]
"""The very statement by whose rows the log is sealed."""
TABLES: Mapping[str, str] = {
    "accounts": "account_id",
    "webhooks": "webhook_id",
    "webhook_letters": "webhook_id, position",
    "subject_keys": "subject_id",
    "seal_keys": "key_id",
}
"""What is no history and travels along whole, with the columns that order it."""
NICENESS = 10
READ_MODELS: Mapping[str, str] = {
    "task_board": "task_id",
    "agent_roster": "agent_id",
    "activity_feed": "position",
    "archives": "archive_id",
}
"""Read models by their key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where the log stands in a snapshot. `last` is its newest position, recorded at `last_at`;
    `issued` the highest position that was handed out; `sealed` size and root of the newest head,
    None where there is none. `now` is the database's time."""

    store_id: UUID
    epoch: int
    last: int
    last_at: datetime
    issued: int
    now: datetime
    migration: str
    sealed: tuple[int, bytes] | None


class Snapshot:
    """The log and the tables as they stand at one moment, for as long as it is open. Holds up
    nobody. Rows are as COPY sends them, each good until the next is asked for; reading them raises
    psycopg.Error, since each word more costs as much as its hash, and everything else
    DatabaseUnavailable."""

    def __init__(self, connection: Connection[TupleRow], url: str) -> None:
        self._connection = connection
        self._url = url
        self._exported: str | None = None

    def standing(self) -> Standing:
        """Of a log that holds something: the order for an archive at least."""
        row = self._one(SQL["context"])
        assert row is not None, "nobody orders an archive of an empty log"
        store_id, epoch, last, last_at, issued, now, migration = row
        head = self._one(SQL["sealed"])
        return Standing(
            store_id=store_id,
            epoch=epoch,
            last=last,
            last_at=last_at,
            # What is handed out while we look is not in the snapshot, and what is in it was.
            issued=max(issued, last),
            now=now,
            migration=migration,
            sealed=None if head is None else (head[0], bytes(head[1])),
        )

    def begins(self) -> int:
        """The position with which the present epoch begins; 0 for the first."""
        row = self._one(SQL["begins"])
        assert row is not None
        return int(row[0])

    def events(self, *, after: int, until: int) -> Iterator[memoryview]:
        """In the order of positions: the canonical bytes behind a zero byte, as they are hashed."""
        return self._rows(EVENTS.format(after=int(after), until=int(until)).encode())

    def requests(self, *, after: int, until: int) -> Iterator[memoryview]:
        """Those that came with the events behind one position and up to another; behind position 0
        also those that changed nothing."""
        return self._rows(SQL["requests"].format(after=int(after), until=int(until)).encode())

    def heads(self, *, after_size: int, until: int) -> Iterator[memoryview]:
        """Of a larger size, up to a position."""
        return self._rows(SQL["heads"].format(after=int(after_size), until=int(until)).encode())

    def columns(self, table: str) -> tuple[str, ...]:
        """Of one of TABLES, as its rows have them."""
        with translated():
            found = self._connection.execute(SQL["columns"], (f"musterroll.{table}",)).fetchall()
        return tuple(row[0] for row in found)

    def table(self, table: str, columns: tuple[str, ...]) -> Iterator[memoryview]:
        """All rows of one of TABLES, with these of its columns."""
        statement = sql.SQL(SQL["table"]).format(
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            table=sql.Identifier(table),
            key=sql.SQL(TABLES[table]),
        )
        return self._rows(statement.as_string(self._connection).encode())

    def export(self) -> None:
        """Let `digests` see this snapshot, from whatever thread."""
        row = self._one("SELECT pg_export_snapshot()")
        assert row is not None
        self._exported = str(row[0])

    def digests(self) -> dict[str, Digest]:
        """What the read models are, each at its position. On a connection of its own: others may
        read here meanwhile."""
        assert self._exported is not None, "export comes first"
        found = {}
        with _session(self._url) as connection, translated():
            connection.execute(
                sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(self._exported))
            )
            for name, key in READ_MODELS.items():
                checkpoint = connection.execute(SQL["checkpoint"], (name,)).fetchone()
                digest = connection.execute(
                    sql.SQL(SQL["digest"]).format(
                        table=sql.Identifier(name), key=sql.Identifier(key)
                    )
                ).fetchone()
                assert digest is not None
                position = checkpoint[0] if checkpoint else 0
                found[name] = Digest(position=position, sha256=digest[0])
        return found

    def _rows(self, statement: bytes) -> Iterator[memoryview]:
        return rows_of(self._connection, statement)

    def _one(self, statement: str) -> TupleRow | None:
        with translated():
            return self._connection.cursor(binary=True).execute(statement).fetchone()


@contextmanager
def snapshot_of(url: str) -> Iterator[Snapshot]:
    """On a connection that can change nothing. Raises DatabaseUnavailable."""
    with _session(url) as connection:
        yield Snapshot(connection, url)


@contextmanager
def _session(url: str) -> Iterator[Connection[TupleRow]]:
    options: dict[str, Any] = {**CONNECTION, "autocommit": False}
    with translated():
        connection = psycopg.connect(url, **options)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        with translated():
            connection.execute(SQL["session"])
            connection.commit()
        _step_back(connection)
        yield connection
    finally:
        connection.close()


def _step_back(connection: Connection[TupleRow]) -> None:
    """Where PostgreSQL is of this machine, as the embedded one, what works for us there gets less
    of it than those who append."""
    info = connection.info
    if not info.host.startswith("/"):
        return
    # Whoever may not, or is in another container, leaves it as it is.
    with suppress(OSError):
        if Path(f"/proc/{info.backend_pid}/comm").read_text().startswith("postgres"):
            os.setpriority(os.PRIO_PROCESS, info.backend_pid, NICENESS)


@contextmanager
def translated() -> Iterator[None]:
    """Raises DatabaseUnavailable for what PostgreSQL says."""
    try:
        yield
    except psycopg.Error as error:
        reason = str(error).partition("\n")[0]
        raise DatabaseUnavailable(f"The database cannot be read: {reason}") from error


class Digesting(threading.Thread):
    """Works out the digests of a snapshot while its events are read."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(name="digests", daemon=True)
        self._snapshot = snapshot
        self._found: dict[str, Digest] = {}
        self._fault: DatabaseUnavailable | None = None

    def run(self) -> None:
        """Once it was started."""
        try:
            self._found = self._snapshot.digests()
        except DatabaseUnavailable as fault:
            self._fault = fault

    def result(self) -> dict[str, Digest]:
        """Waits for it. Raises DatabaseUnavailable."""
        self.join()
        if self._fault is not None:
            raise self._fault
        return self._found
