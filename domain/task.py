"""Task: a piece of work, from its submission to its one end."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Self
from uuid import UUID

from eventsourcing.domain import event

from domain.aggregate import Aggregate, FirstEvent
from domain.errors import (
    DeadlinePassed,
    StaleAttempt,
    TaskNotAssignable,
    TaskNotAwaitingApproval,
    TaskNotDue,
    TaskNotFailed,
)
from domain.retry import backoff
from domain.routing import Decision
from domain.task_shape import FINAL, LEASED, TaskSnapshot, TaskSpecification, TaskStatus

PROGRESS_INTERVAL = timedelta(seconds=1)
"""Progress is recorded at most this often for each task."""
REFUSALS_RECORDED_MAX = 10
"""A hostile worker must not fill the log with refusals of its own reports."""


class Task(Aggregate):
    """A unit of work that at most one agent holds a lease on.

    Its input may be large and decides nothing, so it stays in the log and is not remembered here.
    """

    TOPIC = "task"
    SNAPSHOT: ClassVar[Any] = TaskSnapshot

    # Events, in lifecycle order. TOPIC is the name in the log: it never changes.

    class Submitted(FirstEvent):
        TOPIC = "task.submitted"
        class_version: ClassVar[int] = 2
        tenant: str
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
        root_id: UUID | None
        depth: int
        approval: bool
        subject_id: UUID | None

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """No task was about anybody."""
            state["subject_id"] = None

    class Approved(Aggregate.Event):
        TOPIC = "task.approved"

    class Rejected(Aggregate.Event):
        TOPIC = "task.rejected"
        reason: str | None

    class Queued(Aggregate.Event):
        """Its time has come: the moment it was not to start before, or the end of a back-off."""

        TOPIC = "task.queued"

    class Assigned(Aggregate.Event):
        TOPIC = "task.assigned"
        agent_id: UUID
        attempt: int
        lease_expires_at: datetime
        decision: Decision

    class Started(Aggregate.Event):
        TOPIC = "task.started"
        attempt: int

    class Progressed(Aggregate.Event):
        TOPIC = "task.progressed"
        attempt: int
        fraction: float
        message: str | None

    class Completed(Aggregate.Event):
        TOPIC = "task.completed"
        attempt: int
        agent_id: UUID
        result: Any

    class AttemptFailed(Aggregate.Event):
        """`retry_at` is None when there is no further attempt: then `task.failed` follows."""

        TOPIC = "task.attempt_failed"
        attempt: int
        agent_id: UUID
        code: str
        message: str
        retry_at: datetime | None

    class LeaseExpired(Aggregate.Event):
        """Nothing was heard of the holder. Unless it was the last attempt, the task is queued
        again."""

        TOPIC = "task.lease_expired"
        attempt: int
        agent_id: UUID
        last_attempt: bool

    class Released(Aggregate.Event):
        """The holder gave the task back unharmed; it costs no attempt."""

        TOPIC = "task.released"
        attempt: int
        agent_id: UUID

    class Failed(Aggregate.Event):
        TOPIC = "task.failed"
        code: str
        message: str

    class Cancelled(Aggregate.Event):
        TOPIC = "task.cancelled"
        reason: str | None

    class Retried(Aggregate.Event):
        """A person or program gave a failed task a new set of attempts."""

        TOPIC = "task.retried"

    class ReportRefused(Aggregate.Event):
        TOPIC = "task.report_refused"
        agent_id: UUID
        attempt: int
        report: str
        current_attempt: int

    # Decisions: check the rules, then record what happened.

    @classmethod
    def submit(
        cls,
        task_id: UUID,
        specification: TaskSpecification,
        *,
        tenant: str,
        parent: Self | None,
        now: datetime,
        subject_id: UUID | None = None,
    ) -> Self:
        """A new task; `subject_id` is of whom it is about, and what is personal is sealed.

        Raises DeadlinePassed when its deadline leaves no time for it.
        """
        deadline = specification["deadline"]
        if deadline is not None and deadline <= max(now, specification["not_before"] or now):
            raise DeadlinePassed(deadline)
        return cls._create(
            cls.Submitted,
            id=task_id,
            timestamp=now,
            tenant=tenant,
            root_id=parent.correlation_id if parent else None,
            depth=parent.depth + 1 if parent else 0,
            **specification,
            subject_id=subject_id,
        )

    def approve(self, *, now: datetime) -> None:
        """Let it go ahead. Raises TaskNotAwaitingApproval."""
        self._require_awaiting_approval()
        self.trigger_event(self.Approved, timestamp=now)

    def reject(self, reason: str | None, *, now: datetime) -> None:
        """End it before it began. Raises TaskNotAwaitingApproval."""
        self._require_awaiting_approval()
        self.trigger_event(self.Rejected, reason=reason, timestamp=now)

    def make_due(self, *, now: datetime) -> None:
        """Queue it, now that its time has come. Raises TaskNotDue."""
        if self.status is not TaskStatus.SCHEDULED or (self.due_at and self.due_at > now):
            raise TaskNotDue(self.id, self.status)
        self.trigger_event(self.Queued, timestamp=now)

    def assign(self, decision: Decision, *, now: datetime, lease: timedelta) -> None:
        """Lease it to the winner of the decision, until now + lease.

        Raises TaskNotAssignable unless the task is queued.
        """
        if self.status is not TaskStatus.QUEUED:
            raise TaskNotAssignable(self.id, self.status)
        self.trigger_event(
            self.Assigned,
            agent_id=decision.winner,
            attempt=self.attempt + 1,
            lease_expires_at=now + lease,
            decision=decision,
            timestamp=now,
        )

    def start(self, agent_id: UUID, attempt: int, *, now: datetime) -> None:
        """The holder began. Saying it twice changes nothing. Raises StaleAttempt."""
        self._require_lease(agent_id, attempt)
        if self.status is TaskStatus.ASSIGNED:
            self.trigger_event(self.Started, attempt=attempt, timestamp=now)

    def progress(
        self, agent_id: UUID, attempt: int, fraction: float, message: str | None, *, now: datetime
    ) -> None:
        """How far the holder is, 0..1; within a second of the last it is not recorded.

        Raises StaleAttempt.
        """
        self._require_lease(agent_id, attempt)
        if self.last_progress_at and now - self.last_progress_at < PROGRESS_INTERVAL:
            return
        self.trigger_event(
            self.Progressed, attempt=attempt, fraction=fraction, message=message, timestamp=now
        )

    def complete(self, agent_id: UUID, attempt: int, result: Any, *, now: datetime) -> None:
        """The holder is done. Raises StaleAttempt."""
        self._require_lease(agent_id, attempt)
        self.trigger_event(
            self.Completed, attempt=attempt, agent_id=agent_id, result=result, timestamp=now
        )

    def fail_attempt(
        self,
        attempt: int,
        code: str,
        message: str,
        *,
        agent_id: UUID,
        retry_jitter: float | None,
        now: datetime,
    ) -> None:
        """This attempt went wrong: back off and try again, or fail for good when no attempt is
        left or `retry_jitter` is None (nothing to gain from another attempt).

        Raises StaleAttempt.
        """
        self._require_lease(agent_id, attempt)
        failures = self.failures + 1
        retry_at = None
        if retry_jitter is not None and failures < self.max_attempts:
            retry_at = now + backoff(failures, jitter=retry_jitter)
        self.trigger_event(
            self.AttemptFailed,
            attempt=attempt,
            agent_id=agent_id,
            code=code,
            message=message,
            retry_at=retry_at,
            timestamp=now,
        )
        if retry_at is None:
            self.trigger_event(self.Failed, code=code, message=message, timestamp=now)

    def expire_lease(self, attempt: int, *, now: datetime) -> None:
        """Take the task back from a holder that was not heard of. Raises StaleAttempt."""
        holder = self.agent_id
        if holder is None:
            raise self._stale(attempt)
        self._require_lease(holder, attempt)
        last_attempt = self.failures + 1 >= self.max_attempts
        self.trigger_event(
            self.LeaseExpired,
            attempt=attempt,
            agent_id=holder,
            last_attempt=last_attempt,
            timestamp=now,
        )
        if last_attempt:
            message = f"Agent {holder} was not heard of until its lease was over."
            self.trigger_event(self.Failed, code="lease_expired", message=message, timestamp=now)

    def release(self, agent_id: UUID, attempt: int, *, now: datetime) -> None:
        """The holder gives it back unharmed. Raises StaleAttempt."""
        self._require_lease(agent_id, attempt)
        self.trigger_event(self.Released, attempt=attempt, agent_id=agent_id, timestamp=now)

    def miss_deadline(self, *, now: datetime) -> None:
        """Fail it because its deadline is over. Raises TaskNotDue."""
        if self.status in FINAL or self.deadline is None or self.deadline > now:
            raise TaskNotDue(self.id, self.status)
        message = f"It was not done by {self.deadline.isoformat()}."
        self.trigger_event(self.Failed, code="deadline_missed", message=message, timestamp=now)

    def cancel(self, reason: str | None, *, now: datetime) -> None:
        """End it, wherever it stands; a task that has ended stays as it is."""
        if self.status not in FINAL:
            self.trigger_event(self.Cancelled, reason=reason, timestamp=now)

    def retry(self, *, now: datetime) -> None:
        """Queue a failed task again with all its attempts. Raises TaskNotFailed."""
        if self.status is not TaskStatus.FAILED:
            raise TaskNotFailed(self.id, self.status)
        self.trigger_event(self.Retried, timestamp=now)

    def was_given_to(self, agent_id: UUID) -> bool:
        """Whether the agent ever held it."""
        return agent_id in self.holders

    def refuse_report(self, agent_id: UUID, attempt: int, report: str, *, now: datetime) -> None:
        """Remember that a stale report was refused, up to a limit for each task."""
        if self.refusals < REFUSALS_RECORDED_MAX:
            self.trigger_event(
                self.ReportRefused,
                agent_id=agent_id,
                attempt=attempt,
                report=report,
                current_attempt=self.attempt,
                timestamp=now,
            )

    @property
    def correlation_id(self) -> UUID:
        """The first task of the family: its own id, or that of its oldest ancestor."""
        return self.root_id or self.id

    def _require_awaiting_approval(self) -> None:
        if self.status is not TaskStatus.AWAITING_APPROVAL:
            raise TaskNotAwaitingApproval(self.id, self.status)

    def _require_lease(self, agent_id: UUID, attempt: int) -> None:
        held = self.status in LEASED and attempt == self.attempt and agent_id == self.agent_id
        if not held:
            raise self._stale(attempt)

    def _stale(self, reported: int) -> StaleAttempt:
        return StaleAttempt(self.id, reported=reported, current=self.attempt, status=self.status)

    # Evolution: apply recorded facts. Nothing here refuses or looks at a clock.

    @event(Submitted)
    def __init__(  # noqa: PLR0917 - the library passes an event's fields by name
        self,
        tenant: str,
        kind: str,
        requires: tuple[str, ...],
        priority: int,
        max_attempts: int,
        timeout_seconds: int,
        not_before: datetime | None,
        deadline: datetime | None,
        labels: dict[str, str],
        parent_id: UUID | None,
        root_id: UUID | None,
        depth: int,
        approval: bool,
        subject_id: UUID | None,
    ) -> None:
        self.tenant = tenant
        self.kind = kind
        self.requires = requires
        self.priority = priority
        self.max_attempts = max_attempts
        self.timeout_seconds = timeout_seconds
        self.not_before = not_before
        self.deadline = deadline
        self.labels = labels
        self.parent_id = parent_id
        self.root_id = root_id
        self.depth = depth
        self.subject_id = subject_id
        self.attempt = 0
        self.failures = 0
        self.refusals = 0
        self.holders: tuple[UUID, ...] = ()
        self.due_at: datetime | None = None
        self.agent_id: UUID | None = None
        self.assigned_at: datetime | None = None
        self.last_progress_at: datetime | None = None
        self.status = TaskStatus.AWAITING_APPROVAL
        if not approval:
            self._wait_until(not_before, self.created_on)

    @event(Approved)
    def _on_approved(self, timestamp: datetime) -> None:
        self._wait_until(self.not_before, timestamp)

    @event(Rejected)
    def _on_rejected(self) -> None:
        self.status = TaskStatus.CANCELLED

    @event(Queued)
    def _on_queued(self) -> None:
        self._queue()

    @event(Assigned)
    def _on_assigned(self, agent_id: UUID, attempt: int, timestamp: datetime) -> None:
        self.status = TaskStatus.ASSIGNED
        self.agent_id = agent_id
        if agent_id not in self.holders:
            self.holders = (*self.holders, agent_id)
        self.attempt = attempt
        self.assigned_at = timestamp

    @event(Started)
    def _on_started(self) -> None:
        self.status = TaskStatus.RUNNING

    @event(Progressed)
    def _on_progressed(self, timestamp: datetime) -> None:
        self.status = TaskStatus.RUNNING
        self.last_progress_at = timestamp

    @event(Completed)
    def _on_completed(self) -> None:
        self.status = TaskStatus.COMPLETED

    @event(AttemptFailed)
    def _on_attempt_failed(self, retry_at: datetime | None, timestamp: datetime) -> None:
        self.failures += 1
        self._wait_until(retry_at, timestamp)

    @event(LeaseExpired)
    def _on_lease_expired(self) -> None:
        self.failures += 1
        self._queue()

    @event(Released)
    def _on_released(self) -> None:
        self._queue()

    @event(Failed)
    def _on_failed(self) -> None:
        self.status = TaskStatus.FAILED

    @event(Cancelled)
    def _on_cancelled(self) -> None:
        self.status = TaskStatus.CANCELLED

    @event(Retried)
    def _on_retried(self) -> None:
        self.failures = 0
        self._queue()

    @event(ReportRefused)
    def _on_report_refused(self) -> None:
        self.refusals += 1

    def _wait_until(self, due_at: datetime | None, now: datetime) -> None:
        if due_at is None or due_at <= now:
            self._queue()
        else:
            self.status = TaskStatus.SCHEDULED
            self.due_at = due_at

    def _queue(self) -> None:
        self.status = TaskStatus.QUEUED
        self.due_at = None
        self.agent_id = None
        self.last_progress_at = None
