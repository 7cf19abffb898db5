"""What live events need from the outside: where frames go, what they look like, and history."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from application.live.channel import Channel
from application.live.interest import Interest, Shown
from application.ports import Json, Record


class Format(Protocol):
    """How frames are written for one kind of connection. Equal for all connections of the kind."""

    def event(self, shown: Shown, channel: Channel) -> bytes:
        """An event that comes over a channel."""

    def position(self, cursor: str) -> bytes:
        """Everything up to there was sent, or does not concern you."""

    def volatile(self, channel: Channel, message: Mapping[str, Json]) -> bytes:
        """What is never in the log."""


class Sink(Protocol):
    """Where the frames of one subscriber go. Belongs to the event loop."""

    @property
    def format(self) -> Format:
        """How its frames are written."""

    @property
    def congested(self) -> bool:
        """Whether more is unsent than may be."""

    def write(self, frames: bytes) -> None:
        """Send frames, whole ones, after all that were given before. Never waits."""

    async def drained(self) -> None:
        """Wait until it is congested no longer, or gone."""

    def close(self, code: int, reason: str) -> None:
        """End the connection, for a named reason."""


class History(Protocol):
    """The log as subscribers read it who are behind."""

    async def read(
        self, interest: Interest, *, after: int, until: int
    ) -> tuple[Sequence[Record], int]:
        """Records that may be wanted, in order, and the position up to which they were looked for.

        A page is bounded by count, bytes, and the positions that are looked through; it has come
        further than `after`. Raises DatabaseUnavailable.
        """

    async def labels(
        self, of: Sequence[tuple[UUID, int]]
    ) -> dict[tuple[UUID, int], dict[str, str]]:
        """The labels that aggregates had at a version; those that never had any are left out.

        Raises DatabaseUnavailable.
        """
