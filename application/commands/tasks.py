"""What can be asked of a task."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from application.commands import Command
from application.control_plane import Work
from application.erasure.sealing import NO_SUBJECTS, Sealing
from domain.errors import AggregateNotFound, StaleAttempt, TooDeep
from domain.routing import Decision
from domain.task import Task
from domain.task_shape import TaskSpecification

GENERATIONS_MAX = 8
"""Tasks may beget tasks, but not without end (OWASP ASI08, cascading failures)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCommand(Command):
    """A command about one task."""

    task_id: UUID

    @property
    def needs(self) -> tuple[UUID, ...]:
        """The task."""
        return (self.task_id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitTask(TaskCommand):
    """Bring a task into being; its id is chosen by the caller's side of the writer.

    `subject_id` is of whom it is about, by default whom its parent is about, and has had a key
    before this is handed over.
    """

    specification: TaskSpecification
    subject_id: UUID | None = None

    @property
    def about(self) -> UUID | None:
        """Whom the task is about."""
        return self.subject_id

    @property
    def needs(self) -> tuple[UUID, ...]:
        """The parent alone: nobody else knows the new id."""
        parent_id = self.specification["parent_id"]
        return (parent_id,) if parent_id else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveTask(TaskCommand):
    """Let a task go ahead that awaits approval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectTask(TaskCommand):
    """End a task that awaits approval."""

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTask(TaskCommand):
    """End a task wherever it stands."""

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryTask(TaskCommand):
    """Give a failed task a new set of attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeTaskDue(TaskCommand):
    """Queue a scheduled task whose time has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignTask(TaskCommand):
    """Give the winner of a decision the lease on a queued task."""

    decision: Decision
    lease: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireLease(TaskCommand):
    """Take a task back from a holder that was not heard of."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOutAttempt(TaskCommand):
    """End an attempt that took longer than its time limit."""

    agent_id: UUID
    attempt: int
    retry_jitter: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MissDeadline(TaskCommand):
    """Fail a task whose deadline is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(TaskCommand):
    """What a worker says of the attempt that it holds."""

    agent_id: UUID
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportStarted(Report):
    """The work began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportProgress(Report):
    """The work has come so far; `fraction` is 0..1."""

    fraction: float
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCompleted(Report):
    """The work is done."""

    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFailed(Report):
    """The attempt went wrong; `retry_jitter` is None when another would go wrong too."""

    code: str
    message: str
    retry_jitter: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportReleased(Report):
    """The worker gives the task back unharmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a worker gets with a lease; the input is added when the lease is handed out.
    `subject_id`, of whom the task is about, is not told."""

    task_id: UUID
    attempt: int
    kind: str
    timeout_seconds: int
    labels: dict[str, str]
    subject_id: UUID | None = None
    input: Any = None


class TaskCommands:
    """Load, decide, seal what is personal, record. Nothing else happens in a handler."""

    def __init__(self, sealing: Sealing = NO_SUBJECTS) -> None:
        self._sealing = sealing

    def submit(self, command: SubmitTask, work: Work) -> Task:
        """Raises AggregateNotFound (of the parent), TooDeep, DeadlinePassed, SubjectErased."""
        parent_id = command.specification["parent_id"]
        parent = work.load(Task, parent_id) if parent_id else None
        if parent and parent.depth >= GENERATIONS_MAX:
            raise TooDeep(GENERATIONS_MAX)
        specification, subject_id = command.specification, command.subject_id
        if subject_id is None and parent is not None:
            # Who does the task does not know its subject, and may hand on what is personal.
            subject_id = parent.subject_id
        if subject_id is not None:
            sealed = self._sealing.input(subject_id, command.task_id, specification["input"])
            specification = {**specification, "input": sealed}
        task = Task.submit(
            command.task_id,
            specification,
            tenant=command.origin.tenant,
            parent=parent,
            now=work.now,
            subject_id=subject_id,
        )
        return work.add(task)

    def approve(self, command: ApproveTask, work: Work) -> Task:
        """Raises AggregateNotFound, VersionMismatch, TaskNotAwaitingApproval."""
        task = work.load(Task, command.task_id)
        task.approve(now=work.now)
        return task

    def reject(self, command: RejectTask, work: Work) -> Task:
        """Raises AggregateNotFound, VersionMismatch, TaskNotAwaitingApproval."""
        task = work.load(Task, command.task_id)
        task.reject(self._sealing.text(task, command.reason), now=work.now)
        return task

    def cancel(self, command: CancelTask, work: Work) -> Task:
        """Raises AggregateNotFound, VersionMismatch."""
        task = work.load(Task, command.task_id)
        task.cancel(self._sealing.text(task, command.reason), now=work.now)
        return task

    def retry(self, command: RetryTask, work: Work) -> Task:
        """Raises AggregateNotFound, VersionMismatch, TaskNotFailed."""
        task = work.load(Task, command.task_id)
        task.retry(now=work.now)
        return task

    def make_due(self, command: MakeTaskDue, work: Work) -> Task:
        """Raises AggregateNotFound, TaskNotDue."""
        task = work.load(Task, command.task_id)
        task.make_due(now=work.now)
        return task

    def assign(self, command: AssignTask, work: Work) -> Task:
        """Raises AggregateNotFound, TaskNotAssignable, SubjectLocked."""
        task = work.load(Task, command.task_id)
        self._sealing.require_unlocked(task)
        task.assign(command.decision, now=work.now, lease=command.lease)
        work.grant = Grant(
            task_id=task.id,
            attempt=task.attempt,
            kind=task.kind,
            timeout_seconds=task.timeout_seconds,
            labels=task.labels,
            subject_id=task.subject_id,
        )
        return task

    def expire_lease(self, command: ExpireLease, work: Work) -> Task:
        """Raises AggregateNotFound, StaleAttempt."""
        task = work.load(Task, command.task_id)
        task.expire_lease(command.attempt, now=work.now)
        return task

    def time_out(self, command: TimeOutAttempt, work: Work) -> Task:
        """Raises AggregateNotFound, StaleAttempt."""
        task = work.load(Task, command.task_id)
        task.fail_attempt(
            command.attempt,
            "timeout",
            f"It took longer than {task.timeout_seconds} s.",
            agent_id=command.agent_id,
            retry_jitter=command.retry_jitter,
            now=work.now,
        )
        return task

    def miss_deadline(self, command: MissDeadline, work: Work) -> Task:
        """Raises AggregateNotFound, TaskNotDue."""
        task = work.load(Task, command.task_id)
        task.miss_deadline(now=work.now)
        return task

    def report(self, command: Report, work: Work) -> Task:
        """A stale report is refused, and the refusal is recorded.

        Raises AggregateNotFound, also for an agent that never held the task: it is to learn
        nothing of it, and to leave no trace in its history.
        """
        task = work.load(Task, command.task_id)
        if not task.was_given_to(command.agent_id):
            raise AggregateNotFound("task", command.task_id)
        try:
            _apply_report(command, task, work, self._sealing)
        except StaleAttempt as refusal:
            kind = REPORT_NAMES[type(command)]
            task.refuse_report(command.agent_id, command.attempt, kind, now=work.now)
            work.refusal = refusal
        return task


REPORT_NAMES: dict[type[Report], str] = {
    ReportStarted: "started",
    ReportProgress: "progress",
    ReportCompleted: "completed",
    ReportFailed: "failed",
    ReportReleased: "released",
}


def _apply_report(command: Report, task: Task, work: Work, sealing: Sealing) -> None:
    agent_id, attempt = command.agent_id, command.attempt
    match command:
        case ReportStarted():
            task.start(agent_id, attempt, now=work.now)
        case ReportProgress(fraction=fraction, message=message):
            sealed = sealing.text(task, message)
            task.progress(agent_id, attempt, fraction, sealed, now=work.now)
        case ReportCompleted(result=result):
            task.complete(agent_id, attempt, sealing.result(task, result), now=work.now)
        case ReportFailed(code=code, message=message, retry_jitter=jitter):
            sealed = sealing.text(task, message)
            task.fail_attempt(
                attempt, code, sealed, agent_id=agent_id, retry_jitter=jitter, now=work.now
            )
        case ReportReleased():
            task.release(agent_id, attempt, now=work.now)
