"""The log as subscribers read it who are behind."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from application.live.interest import LABELLING, Interest
from application.ports import Record
from infrastructure.postgres.pool import read
from infrastructure.postgres.sql_files import load

SQL = load("history.sql")
PAGE_EVENTS = 500
PAGE_BYTES = 256 * 1024
"""One who reads slowly holds a page for as long as it takes."""
STRETCH = 50_000
"""How many positions are looked through at once for what may be rare: some 10 ms of PostgreSQL."""
READERS_MAX = 4
"""How many subscribers read at once; the others' connections are for commands and queries."""


class PostgresHistory:
    """Implements `application.live.ports.History`, on threads."""

    def __init__(self, pool: ConnectionPool[Connection[TupleRow]]) -> None:
        self._pool = pool
        self._readers = asyncio.Semaphore(READERS_MAX)
        # The live feed waits for labels: it does not queue behind those who read history.
        self._labellers = asyncio.Semaphore(1)

    async def read(
        self, interest: Interest, *, after: int, until: int
    ) -> tuple[Sequence[Record], int]:
        """A keyset page. Raises DatabaseUnavailable."""
        name, page = "history_of_aggregates", _parameters(interest, after, until)
        if interest.aggregate_ids is None:
            name, until = "history", min(until, after + STRETCH)
            page["until"] = until
        async with self._readers:
            records = [Record(*row) for row in await self._ask(SQL[name], page)]
        size = sum(len(record.state) for record in records)
        if len(records) == PAGE_EVENTS or size >= PAGE_BYTES:
            until = records[-1].position
        return records, until

    async def labels(
        self, of: Sequence[tuple[UUID, int]]
    ) -> dict[tuple[UUID, int], dict[str, str]]:
        """All at once. Raises DatabaseUnavailable."""
        parameters = {
            "aggregates": [aggregate_id for aggregate_id, _ in of],
            "versions": [version for _, version in of],
            "topics": sorted(LABELLING),
        }
        async with self._labellers:
            rows = await self._ask(SQL["labels"], parameters)
        return {(row[0], row[1]): orjson.loads(row[2]) for row in rows}

    async def _ask(self, statement: str, parameters: dict[str, Any]) -> list[TupleRow]:
        def ask(connection: Connection[TupleRow]) -> list[TupleRow]:
            return connection.cursor(binary=True).execute(statement, parameters).fetchall()

        return await asyncio.to_thread(read, self._pool, ask)


def _parameters(interest: Interest, after: int, until: int) -> dict[str, Any]:
    return {
        "tenant": interest.tenant,
        "topics": interest.topics,
        "aggregate_ids": interest.aggregate_ids,
        "after": after,
        "until": until,
        "limit": PAGE_EVENTS,
        "bytes": PAGE_BYTES,
    }
