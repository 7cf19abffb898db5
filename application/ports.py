"""What the application needs from the outside, with what each promises."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.commands import RequestKey
from domain.aggregate import Aggregate

NOT_RECORDED = datetime(1, 1, 1, tzinfo=UTC)

RowT = TypeVar("RowT")
KeyT = TypeVar("KeyT")


class Clock(Protocol):
    """The one time that decides: PostgreSQL's, as UTC."""

    def __call__(self) -> datetime:
        """Now. Never runs back within a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Which log this is, and which of its epochs."""

    store_id: UUID
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAggregate:
    """A snapshot: the state of an aggregate at a version, as JSON. Derived, never trusted."""

    aggregate_id: UUID
    version: int
    topic: str
    state: bytes


@dataclass(slots=True)
class Record:
    """An event as it stands in the log. `state` is its own fields as JSON.

    On its way into the log it has no `position` and no `recorded_at` yet; the append fills them in.
    """

    aggregate_id: UUID
    version: int
    topic: str
    state: bytes
    tenant: str
    actor: str
    command_id: UUID
    correlation_id: UUID
    causation_id: str | None
    traceparent: str | None
    position: int = 0
    recorded_at: datetime = NOT_RECORDED


Entry = tuple[Record, AggregateEvent]
"""A record and the event that it holds."""
Page = Sequence[Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRequest:
    """A request that somebody may repeat, and what it was answered.

    What `answer` says of positions counts from `base`, which the log knows only when it has
    written: the position before the first event of the append.
    """

    key: RequestKey
    answer: bytes
    base: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An append that is durable: the log stood at `head` before, and its events follow on `base`.

    `head` is None when that is not known any more. Positions may have gaps, so `base` may be above
    `head`; nothing stands between them.
    """

    head: int | None
    base: int


class AppendRefused(Exception):
    """Nothing was written: others wrote to these aggregates before, or kept these requests."""

    def __init__(self, aggregate_ids: Collection[UUID], requests: Collection[KeptRequest]) -> None:
        super().__init__(f"{len(aggregate_ids)} aggregates, {len(requests)} requests")
        self.aggregate_ids = aggregate_ids
        self.requests = requests


class EventLog(Protocol):
    """The append-only log. Positions rise in commit order; nothing is ever changed or deleted."""

    def store(self) -> Store:
        """Which log this is."""

    async def append(self, records: Sequence[Record], requests: Sequence[KeptRequest]) -> Written:
        """Write all or nothing, durably, in this order, and fill in what the records lack.

        Raises AppendRefused, and DatabaseUnavailable, which leaves open whether it was written: a
        COMMIT may have got through. `find_append` tells.
        """

    async def find_append(
        self, records: Sequence[Record], requests: Sequence[KeptRequest]
    ) -> Written | None:
        """What became of an append whose answer was lost, final; None when it came to nothing.

        Fills in the records as `append` does. Raises DatabaseUnavailable.
        """

    async def kept_requests(self, keys: Collection[UUID]) -> dict[UUID, KeptRequest]:
        """Those of the requests that were answered before. Raises DatabaseUnavailable."""

    async def taken(self, versions: Sequence[tuple[UUID, int]]) -> set[UUID]:
        """The aggregates of which the log holds an event of that version. Raises
        DatabaseUnavailable."""

    def load(self, aggregate_id: UUID) -> Aggregate | None:
        """The aggregate as of now, from its newest snapshot and what follows. Raises
        DatabaseUnavailable, UnreadableEvent."""

    def load_many(
        self, aggregate_ids: Collection[UUID]
    ) -> "dict[UUID, Aggregate | UnreadableEvent]":
        """Those that there are; what cannot be read keeps nobody from the others.

        Raises DatabaseUnavailable.
        """

    def keep_snapshots(self, aggregates: Sequence[StoredAggregate]) -> None:
        """Store what was taken of aggregates, to load them faster. May be lost. Raises
        DatabaseUnavailable."""

    def take_snapshot(self, aggregate: Aggregate) -> StoredAggregate:
        """What an aggregate remembers, as it will be stored."""

    def read(self, *, after: int, limit: int) -> list[Record]:
        """Up to `limit` records after a position, in order, fewer when they are large.

        Raises DatabaseUnavailable.
        """

    def head(self) -> int:
        """The newest position, 0 when the log is empty. Raises DatabaseUnavailable."""

    def encode(self, event: AggregateEvent) -> bytes:
        """The event's own fields as JSON. Raises TypeError for what JSON cannot say."""

    def decode(self, record: Record) -> AggregateEvent:
        """The event, in its newest shape. Raises UnreadableEvent for a topic or state that is not
        ours."""


class Announcer(Protocol):
    """Tells the other processes on the same log of commits, and hears of theirs.

    Hints only: one that is lost costs at most the second after which everybody looks anyway.
    """

    def announce(self, position: int) -> None:
        """The log has come to a position by what was committed here. Never waits, never fails."""

    async def run(self) -> None:
        """Do so until cancelled, through outages of the database."""


class UnreadableEvent(Exception):
    """A record that this code cannot read: unknown topic, or a state of another shape."""

    position: int | None = None
    """Where it stands, when it was met in reading the log."""


class CheckpointMoved(Exception):
    """Another projector of the same model was faster, or it was rebuilt: look where it stands."""


class ReadModelPage(Protocol[KeyT, RowT]):
    """One page's worth of change to a read model: one transaction."""

    def load(self, keys: Collection[KeyT]) -> dict[KeyT, RowT]:
        """Those of the rows that exist."""

    def put(self, new: Sequence[RowT], changed: Sequence[RowT]) -> None:
        """Insert rows that are not there, and write what may change of those that are.

        What of a new row never changes and may be large is dropped from the object.
        """


class ReadModelStore(Protocol[KeyT, RowT]):
    """Where the rows of a read model are kept. Rows and checkpoint move in one transaction."""

    def checkpoint(self) -> int:
        """The position up to which the rows have come. Raises DatabaseUnavailable."""

    def turn(self, *, after: int, to: int) -> AbstractContextManager[ReadModelPage[KeyT, RowT]]:
        """A transaction that takes the model from one checkpoint to another, and keeps others out.

        Raises CheckpointMoved when the model is not at `after`, and DatabaseUnavailable.
        """

    def clear_rebuild(self) -> "ReadModelStore[KeyT, RowT]":
        """An empty store of the same shape beside this one, at checkpoint 0."""

    def adopt_rebuild(self) -> bool:
        """Put the rows and checkpoint of the rebuilt store in place of these, in one transaction.

        False, and nothing changed, when these have come further meanwhile. Raises
        DatabaseUnavailable.
        """

    def digest(self) -> str:
        """A digest of all rows in key order; equal for equal contents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """An agent's last reading: percentages (None: not reported), waiting work, and when it was
    heard."""

    agent_id: UUID
    cpu: float | None
    memory: float | None
    queue: int
    last_heard_at: datetime


class VitalsStore(Protocol):
    """Where heartbeats go: telemetry, not history. It may be lost."""

    def put(self, vitals: Sequence[Vitals]) -> None:
        """Keep the newest of each agent. Raises DatabaseUnavailable."""


Json = Any
