"""Moments in queries and bodies, and what they came to in answers."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema
from typing_extensions import TypedDict

from application.cursor import CursorAhead
from application.lane import TooMuchFolding
from application.moments import AfterHistory, BadMoment, BeforeHistory, Moment, VersionAhead
from application.time_travel.frames import FramesBehind, UnreadableHistory
from domain.errors import EpochEnded
from interfaces.http.parameters import QueryParameters
from interfaces.http.schemas.base import CursorOut, documented


def moment_from(value: Any) -> Moment:
    """A moment from its text. Raises BadMoment."""
    return Moment.parse(value if isinstance(value, str) else repr(value))


MomentText = Annotated[
    Moment,
    PlainValidator(moment_from),
    WithJsonSchema({"type": "string", "examples": ["1:4711", "2026-01-31T12:00:00Z", "v7"]}),
]
"""A cursor, a time as in RFC 3339, or a version where one thing is asked for."""


class AtParameters(QueryParameters):
    """As of when."""

    at: MomentText | None = None
    """A moment: a cursor, a time, or a version of this very thing (`v7`); without one, now."""


WRONG_MOMENTS = (BadMoment, BeforeHistory, AfterHistory, CursorAhead, EpochEnded)
"""What can be wrong with a moment."""
PAST = (*WRONG_MOMENTS, VersionAhead, FramesBehind, TooMuchFolding, UnreadableHistory)
"""What can come of reading one thing as of a moment."""


@documented
class InstantOut(TypedDict):
    """The last event until a moment."""

    cursor: CursorOut
    time: datetime
    """When it was recorded."""
