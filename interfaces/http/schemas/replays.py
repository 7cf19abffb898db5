"""Incident replays: what is to be played, and how one fares."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from application.replays.replay import Replay, ReplayState
from application.replays.replays import Wanted
from interfaces.http.fields import WHOLE
from interfaces.http.schemas.base import Body, CursorOut, documented
from interfaces.http.schemas.moments import InstantOut, MomentText

SPEED_MIN, SPEED_MAX = 0.1, 1_000.0
STEP_EVENTS_MAX = 1_000
GAP_SECONDS_MAX = 86_400.0

Speed = Annotated[float, Field(ge=SPEED_MIN, le=SPEED_MAX, allow_inf_nan=False)]


class ReplayBody(Body):
    """What is to be played, and how fast."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"from": "2026-01-31T14:03:00Z", "to": "1:4711", "speed": 10, "gap_seconds_max": 5}
            ]
        }
    )

    begin: MomentText = Field(alias="from")
    """The event at this cursor, or what was recorded at this time, is the first."""
    end: MomentText | None = Field(default=None, alias="to")
    """What comes last; by default what is the newest now."""
    speed: Speed = 1.0
    """Recorded seconds in a second."""
    gap_seconds_max: Annotated[float, Field(gt=0, le=GAP_SECONDS_MAX)] | None = None
    """Of idle time that was longer than so many recorded seconds only these are played."""

    def wanted(self) -> Wanted:
        """As it is opened."""
        return Wanted(
            begin=self.begin,
            end=self.end,
            speed=self.speed,
            gap_seconds_max=self.gap_seconds_max,
        )


class StepBody(Body):
    """How far."""

    events: Annotated[int, Field(ge=1, le=STEP_EVENTS_MAX), WHOLE] = 1


class SpeedBody(Body):
    """How fast."""

    speed: Speed


@documented
class ReplayShown(TypedDict):
    """A replay."""

    replay_id: UUID
    channel: Annotated[str, Field(examples=["replay.018f6a3e-1c2b-7d4e-9f00-0123456789ab"])]
    """Subscribe to it."""
    begin: Annotated[InstantOut, Field(alias="from")]
    """What `from` came to."""
    end: Annotated[InstantOut, Field(alias="to")]
    speed: float
    """Recorded seconds in a second."""
    gap_seconds_max: float | None
    state: ReplayState
    """`waiting`: it would play, but nobody listens."""
    played: int
    """How many events were played."""
    cursor: CursorOut
    """Everything up to here was played."""


def replay_of(replay: Replay) -> dict[str, Any]:
    """How a replay fares."""
    score = replay.score
    return {
        "replay_id": score.replay_id,
        "channel": str(score.channel),
        "from": score.begin.members(),
        "to": score.end.members(),
        "speed": replay.speed,
        "gap_seconds_max": score.gap_seconds_max,
        "state": replay.state,
        "played": replay.played,
        "cursor": str(replay.cursor),
    }
