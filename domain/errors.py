"""Everything that can be refused, and why.

The kinds say what a caller can do about it; below them each rule has its class with a stable
`code`, which never changes once it was shipped. The message says what was found and what was
wanted.
"""

from datetime import datetime
from typing import ClassVar, Self
from uuid import UUID


class ControlPlaneError(Exception):
    """Something was refused. `code` is stable; `facts` may be shown to the caller."""

    code: ClassVar[str] = "refused"

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    @classmethod
    def recalled(cls, message: str) -> Self:
        """The same refusal, told again from what was stored of it."""
        refusal = cls.__new__(cls)
        ControlPlaneError.__init__(refusal, message)
        return refusal


class NotFound(ControlPlaneError):
    """There is no such thing, or the caller may not know that there is."""

    code = "not_found"


class Conflict(ControlPlaneError):
    """The thing is not in a state that allows this."""

    code = "conflict"


class Invalid(ControlPlaneError):
    """The request itself cannot be right, whatever the state."""

    code = "invalid"


class Forbidden(ControlPlaneError):
    """The caller is known, and may not."""

    code = "forbidden"


class Unavailable(ControlPlaneError):
    """It may work a moment later; nothing was lost, and repeating it is safe.

    `retry_after_seconds` says when to come back.
    """

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: int = 1, **facts: object) -> None:
        super().__init__(message, **facts)
        self.retry_after_seconds = retry_after_seconds


# Any aggregate.


class AggregateNotFound(NotFound):
    """No aggregate of this kind with this id in the caller's tenant."""

    def __init__(self, kind: str, aggregate_id: UUID) -> None:
        super().__init__(f"There is no {kind} {aggregate_id}.")
        self.aggregate_id = aggregate_id


class EventNotFound(NotFound):
    """No event of the caller's tenant stands there: `place` is its position or cursor, or what was
    given for one."""

    def __init__(self, place: object) -> None:
        super().__init__(f"There is no event {str(place)[:40]}.")


class VersionMismatch(Conflict):
    """The caller expected another version of the aggregate."""

    code = "version_mismatch"

    def __init__(self, aggregate_id: UUID, *, expected: int, found: int) -> None:
        super().__init__(
            f"{aggregate_id} is at version {found}, not {expected}.", expected=expected, found=found
        )


class ConcurrentChange(Unavailable):
    """Others changed the same aggregates again and again while this was being decided."""

    code = "concurrent_change"


class IdempotencyKeyReused(Invalid):
    """This key already stands for another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used before, with another request.")


# Tasks.


class TaskNotAssignable(Conflict):
    """Only a queued task can be assigned."""

    code = "task_not_assignable"

    def __init__(self, task_id: UUID, status: str) -> None:
        super().__init__(f"Task {task_id} is {status}, not queued.", status=status)


class TaskNotAwaitingApproval(Conflict):
    """Only a task that awaits approval can be approved or rejected."""

    code = "task_not_awaiting_approval"

    def __init__(self, task_id: UUID, status: str) -> None:
        super().__init__(f"Task {task_id} is {status}, not awaiting approval.", status=status)


class TaskNotFailed(Conflict):
    """Only a failed task can be retried."""

    code = "task_not_failed"

    def __init__(self, task_id: UUID, status: str) -> None:
        super().__init__(f"Task {task_id} is {status}, not failed.", status=status)


class TaskNotDue(Conflict):
    """Its time has not come, or has gone."""

    code = "task_not_due"

    def __init__(self, task_id: UUID, status: str) -> None:
        super().__init__(f"Task {task_id} is {status} and nothing is due now.", status=status)


class StaleAttempt(Conflict):
    """The lease under which this was reported is over, or was never this agent's."""

    code = "stale_attempt"

    def __init__(self, task_id: UUID, *, reported: int, current: int, status: str) -> None:
        super().__init__(
            f"Attempt {reported} of task {task_id} is not this agent's to report: "
            f"the task is {status}, attempt {current}.",
            current_attempt=current,
            status=status,
        )


class DeadlinePassed(Invalid):
    """A task cannot be submitted with a deadline that leaves no time for it."""

    code = "deadline_passed"

    def __init__(self, deadline: datetime) -> None:
        super().__init__(f"The deadline {deadline.isoformat()} leaves no time for the task.")


class TooDeep(Invalid):
    """Tasks begot tasks too many times over."""

    code = "too_deep"

    def __init__(self, depth_max: int) -> None:
        super().__init__(f"A task may have at most {depth_max} generations of parents.")


# Agents.


class AgentExists(Conflict):
    """The name is taken in this tenant."""

    code = "agent_exists"

    def __init__(self, name: str, agent_id: UUID) -> None:
        super().__init__(f"There is an agent called {name!r} already.", agent_id=str(agent_id))


class AgentRetired(Conflict):
    """A retired agent gets no work and sends no reports; register its name to bring it back."""

    code = "agent_retired"

    def __init__(self, agent_id: UUID) -> None:
        super().__init__(f"Agent {agent_id} is retired.")


# Archives.


class ArchiveNotReady(Conflict):
    """It takes an archive that is stored or verified, and not one that is running, failed or
    expired."""

    code = "archive_not_ready"

    def __init__(self, archive_id: UUID, status: str) -> None:
        super().__init__(
            f"Archive {archive_id} is {status}, not stored or verified.", status=str(status)
        )


# Reading.


class EpochEnded(ControlPlaneError):
    """The cursor belongs to a log that was replaced by a restore: start again."""

    code = "epoch_ended"

    def __init__(self, *, epoch: int, current: int, **facts: object) -> None:
        super().__init__(
            f"The cursor is of epoch {epoch}, the log is in epoch {current}.",
            current_epoch=current,
            **facts,
        )


class ReadModelNotFound(NotFound):
    """There is no read model of this name."""

    code = "read_model_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no read model {name!r}.")


class AlreadyRebuilding(Conflict):
    """The read model is being rebuilt already."""

    code = "already_rebuilding"

    def __init__(self, name: str) -> None:
        super().__init__(f"The read model {name!r} is being rebuilt already.")


class ReadModelBehind(Unavailable):
    """The read model did not reach the wanted cursor in time."""

    code = "read_model_behind"


class DatabaseUnavailable(Unavailable):
    """The database does not answer. What was accepted is safe; the rest may be repeated."""

    code = "database_unavailable"


class OnStandby(Unavailable):
    """Another process dispatches at the moment; this one takes over when that ends."""

    code = "on_standby"
