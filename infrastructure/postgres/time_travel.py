"""The log as time travel reads it."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from application.ports import Record
from infrastructure.postgres.pool import read
from infrastructure.postgres.sql_files import load

SQL = load("time_travel.sql")
PAGE_EVENTS = 2_000
PAGE_BYTES = 8 * 2**20
STRETCH = 200_000
"""How many positions are looked through at once for submissions: some 50 ms of PostgreSQL where
all of them are others'."""


class PostgresTimeTravel:
    """Implements `application.time_travel.ports.History`."""

    def __init__(self, pool: ConnectionPool[Connection[TupleRow]]) -> None:
        self._pool = pool

    def of_tenant(self, tenant: str, *, after: int, until: int) -> Sequence[Record]:
        """A keyset page. Raises DatabaseUnavailable."""
        return self._records(
            "of_tenant",
            {
                "tenant": tenant,
                "after": after,
                "until": until,
                "limit": PAGE_EVENTS,
                "bytes": PAGE_BYTES,
            },
        )

    def of_aggregate(
        self, aggregate_id: UUID, *, after_version: int, until: int, limit: int
    ) -> Sequence[Record]:
        """A keyset page. Raises DatabaseUnavailable."""
        page = {"aggregate_id": aggregate_id, "after_version": after_version}
        return self._records("of_aggregate", {**page, "until": until, "limit": limit})

    def of_aggregates(
        self, aggregate_ids: Sequence[UUID], *, until: int, limit: int
    ) -> Sequence[Record]:
        """All at once. Raises DatabaseUnavailable."""
        wanted = {"aggregate_ids": list(aggregate_ids), "until": until, "limit": limit}
        return self._records("of_aggregates", wanted)

    def at_version(self, aggregate_id: UUID, version: int) -> Record | None:
        """Raises DatabaseUnavailable."""
        found = self._records("at_version", (aggregate_id, version))
        return found[0] if found else None

    def last_of(self, aggregate_id: UUID) -> Record | None:
        """Raises DatabaseUnavailable."""
        found = self._records("last_of", (aggregate_id,))
        return found[0] if found else None

    def submitted(self, tenant: str, *, before: int, limit: int) -> tuple[list[Record], int]:
        """Looks through one stretch. Raises DatabaseUnavailable."""
        down_to = max(before - STRETCH, 0)
        wanted = {"tenant": tenant, "before": before, "down_to": down_to, "limit": limit}
        found = self._records("submitted", wanted)
        return found, found[-1].position if len(found) == limit else down_to

    def ever_online(self, agent_ids: Collection[UUID], *, until: int) -> set[UUID]:
        """Raises DatabaseUnavailable."""
        wanted = {"agent_ids": list(agent_ids), "until": until}
        return {row[0] for row in self._ask("ever_online", wanted)} if agent_ids else set()

    def _records(self, name: str, parameters: Any) -> list[Record]:
        return [Record(*row) for row in self._ask(name, parameters)]

    def _ask(self, name: str, parameters: Any) -> list[TupleRow]:
        return read(
            self._pool,
            lambda c: c.cursor(binary=True).execute(SQL[name], parameters).fetchall(),
        )
