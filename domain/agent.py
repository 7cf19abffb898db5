"""Agent: a worker that was registered, comes and goes, and may be drained or retired."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Self, TypedDict
from uuid import UUID, uuid5

from eventsourcing.domain import event

from domain.aggregate import Aggregate, FirstEvent
from domain.errors import AgentExists, AgentRetired

AGENT_NAMES = UUID("6f1d5b0e-6a35-4a5e-9d8e-3f0a6b9c7d21")


def agent_id_of(tenant: str, name: str) -> UUID:
    """The id of the agent with this name: the same for ever, so that its history stays one."""
    return uuid5(AGENT_NAMES, f"{tenant}/{name}")


class Standing(StrEnum):
    """What an agent may do: take work; finish what it has; nothing more."""

    ACTIVE = "active"
    DRAINING = "draining"
    RETIRED = "retired"


class AgentSnapshot(TypedDict):
    """Everything that an Agent remembers, for snapshots."""

    _created_on: datetime
    _modified_on: datetime
    tenant: str
    name: str
    capabilities: tuple[str, ...]
    slots: int
    labels: dict[str, str]
    standing: Standing
    online: bool


class Agent(Aggregate):
    """A worker known by name, with capabilities and a number of slots."""

    TOPIC = "agent"
    SNAPSHOT: ClassVar[Any] = AgentSnapshot

    # Events, in lifecycle order. TOPIC is the name in the log: it never changes.

    class Registered(FirstEvent):
        TOPIC = "agent.registered"
        tenant: str
        name: str
        capabilities: tuple[str, ...]
        slots: int
        labels: dict[str, str]

    class Changed(Aggregate.Event):
        TOPIC = "agent.changed"
        capabilities: tuple[str, ...]
        slots: int
        labels: dict[str, str]

    class CameOnline(Aggregate.Event):
        TOPIC = "agent.came_online"

    class WentOffline(Aggregate.Event):
        TOPIC = "agent.went_offline"
        last_heard_at: datetime

    class Drained(Aggregate.Event):
        """It takes no new work; what it holds it may finish."""

        TOPIC = "agent.drained"

    class Resumed(Aggregate.Event):
        TOPIC = "agent.resumed"

    class Retired(Aggregate.Event):
        TOPIC = "agent.retired"

    class Reinstated(Aggregate.Event):
        """A retired agent's name was registered again."""

        TOPIC = "agent.reinstated"
        capabilities: tuple[str, ...]
        slots: int
        labels: dict[str, str]

    # Decisions: check the rules, then record what happened.

    @classmethod
    def register(
        cls,
        agent_id: UUID,
        *,
        tenant: str,
        name: str,
        capabilities: tuple[str, ...],
        slots: int,
        labels: dict[str, str],
        now: datetime,
    ) -> Self:
        """A new agent."""
        return cls._create(
            cls.Registered,
            id=agent_id,
            timestamp=now,
            tenant=tenant,
            name=name,
            capabilities=capabilities,
            slots=slots,
            labels=labels,
        )

    def reinstate(
        self, capabilities: tuple[str, ...], slots: int, labels: dict[str, str], *, now: datetime
    ) -> None:
        """Bring a retired agent back. Raises AgentExists unless it is retired."""
        if self.standing is not Standing.RETIRED:
            raise AgentExists(self.name, self.id)
        self.trigger_event(
            self.Reinstated, capabilities=capabilities, slots=slots, labels=labels, timestamp=now
        )

    def change(
        self,
        *,
        capabilities: tuple[str, ...] | None,
        slots: int | None,
        labels: dict[str, str] | None,
        now: datetime,
    ) -> None:
        """Give it other capabilities, slots or labels (None: as they are). Raises AgentRetired."""
        self._require_not_retired()
        wanted = (
            self.capabilities if capabilities is None else capabilities,
            self.slots if slots is None else slots,
            self.labels if labels is None else labels,
        )
        if wanted != (self.capabilities, self.slots, self.labels):
            self.trigger_event(
                self.Changed,
                capabilities=wanted[0],
                slots=wanted[1],
                labels=wanted[2],
                timestamp=now,
            )

    def come_online(self, *, now: datetime) -> None:
        """It was heard of again. Raises AgentRetired."""
        self._require_not_retired()
        if not self.online:
            self.trigger_event(self.CameOnline, timestamp=now)

    def go_offline(self, last_heard_at: datetime, *, now: datetime) -> None:
        """It was not heard of for too long."""
        if self.online:
            self.trigger_event(self.WentOffline, last_heard_at=last_heard_at, timestamp=now)

    def drain(self, *, now: datetime) -> None:
        """Give it no new work. Raises AgentRetired."""
        self._require_not_retired()
        if self.standing is not Standing.DRAINING:
            self.trigger_event(self.Drained, timestamp=now)

    def resume(self, *, now: datetime) -> None:
        """Let it take work again. Raises AgentRetired."""
        self._require_not_retired()
        if self.standing is not Standing.ACTIVE:
            self.trigger_event(self.Resumed, timestamp=now)

    def retire(self, *, now: datetime) -> None:
        """End its service. What it holds goes back by the expiry of its leases."""
        if self.standing is not Standing.RETIRED:
            self.trigger_event(self.Retired, timestamp=now)

    def _require_not_retired(self) -> None:
        if self.standing is Standing.RETIRED:
            raise AgentRetired(self.id)

    # Evolution: apply recorded facts. Nothing here refuses or looks at a clock.

    @event(Registered)
    def __init__(
        self,
        tenant: str,
        name: str,
        capabilities: tuple[str, ...],
        slots: int,
        labels: dict[str, str],
    ) -> None:
        self.tenant = tenant
        self.name = name
        self.standing = Standing.ACTIVE
        self.online = False
        self._equip(capabilities, slots, labels)

    @event(Changed)
    def _on_changed(
        self, capabilities: tuple[str, ...], slots: int, labels: dict[str, str]
    ) -> None:
        self._equip(capabilities, slots, labels)

    @event(CameOnline)
    def _on_came_online(self) -> None:
        self.online = True

    @event(WentOffline)
    def _on_went_offline(self) -> None:
        self.online = False

    @event(Drained)
    def _on_drained(self) -> None:
        self.standing = Standing.DRAINING

    @event(Resumed)
    def _on_resumed(self) -> None:
        self.standing = Standing.ACTIVE

    @event(Retired)
    def _on_retired(self) -> None:
        self.standing = Standing.RETIRED
        self.online = False

    @event(Reinstated)
    def _on_reinstated(
        self, capabilities: tuple[str, ...], slots: int, labels: dict[str, str]
    ) -> None:
        self.standing = Standing.ACTIVE
        self._equip(capabilities, slots, labels)

    def _equip(self, capabilities: tuple[str, ...], slots: int, labels: dict[str, str]) -> None:
        self.capabilities = capabilities
        self.slots = slots
        self.labels = labels
