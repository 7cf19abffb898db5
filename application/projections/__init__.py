"""Read models: rows made for one question, folded from the log; each may be thrown away and
rebuilt."""

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

from eventsourcing.domain import AggregateEvent

from application.ports import Record

KeyT_co = TypeVar("KeyT_co", bound=Hashable, covariant=True)
RowT = TypeVar("RowT")


class Projection(Protocol, Generic[KeyT_co, RowT]):
    """How events become the rows of one read model. Pure: the same log gives the same rows."""

    name: str

    def key(self, record: Record, event: AggregateEvent) -> KeyT_co | None:
        """Which row the event concerns; None when this model does not show it."""

    def begins(self, event: AggregateEvent) -> bool:
        """Whether the event is the first that its row tells of, so that there is none before."""

    def evolve(self, row: RowT | None, record: Record, event: AggregateEvent) -> RowT | None:
        """The row after the event, perhaps the same object; None leaves everything as it was."""

    def is_open(self, row: RowT) -> bool:
        """Whether more is likely to come soon, so that it pays to keep the row at hand."""
