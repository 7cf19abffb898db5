"""The audit trail in PostgreSQL: the log's own rows, by an index on its entries alone."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from application.audit.ports import Thing, TrailFilter
from application.ports import Record
from infrastructure.postgres.pool import read_async
from infrastructure.postgres.sql_files import load

SQL = load("audit.sql")

AsyncPool = AsyncConnectionPool[AsyncConnection[TupleRow]]


class PostgresOwners:
    """Implements `application.audit.ports.Owners`."""

    def __init__(self, pool: AsyncPool) -> None:
        self._pool = pool

    async def tenants_of(self, things: Collection[Thing]) -> dict[Thing, str]:
        """A question for each sort of thing that is asked for. Raises DatabaseUnavailable."""
        ids = [thing for thing in things if isinstance(thing, UUID)]
        positions = [thing for thing in things if isinstance(thing, int)]
        names = [thing for thing in things if isinstance(thing, str)]
        found: dict[Thing, str] = {}
        if ids:
            found |= dict(await _rows(self._pool, "owners_of_ids", {"ids": ids}))
        if positions:
            found |= dict(await _rows(self._pool, "owners_of_positions", (positions,)))
        if names:
            found |= dict(await _rows(self._pool, "owners_of_names", (names,)))
        return found


class PostgresTrail:
    """Implements `application.audit.ports.TrailEntries`."""

    def __init__(self, pool: AsyncPool) -> None:
        self._pool = pool

    async def newest(
        self, wanted: TrailFilter, *, before: int | None, limit: int
    ) -> Sequence[Record]:
        """A keyset page. Raises DatabaseUnavailable."""
        parameters = {
            "tenant": wanted.tenant,
            "actor": wanted.actor,
            "topic": wanted.topic,
            "after": wanted.after,
            "before": before,
            "limit": limit,
        }
        rows = await _rows(self._pool, "newest", parameters, prepare=False)
        return [Record(*row) for row in rows]


async def _rows(
    pool: AsyncPool, name: str, parameters: Any, *, prepare: bool | None = None
) -> list[TupleRow]:
    async def ask(connection: AsyncConnection[TupleRow]) -> list[TupleRow]:
        cursor = connection.cursor(binary=True)
        return await (await cursor.execute(SQL[name], parameters, prepare=prepare)).fetchall()

    return await read_async(pool, ask)
