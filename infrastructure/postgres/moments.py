"""When the events of the log were recorded, in PostgreSQL."""

from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from application.moments import Recorded
from infrastructure.postgres.pool import read_async
from infrastructure.postgres.sql_files import load

SQL = load("moments.sql")


class PostgresRecordedTimes:
    """Implements `application.moments.RecordedTimes`, by primary key alone."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[TupleRow]]) -> None:
        self._pool = pool

    async def first(self) -> Recorded | None:
        """Raises DatabaseUnavailable."""
        return await self._recorded(SQL["first"], ())

    async def at(self, position: int) -> Recorded | None:
        """Raises DatabaseUnavailable."""
        return await self._recorded(SQL["at"], (position,))

    async def by(self, time: datetime) -> Recorded | None:
        """Raises DatabaseUnavailable."""
        return await self._recorded(SQL["by"], {"time": time})

    async def head(self) -> int:
        """Raises DatabaseUnavailable."""
        row = await self._ask(load("log.sql")["head"], ())
        assert row is not None, "an aggregate has a row"
        return int(row[0])

    async def _recorded(self, statement: str, parameters: Any) -> Recorded | None:
        row = await self._ask(statement, parameters)
        return None if row is None else (row[0], row[1])

    async def _ask(self, statement: str, parameters: Any) -> TupleRow | None:
        async def ask(connection: AsyncConnection[TupleRow]) -> TupleRow | None:
            return await (await connection.execute(statement, parameters)).fetchone()

        return await read_async(self._pool, ask)
