"""Tasks: how they are asked for, and how they are shown."""

from datetime import datetime
from typing import Annotated, Any, NotRequired, cast
from uuid import UUID

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from application.cursor import Cursor
from application.projections.task_board import TaskCard
from application.queries import TaskFilter, TaskStanding, TaskState
from application.waiting import WAITING_REASONS
from domain.task_shape import TaskSpecification, TaskStatus
from interfaces.http.fields import (
    WHOLE,
    AnyJson,
    Id,
    Kind,
    LabelFilter,
    Labels,
    Moment,
    Name,
    Reason,
    unique,
)
from interfaces.http.parameters import (
    WHOLE_TEXT,
    ListParameters,
    Wait,
)
from interfaces.http.schemas.base import Body, CursorOut, Refusal, documented
from interfaces.http.schemas.moments import AtParameters, InstantOut
from interfaces.http.schemas.subjects import SubjectName

WaitingReason = Annotated[str, Field(json_schema_extra={"enum": list(WAITING_REASONS)})]


VERSION_MAX = 1_000_000_000_000


class TaskBody(Body):
    """A task to be done."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "review",
                    "input": {"path": "src/main.py"},
                    "priority": 7,
                    "labels": {"team": "platform"},
                }
            ]
        }
    )

    kind: Kind
    """What sort of work it is; an agent's program chooses its handler by it."""
    input: AnyJson = None
    """What the agent gets."""
    requires: Annotated[list[Name], Field(max_length=32)] | None = None
    """Capabilities that the agent has to have; by default the kind alone."""
    priority: Annotated[int, Field(ge=0, le=9), WHOLE] = 5
    """0 is the lowest, 9 the highest."""
    max_attempts: Annotated[int, Field(ge=1, le=100), WHOLE] = 3
    """After so many failed attempts the task has failed."""
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400), WHOLE] = 300
    """How long one attempt may take."""
    not_before: Moment | None = None
    """It is not given to an agent earlier."""
    deadline: Moment | None = None
    """What is not done by then has failed."""
    labels: Labels = Field(default_factory=dict)
    """For finding it again."""
    parent_id: Id | None = None
    """The task on whose behalf it is done."""
    approval: bool = False
    """Whether it waits until somebody approves it."""
    subject: SubjectName | None = None
    """Whom or what it is about, by default what its parent is about: its input, result, messages
    and reasons are then encrypted under a key of that subject, and can be erased. Kind, labels and
    failure codes stay in clear."""

    def specification(self) -> TaskSpecification:
        """The same in the words of the domain."""
        requires = (self.kind,) if self.requires is None else unique(self.requires)
        return TaskSpecification(
            kind=self.kind,
            input=self.input,
            requires=requires,
            priority=self.priority,
            max_attempts=self.max_attempts,
            timeout_seconds=self.timeout_seconds,
            not_before=self.not_before,
            deadline=self.deadline,
            labels=self.labels,
            parent_id=self.parent_id,
            approval=self.approval,
        )


class TaskBatchBody(Body):
    """Many tasks at once."""

    tasks: Annotated[list[TaskBody], Field(min_length=1, max_length=1_000)]


class RetryBatchBody(Body):
    """Many failed tasks at once."""

    task_ids: Annotated[list[Id], Field(min_length=1, max_length=1_000)]


class ReasonBody(Body):
    """Why, for whoever reads the history."""

    reason: Reason | None = None


class StatusParameters(AtParameters):
    """How long to wait for news of a task."""

    wait: Wait = 0
    """Seconds to wait for a version above `after_version`."""
    after_version: Annotated[int, Field(ge=0, le=VERSION_MAX), WHOLE_TEXT] = 0
    """The version that the caller knows."""


class TaskListParameters(ListParameters):
    """Which tasks a list shows."""

    status: TaskStatus | None = None
    kind: Kind | None = None
    agent_id: Id | None = None
    label: Annotated[list[LabelFilter], Field(max_length=32)] = Field(default_factory=list)
    """`key:value`; may come many times, and then all have to fit."""
    since: Moment | None = None
    """Submitted then or later."""
    cursor: Id | None = None
    """The `next_cursor` of the page before."""

    def filter(self) -> TaskFilter:
        """The same in the words of the application."""
        return TaskFilter(
            status=self.status,
            kind=self.kind,
            agent_id=self.agent_id,
            labels=dict(map(pair_of, self.label)),
            since=self.since,
        )


