"""What live events need from the outside: where frames go, what they look like, and history."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from application.live.channel import Channel
from application.live.interest import Interest, Shown
from application.ports import Json, Record


class Ending(StrEnum):
    """Why a connection is ended by us."""

    TOO_SLOW = "consumer too slow"
    FAILED = "internal error"
    TOKEN_ENDED = "token ended"  # noqa: S105
    WRONG_TOKENS = "wrong tokens"
    NOT_SIGNED_IN = "not signed in in time"
    TOO_LARGE = "message too large"


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

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""

    def write(self, frames: bytes) -> None:
        """Send frames, whole ones, after all that were given before. Never waits."""

    async def drained(self) -> None:
        """Wait until it is congested no longer, or gone."""

    def close(self, ending: Ending) -> None:
        """End the connection, and say why."""


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
