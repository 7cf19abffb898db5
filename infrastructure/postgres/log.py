"""The event log in PostgreSQL: over a table and functions of our own.

Of the library's PostgreSQL recorder nothing could stay as shipped (its table lock, its unlocked
function, its pipeline and its retries each lose events or hang; see Decisions in
infrastructure/README.md). Its events and aggregates are what is written and read here.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from struct import Struct
from typing import Any, cast
from uuid import UUID

import psycopg
from eventsourcing.domain import AggregateEvent
from eventsourcing.persistence import StoredEvent
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from application.commands import RequestKey
from application.ports import (
    AppendRefused,
    KeptRequest,
    Record,
    Store,
    StoredAggregate,
    UnreadableEvent,
    Written,
)
from domain.aggregate import Aggregate
from domain.errors import DatabaseUnavailable
from infrastructure.mapper import CatalogueMapper, SnapshotMapper
from infrastructure.postgres import arrays
from infrastructure.postgres.arrays import array_of
from infrastructure.postgres.pool import CONNECTION, EPOCH_ENDED, SESSION, connection_of, read
from infrastructure.postgres.sql_files import load
from infrastructure.postgres.statement import PreparedStatement

SQL = load("log.sql")
PAGE_BYTES = 16 * 2**20
EVENT_COLUMNS = {
    "aggregate_id": "uuid",
    "version": "bigint",
    "topic": "text",
    "state": "bytea",
    "tenant": "text",
    "actor": "text",
    "command_id": "uuid",
    "correlation_id": "uuid",
    "causation_id": "text",
    "traceparent": "text",
}
REQUEST_COLUMNS = ("uuid", "bytea", "bytea")
_int8 = Struct("!q").unpack

Pool = ConnectionPool[Connection[TupleRow]]


def store_in(url: str) -> Store:
    """Which log a database holds, and in which epoch. Raises DatabaseUnavailable."""
    try:
        with psycopg.connect(url, **CONNECTION) as connection:
            connection.execute(SESSION, prepare=False)
            row = connection.execute(SQL["store"]).fetchone()
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable("The database does not answer.") from error
    assert row is not None, "the migration puts this row"
    return Store(store_id=row[0], epoch=row[1])


Event = tuple[int, str, bytes]
"""Of one aggregate: version, topic, state."""


class PostgresLog:
    """Implements `application.ports.EventLog`."""

    def __init__(self, pool: Pool, *, session: str = SESSION) -> None:
        self._pool = pool
        self._mapper = CatalogueMapper()
        self._snapshots = SnapshotMapper()
        kinds = [*EVENT_COLUMNS.values(), *REQUEST_COLUMNS]
        self._append = PreparedStatement(
            str(pool.conninfo),
            SQL["append"],
            [arrays.array_oid(kind) for kind in kinds],
            session=session,
        )

    async def close(self) -> None:
        """End the connection that appends."""
        await self._append.close()

    def store(self) -> Store:
        """Which log this is. Raises DatabaseUnavailable."""
        row = self._ask(lambda connection: connection.execute(SQL["store"]).fetchone())
        assert row is not None, "the migration puts this row"
        return Store(store_id=row[0], epoch=row[1])

    async def append(self, records: Sequence[Record], requests: Sequence[KeptRequest]) -> Written:
        """One statement, one commit; see EventLog.append for what is raised."""
        columns = [
            array_of(kind, [getattr(record, name) for record in records])
            for name, kind in EVENT_COLUMNS.items()
        ]
        of_requests: list[list[Any]] = [
            [request.key.command_id for request in requests],
            [request.key.fingerprint for request in requests],
            [request.answer for request in requests],
        ]
        columns += [array_of(*column) for column in zip(REQUEST_COLUMNS, of_requests, strict=True)]
        try:
            result = await self._append.execute(columns)
        except psycopg.errors.UniqueViolation as error:
            raise await asyncio.to_thread(self._refusal, records, requests) from error
        except psycopg.DatabaseError as error:
            if error.sqlstate != EPOCH_ENDED:
                raise
            raise DatabaseUnavailable("The store was restored: this process ends.") from error
        head, base, recorded = (_int8(result.get_value(0, n) or b"")[0] for n in range(3))
        _place(records, base, arrays.EPOCH + timedelta(microseconds=recorded))
        return Written(head=head, base=base)

    async def find_append(
        self, records: Sequence[Record], requests: Sequence[KeptRequest]
    ) -> Written | None:
        """By its events or its first request, once none of ours can come through any more. Raises
        DatabaseUnavailable."""
        await self._append.close()
        parameters = {
            "aggregates": [record.aggregate_id for record in records],
            "versions": [record.version for record in records],
            "commands": [record.command_id for record in records],
            "key": requests[0].key.command_id if requests else None,
        }

        def ask(connection: Connection[TupleRow]) -> Any:
            name = self._append.application_name
            (left,) = connection.execute(SQL["end_append"], (name,)).fetchall()[0]
            if left:
                raise DatabaseUnavailable("An append is still under way.")
            return connection.execute(SQL["find_append"], parameters).fetchone()

        row = await asyncio.to_thread(self._ask, ask)
        if row is None:
            return None
        _place(records, row[0], row[1])
        return Written(head=None, base=row[0])

    async def kept_requests(self, keys: Collection[UUID]) -> dict[UUID, KeptRequest]:
        """By primary key. Raises DatabaseUnavailable."""
        return await asyncio.to_thread(self._kept_requests, keys)

    async def taken(self, versions: Sequence[tuple[UUID, int]]) -> set[UUID]:
        """By the unique index. Raises DatabaseUnavailable."""
        return await asyncio.to_thread(self._taken, versions)

    def load(self, aggregate_id: UUID) -> Aggregate | None:
        """From the newest snapshot that can be read. Raises DatabaseUnavailable,
        UnreadableEvent."""
        found = self.load_many([aggregate_id]).get(aggregate_id)
        if isinstance(found, UnreadableEvent):
            raise found
        return found

    def load_many(self, aggregate_ids: Collection[UUID]) -> dict[UUID, Aggregate | UnreadableEvent]:
        """Two queries, however many. Raises DatabaseUnavailable."""
        snapshots = self._newest_snapshots(aggregate_ids)
        versions = [snapshots[i].version if i in snapshots else 0 for i in aggregate_ids]
        events = self._events_of(list(aggregate_ids), versions)
        found: dict[UUID, Aggregate | UnreadableEvent] = {}
        for aggregate_id in snapshots.keys() | events.keys():
            try:
                aggregate = snapshots.get(aggregate_id)
                found[aggregate_id] = self._evolved(aggregate_id, aggregate, events[aggregate_id])
            except UnreadableEvent as error:
                found[aggregate_id] = error
        return found

    def take_snapshot(self, aggregate: Aggregate) -> StoredAggregate:
        """Its present state as JSON."""
        return self._snapshots.encode_aggregate(aggregate)

    def keep_snapshots(self, aggregates: Sequence[StoredAggregate]) -> None:
        """In place of older ones. Raises DatabaseUnavailable."""
        columns = [
            [getattr(one, name) for one in aggregates]
            for name in ("aggregate_id", "version", "topic", "state")
        ]
        with connection_of(self._pool) as connection:
            connection.execute(SQL["keep_snapshots"], columns)

    def read(self, *, after: int, limit: int) -> list[Record]:
        """A keyset page. Raises DatabaseUnavailable."""
        page = {"after": after, "limit": limit, "bytes": PAGE_BYTES}
        rows = self._ask(lambda c: c.cursor(binary=True).execute(SQL["read"], page).fetchall())
        return [Record(*row) for row in rows]

    def head(self) -> int:
        """Raises DatabaseUnavailable."""
        row = self._ask(lambda connection: connection.execute(SQL["head"]).fetchone())
        assert row is not None
        return int(row[0])

    def encode(self, event: AggregateEvent) -> bytes:
        """Raises TypeError."""
        return self._mapper.encode(event)

    def decode(self, record: Record) -> AggregateEvent:
        """Raises UnreadableEvent."""
        return self._mapper.decode(record.aggregate_id, record.version, record.topic, record.state)

    def _ask(self, ask: Callable[[Connection[TupleRow]], Any]) -> Any:
        return read(self._pool, ask)

    def _kept_requests(self, keys: Collection[UUID]) -> dict[UUID, KeptRequest]:
        rows = self._ask(lambda c: c.execute(SQL["kept_requests"], (list(keys),)).fetchall())
        return {
            key: KeptRequest(
                key=RequestKey(command_id=key, fingerprint=bytes(fingerprint)),
                answer=bytes(answer),
                base=base,
            )
            for key, fingerprint, base, answer in rows
        }

    def _refusal(self, records: Sequence[Record], requests: Sequence[KeptRequest]) -> AppendRefused:
        """What stood in the way of an append."""
        taken = self._taken([(record.aggregate_id, record.version) for record in records])
        kept = self._kept_requests([request.key.command_id for request in requests])
        return AppendRefused(taken, list(kept.values()))

    def _taken(self, versions: Sequence[tuple[UUID, int]]) -> set[UUID]:
        columns = [one[0] for one in versions], [one[1] for one in versions]
        rows = self._ask(lambda c: c.execute(SQL["taken_versions"], columns).fetchall())
        return {row[0] for row in rows}

    def _newest_snapshots(self, aggregate_ids: Collection[UUID]) -> dict[UUID, Aggregate]:
        rows = self._ask(
            lambda c: (
                c.cursor(binary=True)
                .execute(SQL["newest_snapshots"], (list(aggregate_ids),))
                .fetchall()
            )
        )
        found = {}
        for row in rows:
            try:
                snapshot = self._snapshots.to_domain_event(StoredEvent(*row))
            except UnreadableEvent:
                # A snapshot of a former shape is no loss: the events tell the same.
                continue
            found[row[0]] = cast("Aggregate", snapshot.mutate(None))
        return found

    def _events_of(
        self, aggregate_ids: list[UUID], above: list[int]
    ) -> defaultdict[UUID, list[Event]]:
        rows = self._ask(
            lambda c: (
                c.cursor(binary=True)
                .execute(SQL["events_of_aggregates"], (aggregate_ids, above))
                .fetchall()
            )
        )
        events: defaultdict[UUID, list[Event]] = defaultdict(list)
        for aggregate_id, *event in rows:
            events[aggregate_id].append(cast("Event", tuple(event)))
        return events

    def _evolved(
        self, aggregate_id: UUID, aggregate: Aggregate | None, events: list[Event]
    ) -> Aggregate:
        for version, topic, state in events:
            event = self._mapper.decode(aggregate_id, version, topic, state)
            aggregate = event.mutate(aggregate)
        assert aggregate is not None, "it has a snapshot or an event"
        return aggregate


def _place(records: Sequence[Record], base: int, recorded_at: datetime) -> None:
    for position, record in enumerate(records, start=base + 1):
        record.position, record.recorded_at = position, recorded_at
