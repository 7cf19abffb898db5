"""The wrapped keys of subjects, in PostgreSQL."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from application.erasure.ports import Erasure, StoredKey
from infrastructure.postgres import sql_files
from infrastructure.postgres.pool import async_connection_of, read_async

SQL = sql_files.load("subjects.sql")

Parameters = Sequence[Any] | Mapping[str, Any]


class PostgresSubjectKeys:
    """The SubjectKeys. Each method is one statement; all raise DatabaseUnavailable."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[TupleRow]]) -> None:
        self._pool = pool

    async def find(self, subject_ids: Collection[UUID]) -> Sequence[StoredKey]:
        """By primary key."""
        return [
            StoredKey(subject_id=row[0], wrapped=row[1], erased_at=row[2])
            for row in await self._read("find", (list(subject_ids),))
        ]

    async def add(self, tenant: str, wrapped: dict[UUID, bytes]) -> None:
        """Those that are there stay as they are."""
        keys = {"tenant": tenant, "ids": list(wrapped), "wrapped": list(wrapped.values())}
        await self._write("add", keys)

    async def destroy(self, erasures: Sequence[Erasure]) -> None:
        """The rows stay, without their keys."""
        if not erasures:
            return
        columns = {
            "ids": [one.subject_id for one in erasures],
            "tenants": [one.tenant for one in erasures],
            "times": [one.erased_at for one in erasures],
            "actors": [one.actor for one in erasures],
        }
        await self._write("destroy", columns)

    async def erased(self, *, since: datetime | None = None) -> Sequence[Erasure]:
        """By the index of those that were destroyed, by this database's own time."""
        return _erasures(await self._read("erased", {"since": since}))

    async def unrecorded(self, *, limit: int) -> Sequence[Erasure]:
        """By the unique index of the log."""
        return _erasures(await self._read("unrecorded", {"limit": limit}))

    async def _write(self, name: str, parameters: Parameters) -> None:
        async with async_connection_of(self._pool) as connection:
            await connection.execute(SQL[name], parameters)

    async def _read(self, name: str, parameters: Parameters) -> list[TupleRow]:
        async def ask(connection: AsyncConnection[TupleRow]) -> list[TupleRow]:
            return await (await connection.execute(SQL[name], parameters)).fetchall()

        return await read_async(self._pool, ask)


def _erasures(rows: Sequence[TupleRow]) -> list[Erasure]:
    return [
        Erasure(subject_id=row[0], tenant=row[1], erased_at=row[2], actor=row[3]) for row in rows
    ]
