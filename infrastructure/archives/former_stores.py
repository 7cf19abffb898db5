"""Stores that a restore put aside: schemas of their own, with a note of when that was."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
from psycopg import AsyncConnection, Connection, sql
from psycopg.rows import TupleRow

from application.archives.restores import FormerStore, RestoredStore
from infrastructure.archives.next_store import SQL, translated
from infrastructure.postgres.pool import SCHEMA, read_async
from infrastructure.postgres.read_models import AsyncPool
from infrastructure.postgres.sql_files import load

KEPT = timedelta(days=7)
_NAME = re.compile(rf"{SCHEMA}_epoch_([0-9]{{1,10}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Former:
    """A store that was put aside, its schema, and since when; None: nobody knows."""

    epoch: int
    schema: str
    since: datetime | None

    @property
    def until(self) -> datetime | None:
        """From when on it may be dropped."""
        return self.since and self.since + KEPT


def former_name(epoch: int) -> str:
    """The schema of a store whose epoch has ended."""
    return f"{SCHEMA}_epoch_{epoch}"


def put_aside_note(at: datetime) -> str:
    """The comment on such a schema, which any role can read."""
    return f"put aside at {at.astimezone(UTC).isoformat(timespec='seconds')}"


def formers_in(connection: Connection[TupleRow]) -> list[Former]:
    """Newest first. Raises DatabaseUnavailable."""
    with translated():
        return _formers(connection.execute(SQL["schemas"]).fetchall())


def now_of(connection: Connection[TupleRow]) -> datetime:
    """By the clock of PostgreSQL, which all processes share. Raises psycopg.Error."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def drop_old(connection: Connection[TupleRow]) -> list[int]:
    """Drop those that were kept long enough; their epochs. Raises DatabaseUnavailable."""
    with translated():
        now = now_of(connection)
    old = [one for one in formers_in(connection) if one.until is not None and one.until <= now]
    for one in old:
        with translated():
            name = sql.Identifier(one.schema)
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(name))
    return [one.epoch for one in old]


class PostgresStoreSource:
    """Implements `application.archives.restores.StoreSource`."""

    def __init__(self, pool: AsyncPool) -> None:
        self._pool = pool

    async def head(self) -> int:
        """Raises DatabaseUnavailable."""
        return int((await self._rows(load("log.sql")["head"]))[0][0])

    async def restored(self) -> RestoredStore | None:
        """By an index of such events alone. Raises DatabaseUnavailable."""
        rows = await self._rows(SQL["restored"])
        if not rows:
            return None
        at, _, actor, state = rows[0]
        members = orjson.loads(bytes(state))
        return RestoredStore(
            at=at,
            position=members["at_position"],
            from_epoch=members["from_epoch"],
            archive_id=UUID(members["archive_id"]) if members["archive_id"] else None,
            actor=actor,
        )

    async def former(self) -> tuple[FormerStore, ...]:
        """Raises DatabaseUnavailable."""
        return tuple(
            FormerStore(epoch=one.epoch, until=one.until)
            for one in _formers(await self._rows(SQL["schemas"]))
            if one.until is not None
        )

    async def left_over(self) -> bool:
        """Whether there is anything but the store that serves: former ones, or one that is being
        built or was left when that came to nothing. Raises DatabaseUnavailable."""
        return any(schema != SCHEMA for schema, _ in await self._rows(SQL["schemas"]))

    async def _rows(self, statement: str) -> list[TupleRow]:
        async def ask(connection: AsyncConnection[TupleRow]) -> list[TupleRow]:
            return await (await connection.execute(statement)).fetchall()

        return await read_async(self._pool, ask)


def _formers(rows: list[TupleRow]) -> list[Former]:
    found = []
    for schema, note in rows:
        name = _NAME.fullmatch(schema)
        if name:
            found.append(Former(int(name[1]), schema, _since(note or "")))
    return sorted(found, key=lambda one: one.epoch, reverse=True)


def _since(note: str) -> datetime | None:
    try:
        return datetime.fromisoformat(note.removeprefix("put aside at "))
    except ValueError:
        return None
