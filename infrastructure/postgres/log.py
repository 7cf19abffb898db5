"""The event log in PostgreSQL: the library's recorder interface, over a table and a function of
our own.

Of the library's PostgreSQL recorder nothing could stay as shipped (its table lock, its unlocked
function, its pipeline and its retries each lose events or hang; see Decisions in
infrastructure/README.md), so this implements the interface that it implements, and the library's
event store and repository work on it unchanged.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.application import AggregateNotFoundError, Repository
from eventsourcing.domain import AggregateEvent
from eventsourcing.persistence import AggregateRecorder, EventStore, StoredEvent
from psycopg import Connection
from psycopg.rows import TupleRow, class_row
from psycopg_pool import ConnectionPool

from application.ports import (
    Append,
    CommandRepeated,
    Outcome,
    Record,
    Store,
    UnreadableEvent,
    VersionConflict,
)
from domain.aggregate import Aggregate
from infrastructure.mapper import CatalogueMapper, SnapshotMapper, take_snapshot
from infrastructure.postgres.pool import connection_of, read
from infrastructure.postgres.sql_files import load

SQL = load("log.sql")
VERSION_MAX = 2**62
PAGE_BYTES = 16 * 2**20

Pool = ConnectionPool[Connection[TupleRow]]


class StreamRecorder(AggregateRecorder):
    """Reads what one aggregate's stream holds, of events or of snapshots."""

    def __init__(self, pool: Pool, *, statement: str, newest_first: str) -> None:
        self._pool = pool
        self._statement = SQL[statement]
        self._newest_first = SQL[newest_first]

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Nothing is written this way: the log has one entrance, PostgresLog.append."""
        raise NotImplementedError("events are written by PostgresLog.append")

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Stored events of one stream by version. Raises DatabaseUnavailable."""
        parameters = {
            "aggregate_id": originator_id,
            "above": gt or 0,
            "up_to": VERSION_MAX if lte is None else lte,
            "limit": limit,
        }
        statement = self._newest_first if desc else self._statement

        def ask(connection: Connection[TupleRow]) -> list[StoredEvent]:
            rows = connection.cursor(binary=True).execute(statement, parameters).fetchall()
            return [StoredEvent(row[0], row[1], row[2], bytes(row[3])) for row in rows]

        return read(self._pool, ask)


class PostgresLog:
    """Implements `application.ports.EventLog`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._mapper = CatalogueMapper()
        events = StreamRecorder(
            pool, statement="aggregate_events", newest_first="aggregate_events_newest_first"
        )
        snapshots = StreamRecorder(pool, statement="snapshots", newest_first="snapshots")
        self._events = EventStore(self._mapper, events)
        self._with_snapshots = Repository(
            self._events, snapshot_store=EventStore(SnapshotMapper(), snapshots)
        )
        self._without_snapshots = Repository(self._events)

    def store(self) -> Store:
        """Which log this is. Raises DatabaseUnavailable."""
        row = self._ask(lambda connection: connection.execute(SQL["store"]).fetchone())
        assert row is not None, "the migration puts this row"
        return Store(store_id=row[0], epoch=row[1])

    def append(self, batch: Sequence[Append]) -> list[int]:
        """One statement, one commit; see EventLog.append for what is raised.

        DatabaseUnavailable leaves open whether it was written; `outcomes` tells.
        """
        parameters = self._append_parameters(batch)
        try:
            with connection_of(self._pool) as connection:
                cursor = connection.cursor(binary=True)
                rows = cursor.execute(SQL["append"], parameters).fetchall()
        except psycopg.errors.UniqueViolation as error:
            if error.diag.constraint_name == "commands_once":
                raise CommandRepeated from error
            raise VersionConflict from error
        return [row[0] for row in rows]

    def outcomes(self, command_ids: Collection[UUID]) -> dict[UUID, Outcome]:
        """By primary key, once no append is under way. Raises DatabaseUnavailable."""
        rows = self._ask(
            lambda connection: connection.execute(SQL["outcomes"], (list(command_ids),)).fetchall()
        )
        return {
            row[0]: Outcome(
                fingerprint=None if row[1] is None else bytes(row[1]),
                aggregate_id=row[2],
                version=row[3],
                position=row[4],
                refusal_code=row[5],
                refusal_message=row[6],
            )
            for row in rows
        }

    def load(self, aggregate_id: UUID) -> Aggregate | None:
        """From the newest snapshot that can be read. Raises DatabaseUnavailable,
        UnreadableEvent."""
        try:
            return self._get(self._with_snapshots, aggregate_id)
        except UnreadableEvent:
            # A snapshot of a former shape is no loss: the events tell the same.
            return self._get(self._without_snapshots, aggregate_id)

    def keep_snapshot(self, aggregate: Aggregate) -> None:
        """Raises DatabaseUnavailable."""
        stored = SnapshotMapper().to_stored_event(take_snapshot(aggregate))
        with connection_of(self._pool) as connection:
            connection.execute(
                SQL["keep_snapshot"],
                {
                    "aggregate_id": stored.originator_id,
                    "version": stored.originator_version,
                    "topic": stored.topic,
                    "state": stored.state,
                },
            )

    def read(self, *, after: int, limit: int) -> list[Record]:
        """A keyset page. Raises DatabaseUnavailable."""

        def ask(connection: Connection[TupleRow]) -> list[Record]:
            with connection.cursor(binary=True, row_factory=class_row(Record)) as cursor:
                page = {"after": after, "limit": limit, "bytes": PAGE_BYTES}
                return cursor.execute(SQL["read"], page).fetchall()

        return read(self._pool, ask)

    def head(self) -> int:
        """Raises DatabaseUnavailable."""
        row = self._ask(lambda connection: connection.execute(SQL["head"]).fetchone())
        assert row is not None
        return int(row[0])

    def decode(self, record: Record) -> AggregateEvent:
        """Raises UnreadableEvent."""
        return self._mapper.to_domain_event(
            StoredEvent(record.aggregate_id, record.version, record.topic, record.state)
        )

    def _ask(self, ask: Callable[[Connection[TupleRow]], Any]) -> Any:
        return read(self._pool, ask)

    @staticmethod
    def _get(repository: "Repository[UUID]", aggregate_id: UUID) -> Aggregate | None:
        try:
            aggregate: Aggregate = repository.get(aggregate_id)
        except AggregateNotFoundError:
            return None
        return aggregate

    def _append_parameters(self, batch: Sequence[Append]) -> list[list[Any]]:
        outcomes: list[tuple[Any, ...]] = []
        events: list[tuple[Any, ...]] = []
        for append in batch:
            origin, refusal = append.origin, append.refusal
            outcomes.append(
                (
                    origin.command_id,
                    origin.fingerprint,
                    append.aggregate_id,
                    append.version,
                    refusal.code if refusal else None,
                    refusal.message if refusal else None,
                )
            )
            for event in append.events:
                stored = self._mapper.to_stored_event(event)
                events.append(
                    (
                        origin.command_id,
                        stored.originator_id,
                        stored.originator_version,
                        stored.topic,
                        stored.state,
                        origin.tenant,
                        origin.actor,
                        append.correlation_id,
                        origin.causation_id,
                        origin.traceparent,
                    )
                )
        return _columns(outcomes, 6) + _columns(events, 10)


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(count)]
