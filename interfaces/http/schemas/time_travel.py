"""The past as it is asked for and shown: stories, differences, freeze frames, searches."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from application.cloud_events import CloudEvents
from application.cursor import Cursor
from application.time_travel.bottlenecks import load_percent
from application.time_travel.overview import Overview
from application.time_travel.predicate.tokens import LENGTH_MAX
from application.time_travel.search import Found
from application.time_travel.things import AgentThen, Told
from domain.task_shape import TaskStatus
from interfaces.http.parameters import WHOLE_TEXT, ListParameters, QueryParameters
from interfaces.http.schemas.agents import AgentState
from interfaces.http.schemas.base import Body, CursorOut, documented
from interfaces.http.schemas.events import CloudEvent
from interfaces.http.schemas.moments import InstantOut, MomentText
from interfaces.http.schemas.tasks import VERSION_MAX, TaskSummary, summary_of


class StoryParameters(ListParameters):
    """Which page of a story."""

    cursor: Annotated[int, Field(ge=0, le=VERSION_MAX), WHOLE_TEXT] = 0
    """The `next_cursor` of the page before: a version."""


class DiffParameters(QueryParameters):
    """Between which moments; versions of this very thing (`v7`) too."""

    begin: MomentText = Field(alias="from")
    end: MomentText | None = Field(default=None, alias="to")
    """By default now."""


class StateParameters(ListParameters):
    """As of when, and which page of the tasks."""

    at: MomentText | None = None
    """A cursor or a time; without one, now."""
    status: TaskStatus | None = None
    """Only tasks that stood so."""
    cursor: Annotated[str, Field(max_length=40)] | None = None
    """The `next_cursor` of the page before."""


class BisectBody(Body):
    """What is looked for, and where."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"predicate": "queue.depth > 100", "from": "1:1"}]}
    )

    predicate: Annotated[str, Field(min_length=1, max_length=LENGTH_MAX)]
    """Over the freeze frame: `queue.depth > 100 and agent["reviewer"].online`."""
    begin: MomentText | None = Field(default=None, alias="from")
    """By default the first event."""
    end: MomentText | None = Field(default=None, alias="to")
    """By default now."""
    scan: bool = False
    """Look at every event, for a predicate that comes and goes; at most 200,000 of them."""


@documented
class ToldOut(TypedDict):
    """An event in words."""

    cursor: CursorOut
    version: int
    time: datetime
    """When it was recorded."""
    type: str
    text: str
    actor: str
    cause: CursorOut | None
    """The newest event that it answers; null for what somebody outside began."""


@documented
class StoryPage(TypedDict):
    """What happened to one thing, in order."""

    items: list[ToldOut]
    next_cursor: str | None
    """Where the next page begins; null after the last."""


@documented
class Change(TypedDict):
    """A member that differs, as a read of the thing shows it."""

    field: str
    begin: Annotated[Any, Field(alias="from")]
    end: Annotated[Any, Field(alias="to")]


@documented
class DiffAnswer(TypedDict):
    """What differs between two moments."""

    begin: Annotated[InstantOut, Field(alias="from")]
    end: Annotated[InstantOut, Field(alias="to")]
    changes: list[Change]
    """In the order of the members of a read; `cursor` is left out."""


@documented
class TasksThenOut(TypedDict):
    """The tasks."""

    counts: dict[str, int]
    """Of every status."""
    items: list[TaskSummary]
    """Newest first. A page may be short and there be more: `next_cursor` tells."""
    next_cursor: str | None


@documented
class AgentThenOut(TypedDict):
    """An agent, without the readings of its machine: these are telemetry, not history."""

    id: UUID
    name: str
    state: AgentState
    online: bool
    capabilities: list[str]
    slots: int
    running: int
    load: float
    """The share of its slots in use, in percent."""
    completed: int
    failed: int
    lost: int
    version: int
    cursor: CursorOut


@documented
class FleetOut(TypedDict):
    """The agents that took work, together."""

    online: int
    slots: int
    running: int
    load: float
    """The share of their slots in use, in percent."""


@documented
class QueueOut(TypedDict):
    """What waited for an agent."""

    depth: int
    by_kind: dict[str, int]
    """The 100 kinds of which most waited."""
    oldest_waiting_since: datetime | None


