"""What a task looks like: where it can stand, what is asked for, and all that it remembers."""

from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict
from uuid import UUID


class TaskStatus(StrEnum):
    """Where a task stands. The last three are final."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})
LEASED = frozenset({TaskStatus.ASSIGNED, TaskStatus.RUNNING})


class TaskSpecification(TypedDict):
    """What a submitter asks for. `timeout_seconds` limits one attempt; `priority` is 0 (lowest) to
    9."""

    kind: str
    input: Any
    requires: tuple[str, ...]
    priority: int
    max_attempts: int
    timeout_seconds: int
    not_before: datetime | None
    deadline: datetime | None
    labels: dict[str, str]
    parent_id: UUID | None
    approval: bool


class TaskSnapshot(TypedDict):
    """Everything that a Task remembers, for snapshots."""

    _created_on: datetime
    _modified_on: datetime
    tenant: str
    kind: str
    requires: tuple[str, ...]
    priority: int
    max_attempts: int
    timeout_seconds: int
    not_before: datetime | None
    deadline: datetime | None
    labels: dict[str, str]
    parent_id: UUID | None
    root_id: UUID | None
    depth: int
    subject_id: UUID | None
    status: TaskStatus
    due_at: datetime | None
    attempt: int
    failures: int
    agent_id: UUID | None
    holders: tuple[UUID, ...]
    assigned_at: datetime | None
    last_progress_at: datetime | None
    refusals: int
