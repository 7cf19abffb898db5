"""The agent roster: one line an agent, with what it has done."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.ports import Record
from domain.agent import Agent, Standing
from domain.task import Task


@dataclass(slots=True, kw_only=True)
class RosterLine:
    """An agent as the log knows it; readings of its machine are telemetry and stand elsewhere.

    `completed`, `failed` and `lost` count attempts: done, reported as failed, and expired.
    """

    agent_id: UUID
    tenant: str
    name: str
    capabilities: list[str]
    slots: int
    labels: dict[str, str]
    standing: str
    online: bool
    registered_at: datetime
    version: int
    position: int
    completed: int = 0
    failed: int = 0
    lost: int = 0


class AgentRosterProjection:
    """Keeps the roster up to date. Safe to rebuild from position 0."""

    name = "agent_roster"

    def key(self, record: Record, event: AggregateEvent) -> UUID | None:
        """The agent: the one that the event is of, or the one whose attempt ended."""
        if isinstance(event, Task.Completed | Task.AttemptFailed | Task.LeaseExpired):
            return event.agent_id
        return event.originator_id if record.topic.startswith("agent.") else None

    def begins(self, event: AggregateEvent) -> bool:
        """A registration."""
        return isinstance(event, Agent.Registered)

    def is_open(self, row: RosterLine) -> bool:
        """While the agent serves."""
        return row.standing != Standing.RETIRED

    def evolve(
        self, row: RosterLine | None, record: Record, event: AggregateEvent
    ) -> RosterLine | None:
        """The line after the event."""
        if isinstance(event, Agent.Registered):
            return _registered(record, event)
        assert row is not None, f"{record.topic} at {record.position} before its agent"
        _apply(row, event)
        if record.topic.startswith("agent."):
            row.version = record.version
        row.position = record.position
        return row


def _registered(record: Record, event: Agent.Registered) -> RosterLine:
    return RosterLine(
        agent_id=event.originator_id,
        tenant=event.tenant,
        name=event.name,
        capabilities=list(event.capabilities),
        slots=event.slots,
        labels=event.labels,
        standing=Standing.ACTIVE,
        online=False,
        registered_at=event.timestamp,
        version=record.version,
        position=record.position,
    )


def _apply(line: RosterLine, event: AggregateEvent) -> None:  # noqa: C901 - a case an event
    match event:
        case Task.Completed():
            line.completed += 1
        case Task.AttemptFailed():
            line.failed += 1
        case Task.LeaseExpired():
            line.lost += 1
        case Agent.Changed() | Agent.Reinstated():
            line.capabilities = list(event.capabilities)
            line.slots, line.labels = event.slots, event.labels
            if isinstance(event, Agent.Reinstated):
                line.standing = Standing.ACTIVE
        case Agent.CameOnline():
            line.online = True
        case Agent.WentOffline():
            line.online = False
        case Agent.Drained():
            line.standing = Standing.DRAINING
        case Agent.Resumed():
            line.standing = Standing.ACTIVE
        case Agent.Retired():
            line.standing, line.online = Standing.RETIRED, False
