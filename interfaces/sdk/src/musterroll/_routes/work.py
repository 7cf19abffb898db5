"""What a worker asks for: heartbeats, leases, reports."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from musterroll._decode import decode
from musterroll._packing import envelope
from musterroll._request import Request, at, command, of
from musterroll.models import Failure, Lease

# A long poll that is older than this is asked anew: its leases may have expired.
LEASE_RETRY_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class AttemptRef:
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
    """The answer to a request for leases."""

    leases: list[Lease]
    cancel: tuple[Any, ...] = ()
    state: str = "available"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOutcome:
    accepted: bool
    error: Failure | None = None


def heartbeat(
    agent_id: str,
    *,
    cpu: float | None,
    memory: float | None,
    queue: int,
    running: Iterable[AttemptRef],
) -> Request[Orders]:
    """Not repeated, and with no key to remember it by: the next heartbeat says more."""
    body = {"cpu": cpu, "memory": memory, "queue": queue, "running": list(running)}
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


def attempts(named: Iterable[Any]) -> list[AttemptRef]:
    """Read `[{"task_id", "attempt"}]`."""
    return [decode(AttemptRef, one) for one in named]


def _grant(payload: Any) -> Grant:
    raw = decode(_RawGrant, payload)
    return Grant(
        leases=[decode(Lease, lease) for lease in raw.leases], cancel=raw.cancel, state=raw.state
    )


def _outcomes(payload: Any) -> list[ReportOutcome]:
    return [decode(ReportOutcome, outcome) for outcome in decode(_RawOutcomes, payload).outcomes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _RawGrant:
    leases: list[Any]
    cancel: tuple[Any, ...] = ()
    state: str = "available"


@dataclass(frozen=True, slots=True, kw_only=True)
class _RawOutcomes:
    outcomes: list[Any]