@documented
class BottleneckOut(TypedDict):
    """What stood in the way of the work; README of application/ has the rules."""

    code: Annotated[
        str,
        Field(
            json_schema_extra={
                "enum": [
                    "no_capable_agent",
                    "agents_offline",
                    "agents_draining",
                    "fleet_saturated",
                    "waiting_long",
                ]
            }
        ),
    ]
    severity: Literal["warning", "critical"]
    text: str
    facts: dict[str, Any]
    """What it is drawn from."""


@documented
class StateAnswer(TypedDict):
    """The freeze frame: everything as of a moment."""

    at: InstantOut
    """What the moment came to."""
    digest: str
    """SHA-256 over all open tasks, the counts of the others, and all agents: equal states have
    equal digests, whichever way they were computed."""
    tasks: TasksThenOut
    agents: list[AgentThenOut]
    """The first 1,000 by name, retired ones among them."""
    fleet: FleetOut
    queue: QueueOut
    bottlenecks: list[BottleneckOut]


@documented
class BisectAnswer(TypedDict):
    """What a search came to."""

    found: bool
    outcome: Literal["found", "held_already", "never_held"]
    """`held_already`: before the first event of the range. `never_held`: nowhere that was looked
    at; one that comes and goes is found by a scan."""
    event: CloudEvent | None
    """After it the predicate holds, and before it it does not."""
    begin: Annotated[InstantOut | None, Field(alias="from")]
    """What lies before the range; null where it begins with the log."""
    end: Annotated[InstantOut, Field(alias="to")]
    folds: int
    """How many freeze frames were made."""
    events_scanned: int
    """How many events were folded for them."""


def story_of(items: list[Told], epoch: int) -> list[ToldOut]:
    """Events in words."""
    return [
        {
            "cursor": str(Cursor(epoch, one.record.position)),
            "version": one.record.version,
            "time": one.record.recorded_at,
            "type": one.record.topic,
            "text": one.text,
            "actor": one.record.actor,
            "cause": None if one.cause is None else str(one.cause),
        }
        for one in items
    ]


def changes_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The members of two reads of one thing that differ, in their order."""
    return [
        {"field": name, "from": before[name], "to": value}
        for name, value in after.items()
        if name != "cursor" and before[name] != value
    ]


def state_of(overview: Overview, epoch: int) -> dict[str, Any]:
    """A freeze frame."""
    frame, seen = overview.frame, overview.seen
    oldest = seen.oldest_queued
    return {
        "at": overview.at.members(),
        "digest": seen.digest,
        "tasks": {
            "counts": {str(status): frame.counts[status] for status in TaskStatus},
            "items": [summary_of(standing, epoch) for standing in overview.tasks.items],
            "next_cursor": overview.tasks.next_cursor,
        },
        "agents": [_agent_of(agent, epoch) for agent in overview.agents],
        "fleet": {
            "online": seen.serving,
            "slots": seen.slots,
            "running": seen.running,
            "load": load_percent(seen.running, seen.slots),
        },
        "queue": {
            "depth": frame.depth,
            "by_kind": dict(seen.by_kind),
            "oldest_waiting_since": oldest.queued_at if oldest else None,
        },
        "bottlenecks": [
            {"code": one.code, "severity": one.severity, "text": one.text, "facts": one.facts}
            for one in seen.bottlenecks
        ],
    }


def _agent_of(agent: AgentThen, epoch: int) -> AgentThenOut:
    line, running = agent.status.line, agent.status.running
    return {
        "id": line.agent_id,
        "name": line.name,
        "state": agent.state,
        "online": line.online,
        "capabilities": line.capabilities,
        "slots": line.slots,
        "running": running,
        "load": load_percent(running, line.slots),
        "completed": line.completed,
        "failed": line.failed,
        "lost": line.lost,
        "version": line.version,
        "cursor": str(Cursor(epoch, line.position)),
    }


def found_of(found: Found, cloud_events: CloudEvents) -> dict[str, Any]:
    """What a search came to."""
    return {
        "found": found.outcome == "found",
        "outcome": found.outcome,
        "event": None if found.event is None else cloud_events.of(found.event),
        "from": None if found.begin is None else found.begin.members(),
        "to": found.end.members(),
        "folds": found.folds,
        "events_scanned": found.events,
    }
