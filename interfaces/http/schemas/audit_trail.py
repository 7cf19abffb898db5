"""The audit trail, and exports of the log."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from interfaces.http.fields import Id, Moment, Name
from interfaces.http.parameters import CursorText, ListParameters, Parameters
from interfaces.http.schemas.base import CursorOut, documented
from interfaces.http.schemas.events import CloudEvent
from interfaces.http.schemas.moments import MomentText

EXPORTED_MAX = 90
"""A query has at most 100 parameters."""


class TrailParameters(ListParameters):
    """Which entries, and which page of them."""

    actor: Name | None = None
    """Of whom, such as `user/alice`; `anonymous` is who did not say, or not believably."""
    type: Name | None = None
    """Such as `audit.commanded`, `audit.read` or `audit.refused`."""
    since: Moment | None = None
    """Not recorded before that."""
    cursor: CursorText | None = None
    """The `next_cursor` of the page before."""


@documented
class TrailPage(TypedDict):
    """Entries, newest first."""

    items: list[CloudEvent]
    next_cursor: CursorOut | None


class ExportParameters(Parameters):
    """What is exported."""

    begin: Annotated[MomentText | None, Field(alias="from")] = None
    """The event at this cursor, or what was recorded at this time, is the first; by default the
    first of all."""
    end: Annotated[MomentText | None, Field(alias="to")] = None
    """What comes last; by default what is the newest now."""
    sign: bool = False
    """Whether a signed line follows the events, by which they can be checked elsewhere."""
    aggregate_id: Annotated[list[Id], Field(max_length=EXPORTED_MAX)] = Field(default_factory=list)
    """A task or agent whose whole history is wanted; may come many times. By default all are."""
