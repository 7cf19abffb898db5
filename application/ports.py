"""What the application needs from the outside, with what each promises."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.commands import Origin
from domain.aggregate import Aggregate
from domain.errors import ControlPlaneError

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
class Append:
    """What one command adds to the log: its events in order (perhaps none) and its outcome."""

    origin: Origin
    correlation_id: UUID
    aggregate_id: UUID
    version: int
    refusal: ControlPlaneError | None
    events: Sequence[AggregateEvent]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The stored answer of a command that was committed; the refusal's code and message when it
    had one."""

    fingerprint: bytes | None
    aggregate_id: UUID
    version: int
    position: int
    refusal_code: str | None
    refusal_message: str | None


@dataclass(slots=True, kw_only=True)
class Record:
    """An event as it stands in the log. `state` is its own fields as JSON."""

    position: int
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
    recorded_at: datetime


class VersionConflict(Exception):
    """Somebody else wrote to one of the aggregates of an append; nothing of it was written."""


class CommandRepeated(Exception):
    """One of the commands of an append is in the log already; nothing of the append was written."""


class EventLog(Protocol):
    """The append-only log. Positions rise in commit order; nothing is ever changed or deleted."""

    def store(self) -> Store:
        """Which log this is."""

    def append(self, batch: Sequence[Append]) -> list[int]:
        """Write all or nothing, durably; the position each command's outcome stands at, in order.

        Raises VersionConflict, CommandRepeated, and DatabaseUnavailable, which leaves open whether
        it was written: a COMMIT may have got through. `outcomes` tells.
        """

    def outcomes(self, command_ids: Collection[UUID]) -> dict[UUID, Outcome]:
        """Those of the commands that are in the log. Waits for appends under way, so that the
        answer is final for any whose connection is gone. Raises DatabaseUnavailable."""

    def load(self, aggregate_id: UUID) -> Aggregate | None:
        """The aggregate as of now, from its newest snapshot and what follows. Raises
        DatabaseUnavailable."""

    def keep_snapshot(self, aggregate: Aggregate) -> None:
        """Store its present state, to load it faster. May be lost. Raises DatabaseUnavailable."""

    def read(self, *, after: int, limit: int) -> list[Record]:
        """Up to `limit` records after a position, in order, fewer when they are large.

        Raises DatabaseUnavailable.
        """

    def head(self) -> int:
        """The newest position, 0 when the log is empty. Raises DatabaseUnavailable."""

    def decode(self, record: Record) -> AggregateEvent:
        """The event, in its newest shape. Raises UnreadableEvent for a topic or state that is not
        ours."""


class UnreadableEvent(Exception):
    """A record that this code cannot read: unknown topic, or a state of another shape."""


class CheckpointMoved(Exception):
    """Another projector of the same model was faster, or it was rebuilt: look where it stands."""


class ReadModelPage(Protocol[KeyT, RowT]):
    """One page's worth of change to a read model: one transaction."""

    def load(self, keys: Collection[KeyT]) -> dict[KeyT, RowT]:
        """Those of the rows that exist."""

    def put(self, rows: Iterable[RowT]) -> None:
        """Insert or replace."""


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
