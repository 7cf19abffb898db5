"""What a worker asks for: heartbeats, leases, reports."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from musterroll._decode import decode, unexpected
from musterroll._packing import envelope
from musterroll._request import Request, at, command, nothing, of
from musterroll.models import Failure
from musterroll.task import Task

# A long poll that is older than this is asked anew: its leases may have expired.
LEASE_RETRY_SECONDS = 15.0
TIMEOUT_SECONDS_DEFAULT = 300.0


class AttemptRef(NamedTuple):
    """One attempt of one task."""

    task_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The answer to a heartbeat: stop `cancel`; `lost` are no longer yours."""

    state: str
    cancel: tuple[Any, ...] = ()
    lost: tuple[Any, ...] = ()
    lease_seconds: float = 45.0
    heartbeat_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The answer to a request for leases: what to do, and what to stop."""

    tasks: list[Task]
    cancel: tuple[Any, ...] = ()
    state: str = "available"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOutcome:
    accepted: bool
    error: Failure | None = None


# What nearly every outcome is.
ACCEPTED = ReportOutcome(accepted=True)


def heartbeat(
    agent_id: str,
    *,
    cpu: float | None,
    memory: float | None,
    queue: int,
    running: Iterable[AttemptRef],
) -> Request[Orders]:
    """Not repeated, and with no key to remember it by: the next heartbeat says more."""
    named = [ref._asdict() for ref in running]
    body = {"cpu": cpu, "memory": memory, "queue": queue, "running": named}
    beat = command(at("agents", agent_id, "heartbeat"), of(Orders), body)
    return replace(beat, retry_seconds=0.0, headers={"Content-Type": "application/json"})


def leases(agent_id: str, *, slots: int, wait_seconds: int) -> Request[Grant]:
    asked = command(
        at("agents", agent_id, "leases"),
        _grant,
        {"slots": slots, "wait_seconds": wait_seconds},
        wait_seconds=wait_seconds,
    )
    return replace(asked, retry_seconds=LEASE_RETRY_SECONDS)


def reports(agent_id: str, pack: Sequence[bytes]) -> Request[list[ReportOutcome]]:
    """`pack` holds encoded reports, 1 to 1,000."""
    return command(at("agents", agent_id, "reports"), _outcomes, envelope("reports", pack))


def output(agent_id: str, pack: Sequence[bytes]) -> Request[None]:
    """`pack` holds encoded pieces of text, 1 to 1,000. Not repeated: it would be shown twice."""
    sent = command(at("agents", agent_id, "output"), nothing, envelope("output", pack))
    return replace(sent, retry_seconds=0.0, headers={"Content-Type": "application/json"})


def attempts(named: Iterable[Any]) -> list[AttemptRef]:
    """Read `[{"task_id", "attempt"}]`."""
    return [_ref(one) for one in named]


def _ref(one: Any) -> AttemptRef:
    try:
        return AttemptRef(one["task_id"], one["attempt"])
    except (KeyError, TypeError) as error:
        raise unexpected("attempt", one) from error


def _grant(payload: Any) -> Grant:
    raw = decode(_RawGrant, payload)
    return Grant(tasks=[_leased(lease) for lease in raw.leases], cancel=raw.cancel, state=raw.state)


def _leased(lease: Any) -> Task:
    """The task of a lease. By hand, as thousands a second may come."""
    try:
        return Task(
            kind=lease["kind"],
            input=lease.get("input"),
            id=lease["task_id"],
            attempt=lease["attempt"],
            labels=lease.get("labels") or {},
            lessons=tuple(lease.get("lessons") or ()),
            timeout_seconds=lease.get("timeout_seconds") or TIMEOUT_SECONDS_DEFAULT,
            collaboration_id=lease.get("collaboration_id"),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise unexpected("lease", lease) from error


def _outcomes(payload: Any) -> list[ReportOutcome]:
    return [_outcome(outcome) for outcome in decode(_RawOutcomes, payload).outcomes]


def _outcome(outcome: Any) -> ReportOutcome:
    if isinstance(outcome, dict) and outcome.get("accepted") is True:
        return ACCEPTED
    return decode(ReportOutcome, outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RawGrant:
    leases: list[Any]
    cancel: tuple[Any, ...] = ()
    state: str = "available"


@dataclass(frozen=True, slots=True, kw_only=True)
class _RawOutcomes:
    outcomes: list[Any]
