"""Events as CloudEvents 1.0, and the activity feed."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from application.cursor import Cursor
from application.projections.activity_feed import Activity
from interfaces.http.fields import Id, Name
from interfaces.http.parameters import (
    WHOLE_TEXT,
    CursorText,
    ListParameters,
    QueryParameters,
    Wait,
)
from interfaces.http.schemas.base import CursorOut, documented

EVENTS_LIMIT_MAX = 1_000


class EventParameters(QueryParameters):
    """Which events."""

    after: CursorText | None = None
    """Those that stand behind this cursor; by default from the start of the log."""
    until: CursorText | None = None
    """Those up to and including this cursor."""
    type: Name | None = None
    """Such as `task.completed`."""
    aggregate_id: Id | None = None
    """Those of one task or agent."""
    limit: Annotated[int, Field(ge=1, le=EVENTS_LIMIT_MAX), WHOLE_TEXT] = 100
    """How many a page holds at most; large events make it hold fewer."""
    wait: Wait = 0
    """Seconds to wait for the first one to come."""


class ActivityParameters(ListParameters):
    """Which page of the activity feed."""

    cursor: CursorText | None = None
    """The `next_cursor` of the page before."""


@documented
class CloudEvent(TypedDict):
    """An event of the log (CloudEvents 1.0.2, JSON format)."""

    specversion: Literal["1.0"]
    id: CursorOut
    """The cursor of the event."""
    source: Annotated[str, Field(examples=["/musterroll/0d6e8b3a-5f0c-4a57-9a41-2f6c1d9b7e10"])]
    """`/musterroll/<id of the log>`."""
    type: Annotated[str, Field(examples=["task.completed"])]
    """What happened, such as `task.completed`."""
    subject: Annotated[str, Field(examples=["task/018f6a3e-1c2b-7d4e-9f00-0123456789ab"])]
    """What it happened to: `task/<id>` or `agent/<id>`."""
    time: datetime
    datacontenttype: Literal["application/json"]
    data: dict[str, Any]
    """The event's own fields."""
    version: int
    """The version of the task or agent after it."""
    actor: Annotated[str, Field(examples=["user/alice"])]
    """Who brought it about, such as `user/alice`."""
    commandid: UUID
    correlationid: UUID
    """The first task of the family; for an agent, the agent."""
    causationid: str | None
    """The cursor of the event that it answers."""
    traceparent: str | None


@documented
class EventPage(TypedDict):
    """Events in log order."""

    items: list[CloudEvent]
    next_cursor: CursorOut
    """Where to go on: give it as `after`."""


@documented
class ActivityShown(TypedDict):
    """One thing that happened."""

    cursor: CursorOut
    at: datetime
    subject: str
    type: str
    text: str
    actor: str


@documented
class ActivityPage(TypedDict):
    """What happened, newest first."""

    items: list[ActivityShown]
    next_cursor: CursorOut | None


def activity_of(activity: Activity, epoch: int) -> ActivityShown:
    """One thing that happened."""
    return {
        "cursor": str(Cursor(epoch, activity.position)),
        "at": activity.at,
        "subject": activity.subject,
        "type": activity.topic,
        "text": activity.text,
        "actor": activity.actor,
    }
