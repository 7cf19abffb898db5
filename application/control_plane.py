"""The write model at work: aggregates loaded, decided upon, and what they record collected."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.commands import Command, Origin
from application.erasure.keyring import Keyring, SubjectKey
from application.ports import Entry, EventLog, Record, UnreadableEvent
from domain.aggregate import Aggregate, topic_of
from domain.errors import AggregateNotFound, ConcurrentChange, ControlPlaneError, VersionMismatch
from domain.task import Task

CACHED_AGGREGATES_MAX = 10_000
"""Each some kilobytes at most: labels and requirements are bounded, inputs are not remembered."""

AggregateT = TypeVar("AggregateT", bound=Aggregate)


class Changed(Protocol):
    """What the receipt of a command is of: mostly the aggregate that it was about."""

    @property
    def id(self) -> UUID:
        """What the receipt names."""

    @property
    def version(self) -> int:
        """How many events it has now."""


Handler = Callable[[Any, "Work"], Changed]


class AggregateCache:
    """The aggregates that were used last, as of their newest event. For one event loop."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._aggregates: OrderedDict[UUID, Aggregate] = OrderedDict()
        self._unreadable: dict[UUID, UnreadableEvent] = {}

    async def load(self, aggregate_ids: Iterable[UUID]) -> None:
        """See to it that `get` knows these. Raises DatabaseUnavailable."""
        missing = []
        for aggregate_id in aggregate_ids:
            if aggregate_id in self._aggregates:
                self._aggregates.move_to_end(aggregate_id)
            else:
                missing.append(aggregate_id)
        self._unreadable.clear()
        if missing:
            found = await asyncio.to_thread(self._log.load_many, missing)
            for aggregate_id, aggregate in found.items():
                if isinstance(aggregate, UnreadableEvent):
                    self._unreadable[aggregate_id] = aggregate
                else:
                    self.put(aggregate)

    def get(self, aggregate_id: UUID) -> Aggregate | None:
        """One that was loaded, None when there is none. Raises UnreadableEvent."""
        if aggregate_id in self._unreadable:
            raise self._unreadable[aggregate_id]
        return self._aggregates.get(aggregate_id)

    def version(self, aggregate_id: UUID) -> int | None:
        """The version of one that was loaded, None when there is none."""
        aggregate = self._aggregates.get(aggregate_id)
        return aggregate.version if aggregate else None

    def subjects(self, aggregate_ids: Iterable[UUID]) -> set[UUID]:
        """Whom those that were loaded are about."""
        found = set()
        for aggregate_id in aggregate_ids:
            aggregate = self._aggregates.get(aggregate_id)
            if type(aggregate) is Task and aggregate.subject_id:
                found.add(aggregate.subject_id)
        return found

    def put(self, aggregate: Aggregate) -> None:
        """Keep it as the most recently used."""
        self._aggregates[aggregate.id] = aggregate
        self._aggregates.move_to_end(aggregate.id)
        if len(self._aggregates) > CACHED_AGGREGATES_MAX:
            self._aggregates.popitem(last=False)

    def evict(self, aggregate_ids: Iterable[UUID]) -> None:
        """Forget these: what they hold was not committed."""
        for aggregate_id in aggregate_ids:
            self._aggregates.pop(aggregate_id, None)


