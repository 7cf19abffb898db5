"""What a replay plays."""

from dataclasses import dataclass
from uuid import UUID

from application.live.channel import Channel
from application.moments import Instant
from application.stretch import Stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What is played, and how. Idle time beyond `gap_seconds_max` is passed over.

    `begin` and `end` are the moments that were asked for, as what they came to.
    """

    replay_id: UUID
    tenant: str
    stretch: Stretch
    begin: Instant
    end: Instant
    gap_seconds_max: float | None

    @property
    def channel(self) -> Channel:
        """Over which it is played."""
        return Channel("replay", self.replay_id)
