"""The write model at work: aggregates loaded, decided upon, and what they record collected."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from application.commands import Command, Origin
from application.ports import Append, EventLog
from domain.aggregate import Aggregate
from domain.errors import (
    AggregateNotFound,
    ControlPlaneError,
    DatabaseUnavailable,
    VersionMismatch,
)

CACHED_AGGREGATES_MAX = 10_000
"""Each some kilobytes at most: labels and requirements are bounded, inputs are not remembered."""
SNAPSHOT_EVERY = 100
"""Events between two snapshots of an aggregate; loading then reads at most that many."""

AggregateT = TypeVar("AggregateT", bound=Aggregate)
Handler = Callable[[Any, "Work"], Aggregate]


class AggregateCache:
    """The aggregates that were used last, as of their newest event. For one thread."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._aggregates: OrderedDict[UUID, Aggregate] = OrderedDict()

    def get(self, aggregate_id: UUID) -> Aggregate | None:
        """From memory, else from the log. Raises DatabaseUnavailable."""
        aggregate = self._aggregates.get(aggregate_id)
        if aggregate is None:
            aggregate = self._log.load(aggregate_id)
        if aggregate is not None:
            self.put(aggregate)
        return aggregate

    def put(self, aggregate: Aggregate) -> None:
        """Keep it as the most recently used."""
        self._aggregates[aggregate.id] = aggregate
        self._aggregates.move_to_end(aggregate.id)
        if len(self._aggregates) > CACHED_AGGREGATES_MAX:
            self._aggregates.popitem(last=False)

    def evict(self, aggregate_id: UUID) -> None:
        """Forget it: what it holds was not committed."""
        self._aggregates.pop(aggregate_id, None)

    def clear(self) -> None:
        """Forget everything."""
        self._aggregates.clear()


class Work:
    """What one command does: the aggregates it loads and adds, and what comes of them."""

    def __init__(self, cache: AggregateCache, origin: Origin, now: datetime) -> None:
        self.now = now
        self.refusal: ControlPlaneError | None = None
        self.grant: Any = None
        self._cache = cache
        self._origin = origin
        self._touched: dict[UUID, Aggregate] = {}

    @property
    def touched(self) -> list[UUID]:
        """The ids of the aggregates that may hold something uncommitted."""
        return list(self._touched)

    @property
    def clean(self) -> bool:
        """Whether nothing was recorded by this command."""
        return not any(aggregate.pending_events for aggregate in self._touched.values())

    def find(self, kind: type[AggregateT], aggregate_id: UUID) -> AggregateT | None:
        """The aggregate, None when there is none of this kind and id in the command's tenant."""
        aggregate = self._cache.get(aggregate_id)
        if not isinstance(aggregate, kind) or aggregate.tenant != self._origin.tenant:
            return None
        self._touched[aggregate_id] = aggregate
        return aggregate

    def load(self, kind: type[AggregateT], aggregate_id: UUID) -> AggregateT:
        """The aggregate that the command is about.

        Raises AggregateNotFound, or VersionMismatch when the command expected another version.
        """
        aggregate = self.find(kind, aggregate_id)
        if aggregate is None:
            raise AggregateNotFound(kind.TOPIC, aggregate_id)
        expected = self._origin.expected_version
        if expected is not None and expected != aggregate.version:
            raise VersionMismatch(aggregate_id, expected=expected, found=aggregate.version)
        return aggregate

    def add(self, aggregate: AggregateT) -> AggregateT:
        """Take a new aggregate in."""
        self._touched[aggregate.id] = aggregate
        self._cache.put(aggregate)
        return aggregate

    def collect(self, subject: Aggregate) -> Append:
        """Everything that was recorded, as one append."""
        events = [event for held in self._touched.values() for event in held.take_events()]
        return Append(
            origin=self._origin,
            correlation_id=subject.correlation_id,
            aggregate_id=subject.id,
            version=subject.version,
            refusal=self.refusal,
            events=events,
        )


class HalfDecided(Exception):
    """A command was refused after it had recorded something: its aggregates were dropped."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class ControlPlane:
    """Knows the handler of every command, and the aggregates that they decide upon."""

    def __init__(
        self, log: EventLog, clock: Callable[[], datetime], handlers: dict[type[Command], Handler]
    ) -> None:
        self.log = log
        self.cache = AggregateCache(log)
        self._clock = clock
        self._handlers = handlers

    def decide(self, command: Command) -> tuple[Append, Work]:
        """Load, decide, record in memory. A command that is refused leaves nothing behind.

        Raises what its handler raises; HalfDecided instead, when it had recorded something before.
        """
        work = Work(self.cache, command.origin, self._clock())
        try:
            subject = self._handlers[type(command)](command, work)
        except Exception as error:
            if not work.clean:
                self.forget(work)
                raise HalfDecided(error) from error
            raise
        return work.collect(subject), work

    def forget(self, work: Work) -> None:
        """Drop the aggregates of a command whose events were not committed."""
        for aggregate_id in work.touched:
            self.cache.evict(aggregate_id)

    def keep_snapshots(self, work: Work, append: Append) -> None:
        """After a commit: store the aggregates that have come a long way since the last one.

        A database that is away now must not spoil the answer to what is committed.
        """
        due = {e.originator_id for e in append.events if e.originator_version % SNAPSHOT_EVERY == 0}
        with suppress(DatabaseUnavailable):
            for aggregate_id in due:
                aggregate = self.cache.get(aggregate_id)
                if aggregate is not None:
                    self.log.keep_snapshot(aggregate)
