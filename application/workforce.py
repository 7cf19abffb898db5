"""What a worker asks for: leases, renewals, and the news of what it must stop."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from application.commands.tasks import Grant
from domain.errors import ControlPlaneError


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of one task."""

    task_id: UUID
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Attempt):
    """A piece of what an attempt wrote."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantedLease:
    """Work, and until when it is this agent's unless renewed."""

    grant: Grant
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatAnswer:
    """`state` is the agent's; `cancel` must be stopped; `lost` is no longer this agent's."""

    state: str
    cancel: Sequence[Attempt]
    lost: Sequence[Attempt]
    lease_seconds: float
    heartbeat_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAnswer:
    """The leases granted, perhaps none; `cancel` and `state` as in a heartbeat."""

    leases: Sequence[GrantedLease]
    cancel: Sequence[Attempt]
    state: str


class Workforce(Protocol):
    """The dispatcher, as workers meet it. Each method raises AggregateNotFound, AgentRetired,
    OnStandby."""

    async def heartbeat(
        self,
        tenant: str,
        agent_id: UUID,
        *,
        cpu: float | None,
        memory: float | None,
        queue: int,
        running: Sequence[Attempt],
    ) -> HeartbeatAnswer:
        """The agent lives; renew the leases it names."""

    async def lease(
        self, tenant: str, agent_id: UUID, *, slots: int, wait_seconds: float
    ) -> LeaseAnswer:
        """Up to `slots` leases, as soon as there is one, or none when the wait is over."""

    async def output(
        self, tenant: str, agent_id: UUID, pieces: Sequence[Output]
    ) -> list[ControlPlaneError | None]:
        """Hand on what attempts wrote; why not, for each that was refused. See OutputRelay."""