@documented
class TaskStatusAnswer(TypedDict):
    """Where a task stands."""

    id: UUID
    status: TaskStatus
    progress: float
    """0 to 1, as its agent tells."""
    result: Any
    """What the agent answered, once it is completed."""
    error: Refusal | None
    """Why the last attempt, or the task, failed."""
    attempt: int
    """How often it was given to an agent."""
    agent_id: UUID | None
    version: int
    cursor: CursorOut
    waiting_reason: WaitingReason | None
    """Why it does not run."""
    at: NotRequired[InstantOut]
    """What the moment came to that was asked for."""


@documented
class TaskSummary(TypedDict):
    """A task without its input and result."""

    id: UUID
    status: TaskStatus
    progress: float
    progress_message: str | None
    error: Refusal | None
    attempt: int
    failures: int
    """How many of its attempts failed."""
    agent_id: UUID | None
    version: int
    cursor: CursorOut
    waiting_reason: WaitingReason | None
    kind: str
    requires: list[str]
    priority: int
    max_attempts: int
    timeout_seconds: int
    not_before: datetime | None
    deadline: datetime | None
    labels: dict[str, str]
    parent_id: UUID | None
    approval: bool
    lease_expires_at: datetime | None
    submitted_at: datetime
    submitted_by: str
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class TaskAnswer(TaskSummary):
    """A task, whole."""

    input: Any
    result: Any
    at: NotRequired[InstantOut]


@documented
class TaskPage(TypedDict):
    """Tasks, newest first."""

    items: list[TaskSummary]
    next_cursor: str | None
    """Where the next page begins; null after the last."""


@documented
class TaskCounts(TypedDict):
    """How many tasks there are of each status."""

    counts: dict[str, int]
    cursor: CursorOut


def status_of(
    standing: TaskStanding[TaskState] | TaskStanding[TaskCard], epoch: int
) -> TaskStatusAnswer:
    """Where a task stands."""
    card = standing.card
    return {
        "id": card.task_id,
        "status": TaskStatus(card.status),
        "progress": card.progress,
        "result": card.result,
        "error": _error(card),
        "attempt": card.attempt,
        "agent_id": card.agent_id,
        "version": card.version,
        "cursor": str(Cursor(epoch, card.position)),
        "waiting_reason": standing.waiting_reason,
    }


def summary_of(standing: TaskStanding[TaskCard], epoch: int) -> TaskSummary:
    """A task in a list."""
    card = standing.card
    return {
        "id": card.task_id,
        "status": TaskStatus(card.status),
        "progress": card.progress,
        "progress_message": card.progress_message,
        "error": _error(card),
        "attempt": card.attempt,
        "failures": card.failures,
        "agent_id": card.agent_id,
        "version": card.version,
        "cursor": str(Cursor(epoch, card.position)),
        "waiting_reason": standing.waiting_reason,
        "kind": card.kind,
        "requires": card.requires,
        "priority": card.priority,
        "max_attempts": card.max_attempts,
        "timeout_seconds": card.timeout_seconds,
        "not_before": card.not_before,
        "deadline": card.deadline,
        "labels": card.labels,
        "parent_id": card.parent_id,
        "approval": card.approval,
        "lease_expires_at": card.lease_expires_at,
        "submitted_at": card.submitted_at,
        "submitted_by": card.submitted_by,
        "queued_at": card.queued_at,
        "started_at": card.started_at,
        "finished_at": card.finished_at,
    }


def task_of(standing: TaskStanding[TaskCard], epoch: int) -> TaskAnswer:
    """A task, whole."""
    card = standing.card
    whole = {**summary_of(standing, epoch), "input": card.input, "result": card.result}
    return cast("TaskAnswer", whole)


def _error(card: TaskCard | TaskState) -> Refusal | None:
    if card.error_code is None:
        return None
    return {"code": card.error_code, "message": card.error_message or ""}


def pair_of(label: str) -> tuple[str, str]:
    """Key and value of a label filter."""
    key, _, value = label.partition(":")
    return key, value
