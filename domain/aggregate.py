"""The base of our aggregates and of the events that they are made of."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast
from uuid import UUID

from eventsourcing.domain import (
    AggregateEvent,
    BaseAggregate,
    CanInitAggregate,
    decorated_funcs,
)
from eventsourcing.utils import resolve_topic


class Aggregate(BaseAggregate[UUID]):
    """The library's Aggregate without its ready-made Created event, so that each of ours
    names its own first event, and TOPIC can name every event in the log.

    Decisions take the time as an argument; nothing here looks at a clock. An aggregate's id
    is always given by the command that brings it into being.
    """

    SNAPSHOT: ClassVar[Any] = None
    """The TypedDict of everything in `vars(aggregate)`: what a snapshot holds and how it is
    read."""

    TOPIC: ClassVar[str]

    class Event(AggregateEvent):
        """Something that happened to one aggregate. TOPIC is its name in the log."""

        if TYPE_CHECKING:
            TOPIC: ClassVar[str]

        def mutate(self, aggregate: Any) -> Any:
            """The aggregate after it. Raises OriginatorIDError, OriginatorVersionError for one that
            it does not follow on."""
            follows = self.originator_version == aggregate._version + 1
            if not follows or self.originator_id != aggregate._id:
                return super().mutate(aggregate)  # which says what is wrong
            evolve, recorded = decorated_funcs[type(self)], vars(self)
            evolve(aggregate, **{name: recorded[name] for name in _parameters(evolve)})
            aggregate._version = self.originator_version
            aggregate._modified_on = self.timestamp
            return aggregate

    if TYPE_CHECKING:  # a real annotation would make the library turn it into a dataclass field
        tenant: str

    @property
    def correlation_id(self) -> UUID:
        """The id under which everything that belongs to one piece of work is found."""
        return self.id

    def take_events(self) -> Sequence[AggregateEvent]:
        """The events recorded since the last call, oldest first."""
        taken, self._pending_events = self._pending_events, []
        return cast("Sequence[AggregateEvent]", taken)

    # What the library does with a decision, at half the cost: every command passes here.

    @classmethod
    def _create(
        cls,
        event_class: Any,
        *,
        id: UUID | None = None,  # noqa: A002 - the library's name for it
        **recorded: Any,
    ) -> Self:
        """A new aggregate, and its first event. Raises TypeError for fields that are not its."""
        first = event_of(
            event_class,
            recorded,
            originator_topic=cls.TOPIC,
            originator_id=id,
            originator_version=cls.INITIAL_VERSION,
        )
        aggregate = cast("Self", first.mutate(None))
        aggregate._pending_events.append(first)
        return aggregate

    def trigger_event(self, event_class: Any, **recorded: Any) -> None:
        """Record that something happened. Raises TypeError for fields that are not the event's."""
        event = event_of(
            event_class, recorded, originator_id=self._id, originator_version=self._version + 1
        )
        event.mutate(self)
        self._pending_events.append(event)


def topic_of(event: AggregateEvent) -> str:
    """The event's name in the log."""
    return cast("type[Aggregate.Event]", type(event)).TOPIC


@cache
def _field_names(event_class: Any) -> frozenset[str]:
    return frozenset(field.name for field in fields(event_class))


@cache
def _parameters(method: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(method).parameters)[1:]


def event_of(event_class: Any, recorded: dict[str, Any], **about: Any) -> Any:
    """An event of these fields: a frozen dataclass, filled without asking each field for leave.

    Raises TypeError when they are not the event's.
    """
    recorded.update(about)
    if recorded.keys() != _field_names(event_class):
        wrong = ", ".join(sorted(recorded.keys() ^ _field_names(event_class)))
        raise TypeError(f"{event_class.__qualname__} has not these fields: {wrong}")
    event = object.__new__(event_class)
    vars(event).update(recorded)
    return event


class FirstEvent(CanInitAggregate[UUID], AggregateEvent):
    """The event that brings an aggregate into being."""

    originator_topic: str

    def mutate(self, aggregate: Any) -> Any:
        """The aggregate as it begins."""
        assert aggregate is None, "it exists already"
        kind = resolve_topic(self.originator_topic)
        aggregate = object.__new__(kind)
        aggregate.__base_init__(self.originator_id, self.originator_version, self.timestamp)
        recorded = vars(self)
        kind.__init__(aggregate, **{name: recorded[name] for name in _parameters(kind.__init__)})
        return aggregate
