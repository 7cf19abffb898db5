"""The base of our aggregates and of the events that they are made of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate


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

    if TYPE_CHECKING:  # a real annotation would make the library turn it into a dataclass field
        tenant: str

    @property
    def correlation_id(self) -> UUID:
        """The id under which everything that belongs to one piece of work is found."""
        return self.id

    def take_events(self) -> Sequence[AggregateEvent]:
        """The events recorded since the last call, oldest first."""
        return cast("Sequence[AggregateEvent]", self.collect_events())


def topic_of(event: AggregateEvent) -> str:
    """The event's name in the log."""
    return cast("type[Aggregate.Event]", type(event)).TOPIC


class FirstEvent(CanInitAggregate[UUID], AggregateEvent):
    """The event that brings an aggregate into being."""

    originator_topic: str
