"""Tickets that were used, in PostgreSQL."""

from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from infrastructure.postgres import sql_files
from infrastructure.postgres.pool import async_connection_of

SQL = sql_files.load("tickets.sql")


class PostgresSpentTickets:
    """The SpentTickets. PostgreSQL may forget them when it crashes, and only then."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[TupleRow]]) -> None:
        self._pool = pool

    async def spend(self, ticket_id: UUID, ends_at: int) -> bool:
        """Whether it is used for the first time. Raises DatabaseUnavailable."""
        async with async_connection_of(self._pool) as connection:
            cursor = await connection.execute(SQL["spend"], (ticket_id, ends_at))
            return await cursor.fetchone() is not None
