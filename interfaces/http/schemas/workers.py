"""Workers: heartbeats, leases, reports, output."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from typing_extensions import TypedDict

from application import workforce
from application.workforce import GrantedLease, HeartbeatAnswer, LeaseAnswer
from interfaces.http.fields import WHOLE, AnyJson, Id
from interfaces.http.parameters import WAIT_SECONDS_MAX
from interfaces.http.schemas.agents import AgentState, Slots
from interfaces.http.schemas.base import Body, CursorOut, Refusal, documented

AttemptNumber = Annotated[int, Field(ge=1, le=1_000_000_000), WHOLE]
Percentage = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Message = Annotated[str, StringConstraints(max_length=10_000)]
OUTPUT_BYTES_MAX = 64 * 1024


def short_enough(text: str) -> str:
    """A text of at most 64 KiB in UTF-8."""
    if len(text.encode()) > OUTPUT_BYTES_MAX:
        raise ValueError("must be at most 64 KiB of UTF-8")
    return text


OutputText = Annotated[
    str, StringConstraints(max_length=OUTPUT_BYTES_MAX), AfterValidator(short_enough)
]


class AttemptBody(Body):
    """One attempt of one task."""

    task_id: Id
    attempt: AttemptNumber


class HeartbeatBody(Body):
    """A sign of life."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"cpu": 12.5, "memory": 40, "queue": 0, "running": []}]}
    )

    cpu: Percentage | None = None
    """How busy the agent's machine is, in per cent."""
    memory: Percentage | None = None
    queue: Annotated[int, Field(ge=0, le=1_000_000_000), WHOLE] = 0
    """Work that waits inside the agent."""
    running: Annotated[list[AttemptBody], Field(max_length=1_000)] = Field(default_factory=list)
    """What it works on; the leases of these are renewed."""


class LeaseBody(Body):
    """Free slots, to be filled."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"slots": 4, "wait_seconds": 30}]})

    slots: Slots = 1
    wait_seconds: Annotated[float, Field(ge=0, le=WAIT_SECONDS_MAX, allow_inf_nan=False)] = 0
    """How long to wait for work."""


class StartedReport(AttemptBody):
    """The work began."""

    type: Literal["started"]


class ProgressReport(AttemptBody):
    """The work has come so far; at most one a second is recorded."""

    type: Literal["progress"]
    fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    message: Annotated[str, StringConstraints(max_length=2_000)] | None = None


class CompletedReport(AttemptBody):
    """The work is done."""

    type: Literal["completed"]
    result: AnyJson = None


class FailureBody(Body):
    """What went wrong."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    """For programs: the same for the same sort of failure."""
    message: Message = ""
    """For people."""


class FailedReport(AttemptBody):
    """The attempt went wrong."""

    type: Literal["failed"]
    error: FailureBody
    retryable: bool = True
    """Whether another attempt could go better."""


class ReleasedReport(AttemptBody):
    """Given back unharmed; it costs no attempt."""

    type: Literal["released"]


Report = Annotated[
    StartedReport | ProgressReport | CompletedReport | FailedReport | ReleasedReport,
    Field(discriminator="type"),
]


class ReportsBody(Body):
    """What became of attempts."""

    reports: Annotated[list[Report], Field(min_length=1, max_length=1_000)]


class OutputPiece(AttemptBody):
    """A piece of what an attempt wrote."""

    text: OutputText
    """Tokens or log lines; at most 64 KiB of UTF-8."""


class OutputBody(Body):
    """What attempts wrote, in order."""

    output: Annotated[list[OutputPiece], Field(min_length=1, max_length=1_000)]


class AttemptShown(TypedDict):
    """One attempt of one task."""

    task_id: UUID
    attempt: int


@documented
class HeartbeatShown(TypedDict):
    """What the agent must know."""

    state: AgentState
    cancel: list[AttemptShown]
    """Stop working on these."""
    lost: list[AttemptShown]
    """These are no longer this agent's."""
    lease_seconds: float
    heartbeat_seconds: float
    """How soon the next heartbeat is wanted."""


@documented
class LeaseShown(TypedDict):
    """Work, and until when it is this agent's unless renewed."""

    task_id: UUID
    attempt: int
    """Goes with every report, and tells a late one from a good one."""
    kind: str
    input: Any
    timeout_seconds: int
    lease_expires_at: datetime
    labels: dict[str, str]
    lessons: list[Any]
    """What was learned about work of this kind."""
    collaboration_id: UUID | None


@documented
class LeasesShown(TypedDict):
    """The leases granted, perhaps none."""

    leases: list[LeaseShown]
    cancel: list[AttemptShown]
    state: AgentState


class AcceptedReport(TypedDict):
    """A report that is in the log."""

    task_id: UUID
    attempt: int
    accepted: Literal[True]
    version: int
    cursor: CursorOut


class RefusedReport(TypedDict):
    """A report, or a piece of output, that was refused."""

    task_id: UUID
    attempt: int
    accepted: Literal[False]
    error: Refusal


class ReportOutcomes(TypedDict):
    """One outcome for each report, in order."""

    outcomes: list[AcceptedReport | RefusedReport]


class AcceptedOutput(TypedDict):
    """A piece that was handed on to all who listen, perhaps nobody."""

    task_id: UUID
    attempt: int
    accepted: Literal[True]


class OutputOutcomes(TypedDict):
    """One outcome for each piece, in order."""

    outcomes: list[AcceptedOutput | RefusedReport]


def heartbeat_of(found: HeartbeatAnswer) -> HeartbeatShown:
    """What the agent must know."""
    return {
        "state": found.state,
        "cancel": [attempt_of(attempt) for attempt in found.cancel],
        "lost": [attempt_of(attempt) for attempt in found.lost],
        "lease_seconds": found.lease_seconds,
        "heartbeat_seconds": found.heartbeat_seconds,
    }


def leases_of(found: LeaseAnswer) -> LeasesShown:
    """The leases granted."""
    return {
        "leases": [lease_of(lease) for lease in found.leases],
        "cancel": [attempt_of(attempt) for attempt in found.cancel],
        "state": found.state,
    }


def lease_of(lease: GrantedLease) -> LeaseShown:
    """One lease. Lessons and collaborations are not there yet, their places are."""
    grant = lease.grant
    return {
        "task_id": grant.task_id,
        "attempt": grant.attempt,
        "kind": grant.kind,
        "input": grant.input,
        "timeout_seconds": grant.timeout_seconds,
        "lease_expires_at": lease.expires_at,
        "labels": grant.labels,
        "lessons": [],
        "collaboration_id": None,
    }


def attempt_of(attempt: workforce.Attempt) -> AttemptShown:
    """One attempt of one task."""
    return {"task_id": attempt.task_id, "attempt": attempt.attempt}
