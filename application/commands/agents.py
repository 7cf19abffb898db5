"""What can be asked of an agent."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from application.commands import Command
from application.control_plane import Work
from domain.agent import Agent


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCommand(Command):
    """A command about one agent."""

    agent_id: UUID

    @property
    def needs(self) -> tuple[UUID, ...]:
        """The agent, for a registration too: it may have been here before."""
        return (self.agent_id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterAgent(AgentCommand):
    """Enter an agent in the roll, or bring a retired one back. `agent_id` is `agent_id_of(tenant,
    name)`."""

    name: str
    capabilities: tuple[str, ...]
    slots: int
    labels: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAgent(AgentCommand):
    """Give an agent other capabilities, slots or labels; None leaves them as they are."""

    capabilities: tuple[str, ...] | None = None
    slots: int | None = None
    labels: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BringOnline(AgentCommand):
    """An agent was heard of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOffline(AgentCommand):
    """An agent was not heard of for too long."""

    last_heard_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainAgent(AgentCommand):
    """Give an agent no new work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeAgent(AgentCommand):
    """Let a draining agent take work again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireAgent(AgentCommand):
    """End an agent's service."""


class AgentCommands:
    """Load, decide, record. Nothing else happens in a handler."""

    def register(self, command: RegisterAgent, work: Work) -> Agent:
        """Raises AgentExists."""
        agent = work.find(Agent, command.agent_id)
        if agent:
            agent.reinstate(command.capabilities, command.slots, command.labels, now=work.now)
            return agent
        agent = Agent.register(
            command.agent_id,
            tenant=command.origin.tenant,
            name=command.name,
            capabilities=command.capabilities,
            slots=command.slots,
            labels=command.labels,
            now=work.now,
        )
        return work.add(agent)

    def change(self, command: ChangeAgent, work: Work) -> Agent:
        """Raises AggregateNotFound, VersionMismatch, AgentRetired."""
        agent = work.load(Agent, command.agent_id)
        agent.change(
            capabilities=command.capabilities,
            slots=command.slots,
            labels=command.labels,
            now=work.now,
        )
        return agent

    def bring_online(self, command: BringOnline, work: Work) -> Agent:
        """Raises AggregateNotFound, AgentRetired."""
        agent = work.load(Agent, command.agent_id)
        agent.come_online(now=work.now)
        return agent

    def take_offline(self, command: TakeOffline, work: Work) -> Agent:
        """Raises AggregateNotFound."""
        agent = work.load(Agent, command.agent_id)
        agent.go_offline(command.last_heard_at, now=work.now)
        return agent

    def drain(self, command: DrainAgent, work: Work) -> Agent:
        """Raises AggregateNotFound, VersionMismatch, AgentRetired."""
        agent = work.load(Agent, command.agent_id)
        agent.drain(now=work.now)
        return agent

    def resume(self, command: ResumeAgent, work: Work) -> Agent:
        """Raises AggregateNotFound, VersionMismatch, AgentRetired."""
        agent = work.load(Agent, command.agent_id)
        agent.resume(now=work.now)
        return agent

    def retire(self, command: RetireAgent, work: Work) -> Agent:
        """Raises AggregateNotFound, VersionMismatch."""
        agent = work.load(Agent, command.agent_id)
        agent.retire(now=work.now)
        return agent
