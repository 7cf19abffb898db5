"""The activity feed: what happened, in words, newest first. Routine steps of a task are left
out."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.ports import Record
from domain.agent import Agent
from domain.task import Task


@dataclass(slots=True, kw_only=True)
class Activity:
    """One thing that happened. `subject` is `task/<id>` or `agent/<id>`."""

    position: int
    tenant: str
    at: datetime
    subject: str
    topic: str
    text: str
    actor: str


class ActivityFeedProjection:
    """Keeps the feed up to date. Safe to rebuild from position 0."""

    name = "activity_feed"

    def key(self, record: Record, event: AggregateEvent) -> int | None:
        """The position: each event shown is a line of its own."""
        # Whoever may see tasks may not see who was refused what, nor what the operator backs up.
        hidden = record.topic in ROUTINE or record.topic.startswith(("audit.", "archive."))
        return None if hidden else record.position

    def begins(self, event: AggregateEvent) -> bool:
        """Always."""
        return True

    def is_open(self, row: Activity) -> bool:
        """Never: what happened stays as it is."""
        return False

    def evolve(
        self, row: Activity | None, record: Record, event: AggregateEvent
    ) -> Activity | None:
        """A line for the event."""
        return Activity(
            position=record.position,
            tenant=record.tenant,
            at=event.timestamp,
            subject=f"{record.topic.partition('.')[0]}/{record.aggregate_id}",
            topic=record.topic,
            text=in_words(event),
            actor=record.actor,
        )


ROUTINE = frozenset({"task.queued", "task.assigned", "task.started", "task.progressed"})


def in_words(event: AggregateEvent) -> str:
    """What happened, in a sentence."""
    match event:
        case Agent.Registered():
            does = ", ".join(event.capabilities)
            return f"Agent {event.name} was registered; it can do {does}."
        case Agent.WentOffline():
            return f"The agent went offline; last heard of at {event.last_heard_at:%H:%M:%S} UTC."
        case _:
            return _task_in_words(event)


def _task_in_words(event: AggregateEvent) -> str:  # noqa: PLR0911 - a sentence an event
    match event:
        case Task.Submitted():
            return f"A task {event.kind!r} was submitted."
        case Task.Rejected(reason=reason) | Task.Cancelled(reason=reason):
            word = "rejected" if isinstance(event, Task.Rejected) else "cancelled"
            return f"The task was {word}{': ' + reason if reason else ''}."
        case Task.Completed():
            return f"The task was completed by attempt {event.attempt}."
        case Task.AttemptFailed():
            then = "will be tried again" if event.retry_at else "was the last"
            return f"Attempt {event.attempt} failed ({event.code}) and {then}."
        case Task.LeaseExpired():
            return (
                f"Attempt {event.attempt} was lost: its agent {_short(event.agent_id)} fell silent."
            )
        case Task.Failed():
            return f"The task failed ({event.code}): {event.message}"
        case Task.ReportRefused():
            return f"A late report ({event.report}, attempt {event.attempt}) was refused."
        case _:
            return PLAIN.get(type(event).__name__, type(event).__name__)


PLAIN = {
    "Approved": "The task was approved.",
    "Released": "The task was given back.",
    "Retried": "The task was given a new set of attempts.",
    "Changed": "The agent's capabilities, slots or labels were changed.",
    "CameOnline": "The agent came online.",
    "Drained": "The agent takes no new work.",
    "Resumed": "The agent takes work again.",
    "Retired": "The agent was retired.",
    "Reinstated": "The agent was brought back.",
    "Restored": "The store was restored from an archive.",
    "Erased": "A subject was erased: what is personal in its tasks cannot be read any more.",
}


def _short(agent_id: UUID) -> str:
    return str(agent_id)[:8]
