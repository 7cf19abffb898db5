"""The task board: one card a task, as it stands now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.ports import Record
from domain.task import Task
from domain.task_shape import FINAL, TaskStatus


@dataclass(slots=True, kw_only=True)
class TaskCard:
    """A task as it is shown. `position` is that of its last event; `error` is (code, message)."""

    task_id: UUID
    tenant: str
    kind: str
    input: Any
    requires: list[str]
    priority: int
    max_attempts: int
    timeout_seconds: int
    not_before: datetime | None
    deadline: datetime | None
    labels: dict[str, str]
    parent_id: UUID | None
    approval: bool
    submitted_at: datetime
    submitted_by: str
    version: int
    position: int
    status: str
    attempt: int = 0
    failures: int = 0
    progress: float = 0.0
    progress_message: str | None = None
    result: Any = None
    error_code: str | None = None
    error_message: str | None = None
    agent_id: UUID | None = None
    lease_expires_at: datetime | None = None
    due_at: datetime | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class TaskBoardProjection:
    """Keeps the task board up to date. Safe to rebuild from position 0."""

    name = "task_board"

    def key(self, record: Record, event: AggregateEvent) -> UUID | None:
        """The task."""
        return event.originator_id if record.topic.startswith("task.") else None

    def begins(self, event: AggregateEvent) -> bool:
        """A submission."""
        return isinstance(event, Task.Submitted)

    def is_open(self, row: TaskCard) -> bool:
        """Until the task ends."""
        return row.status not in FINAL

    def evolve(
        self, row: TaskCard | None, record: Record, event: AggregateEvent
    ) -> TaskCard | None:
        """The card after the event."""
        if isinstance(event, Task.Submitted):
            card = _submitted(record, event)
        else:
            assert row is not None, f"{record.topic} at {record.position} before its submission"
            card = row
        _apply(card, event)
        card.version = record.version
        card.position = record.position
        return card


def _submitted(record: Record, event: Task.Submitted) -> TaskCard:
    return TaskCard(
        task_id=event.originator_id,
        tenant=event.tenant,
        kind=event.kind,
        input=event.input,
        requires=list(event.requires),
        priority=event.priority,
        max_attempts=event.max_attempts,
        timeout_seconds=event.timeout_seconds,
        not_before=event.not_before,
        deadline=event.deadline,
        labels=event.labels,
        parent_id=event.parent_id,
        approval=event.approval,
        submitted_at=event.timestamp,
        submitted_by=record.actor,
        version=record.version,
        position=record.position,
        status=TaskStatus.AWAITING_APPROVAL,
    )


def _apply(card: TaskCard, event: AggregateEvent) -> None:  # noqa: C901 - a case an event
    match event:
        case Task.Submitted():
            if not event.approval:
                _wait_until(card, event.not_before, event.timestamp)
        case Task.Approved():
            _wait_until(card, card.not_before, event.timestamp)
        case Task.Queued() | Task.Released():
            _queue(card, event.timestamp)
        case Task.Assigned():
            card.status = TaskStatus.ASSIGNED
            card.agent_id = event.agent_id
            card.attempt = event.attempt
            card.lease_expires_at = event.lease_expires_at
            card.progress, card.progress_message = 0.0, None
        case Task.Started():
            card.status = TaskStatus.RUNNING
            card.started_at = event.timestamp
        case Task.Progressed():
            card.status = TaskStatus.RUNNING
            card.started_at = card.started_at or event.timestamp
            card.progress, card.progress_message = event.fraction, event.message
        case Task.AttemptFailed():
            card.failures += 1
            card.error_code, card.error_message = event.code, event.message
            _wait_until(card, event.retry_at, event.timestamp)
        case Task.LeaseExpired():
            card.failures += 1
            card.error_code = "lease_expired"
            card.error_message = f"Agent {event.agent_id} was not heard of."
            _queue(card, event.timestamp)
        case Task.Retried():
            card.failures = 0
            card.error_code = card.error_message = card.finished_at = None
            _queue(card, event.timestamp)
        case _:
            _apply_end(card, event)


def _apply_end(card: TaskCard, event: AggregateEvent) -> None:
    match event:
        case Task.Completed():
            _end(card, TaskStatus.COMPLETED, event.timestamp)
            card.progress, card.result = 1.0, event.result
            card.error_code = card.error_message = None
        case Task.Failed():
            _end(card, TaskStatus.FAILED, event.timestamp)
            card.error_code, card.error_message = event.code, event.message
        case Task.Cancelled(reason=reason) | Task.Rejected(reason=reason):
            _end(card, TaskStatus.CANCELLED, event.timestamp)
            card.error_code = "rejected" if isinstance(event, Task.Rejected) else "cancelled"
            card.error_message = reason


def _wait_until(card: TaskCard, due_at: datetime | None, now: datetime) -> None:
    if due_at is None or due_at <= now:
        _queue(card, now)
        return
    _leave_agent(card)
    card.status, card.due_at = TaskStatus.SCHEDULED, due_at


def _queue(card: TaskCard, now: datetime) -> None:
    _leave_agent(card)
    card.status, card.due_at, card.queued_at = TaskStatus.QUEUED, None, now


def _end(card: TaskCard, status: TaskStatus, now: datetime) -> None:
    # The agent that did it stays on the card; the lease and the waiting are over.
    card.status, card.finished_at = status, now
    card.lease_expires_at = card.due_at = None


def _leave_agent(card: TaskCard) -> None:
    card.agent_id = card.lease_expires_at = card.started_at = None
    card.progress, card.progress_message = 0.0, None