class Work:
    """What one command does: the aggregates it looks for and adds, and what comes of them."""

    def __init__(self, cache: AggregateCache, origin: Origin, now: datetime) -> None:
        self.now = now
        self.refusal: ControlPlaneError | None = None
        self.grant: Any = None
        self.touched: dict[UUID, Aggregate] = {}
        self.taken_in: list[Entry] = []
        self._cache = cache
        self._origin = origin

    @property
    def clean(self) -> bool:
        """Whether nothing was recorded by this command."""
        pending = any(aggregate.pending_events for aggregate in self.touched.values())
        return not pending and not self.taken_in

    def find(self, kind: type[AggregateT], aggregate_id: UUID) -> AggregateT | None:
        """The aggregate, None when there is none of this kind and id in the command's tenant."""
        aggregate = self._cache.get(aggregate_id)
        if not isinstance(aggregate, kind) or aggregate.tenant != self._origin.tenant:
            return None
        self.touched[aggregate_id] = aggregate
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
        """Take a new aggregate in. Raises ConcurrentChange when its id is taken."""
        if self._cache.get(aggregate.id) is not None:
            raise ConcurrentChange(f"There is something under the id {aggregate.id} already.")
        self.touched[aggregate.id] = aggregate
        self._cache.put(aggregate)
        return aggregate

    def take_in(self, aggregates: Iterable[Aggregate], entries: Sequence[Entry]) -> None:
        """Record what was recorded elsewhere, as it is, before what is decided here; `aggregates`
        are as it leaves them. Raises ConcurrentChange when an id is taken."""
        self.taken_in.extend(entries)
        for aggregate in aggregates:
            if aggregate.id not in self.touched:
                self.add(aggregate)
            self.touched[aggregate.id] = aggregate
            self._cache.put(aggregate)


@dataclass(slots=True, kw_only=True)
class Decided:
    """What a command adds to the log, and what to answer once that is committed.

    `place` is that of its last event in the append, counted from 1, or of the last one before it
    when it added none.
    """

    entries: list[Entry]
    aggregate_id: UUID
    version: int
    refusal: ControlPlaneError | None
    grant: Any
    touched: dict[UUID, Aggregate]
    place: int = 0


class HalfDecided(Exception):
    """A command went wrong after it had recorded something: its aggregates were dropped."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class ControlPlane:
    """Knows the handler of every command, and the aggregates that they decide upon."""

    def __init__(
        self,
        log: EventLog,
        clock: Callable[[], datetime],
        handlers: dict[type[Command], Handler],
        keyring: Keyring | None = None,
    ) -> None:
        self.log = log
        self.cache = AggregateCache(log)
        self._keyring = keyring
        self._held: dict[UUID, SubjectKey] = {}
        self._clock = clock
        self._handlers = handlers

    async def load(self, commands: Iterable[Command], aggregate_ids: Collection[UUID]) -> None:
        """See to it that all is there that these commands need: the aggregates, and the keys of
        those subjects that they or their aggregates are about. The keys stay until the next call,
        however many others are used meanwhile. Raises DatabaseUnavailable."""
        self._held = {}
        await self.cache.load(aggregate_ids)
        if self._keyring is not None:
            subjects = self.cache.subjects(aggregate_ids)
            subjects.update(command.about for command in commands if command.about)
            if subjects:
                self._held = await self._keyring.load(subjects)

    def decide(self, command: Command) -> Decided:
        """Decide upon what was loaded, and record in memory. A command that is refused leaves
        nothing behind.

        Raises what its handler raises; HalfDecided instead, when it had recorded something before.
        """
        work = Work(self.cache, command.origin, self._clock())
        try:
            subject = self._handlers[type(command)](command, work)
            return self._collect(command.origin, work, subject)
        except Exception as error:
            if work.clean and not isinstance(error, NotEncodable):
                raise
            self.cache.evict(work.touched)
            raise HalfDecided(error.cause if isinstance(error, NotEncodable) else error) from error

    def _collect(self, origin: Origin, work: Work, subject: Changed) -> Decided:
        entries = work.taken_in
        for aggregate in work.touched.values():
            correlation_id = aggregate.correlation_id
            for event in aggregate.take_events():
                record = Record(
                    event.originator_id,
                    event.originator_version,
                    topic_of(event),
                    self._encode(event),
                    origin.tenant,
                    origin.actor,
                    origin.command_id,
                    correlation_id,
                    origin.causation_id,
                    origin.traceparent,
                )
                entries.append((record, event))
        return Decided(
            entries=entries,
            aggregate_id=subject.id,
            version=subject.version,
            refusal=work.refusal,
            grant=work.grant,
            touched=work.touched,
        )

    def _encode(self, event: AggregateEvent) -> bytes:
        try:
            return self.log.encode(event)
        except TypeError as error:
            raise NotEncodable(error) from error


class NotEncodable(Exception):
    """An event holds what JSON cannot say."""

    def __init__(self, cause: TypeError) -> None:
        super().__init__(str(cause))
        self.cause = cause
