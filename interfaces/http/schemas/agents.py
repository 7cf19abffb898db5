"""Agents: how they are registered and changed, and how they are shown."""

from datetime import datetime
from typing import Annotated, NotRequired, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from typing_extensions import TypedDict

from application.commands import Origin
from application.commands.agents import RegisterAgent
from application.cursor import Cursor
from application.queries import AgentStatus
from application.time_travel.things import AgentThen
from interfaces.http.fields import WHOLE, Labels, Name, unique
from interfaces.http.parameters import ListParameters
from interfaces.http.schemas.base import AgentReceipt, Body, CursorOut, documented
from interfaces.http.schemas.moments import InstantOut

Capabilities = Annotated[list[Name], Field(min_length=1, max_length=64)]
Slots = Annotated[int, Field(ge=1, le=1_000), WHOLE]
AgentState = Annotated[
    str,
    Field(
        json_schema_extra={"enum": ["registered", "available", "offline", "draining", "retired"]}
    ),
]


class AgentBody(Body):
    """An agent to be entered in the roll."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "reviewer", "capabilities": ["review"], "slots": 4}]
        }
    )

    name: Name
    """Unique within the tenant; the agent's id follows from it."""
    capabilities: Capabilities
    """What it can do; a task goes to an agent that has all that the task requires."""
    slots: Slots = 1
    """How many tasks it works on at once."""
    labels: Labels = Field(default_factory=dict)

    def registration(self, origin: Origin, agent_id: UUID) -> RegisterAgent:
        """The command that it asks for."""
        return RegisterAgent(
            origin=origin,
            agent_id=agent_id,
            name=self.name,
            capabilities=unique(self.capabilities),
            slots=self.slots,
            labels=self.labels,
        )


class AgentChangeBody(Body):
    """What is to change; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    capabilities: Capabilities | None = None
    slots: Slots | None = None
    labels: Labels | None = None

    @model_validator(mode="after")
    def require_something(self) -> Self:
        """A change of nothing is a mistake."""
        if not self.model_fields_set:
            raise ValueError("must name something to change")
        return self


class AgentListParameters(ListParameters):
    """Which page of the roster."""

    cursor: Annotated[str, StringConstraints(max_length=100)] | None = None
    """The `next_cursor` of the page before."""


@documented
class Registration(AgentReceipt):
    """A registered agent and its credentials."""

    client_id: UUID
    client_secret: str | None
    """Shown this once; null when the request was repeated."""


@documented
class Credentials(TypedDict):
    """New credentials."""

    client_id: UUID
    client_secret: str | None
    """Shown this once; null when the request was repeated."""


@documented
class AgentAnswer(TypedDict):
    """An agent in the roster."""

    id: UUID
    name: str
    state: AgentState
    online: bool
    capabilities: list[str]
    slots: int
    labels: dict[str, str]
    running: int
    """Tasks that it holds a lease on."""
    cpu: float | None
    """Per cent, from its last heartbeat; null when not reported."""
    memory: float | None
    queue: int | None
    """Work that waits inside the agent; null as of a moment, as all readings are."""
    load: float | None
    """0 idle to 100 full; null before its first heartbeat."""
    last_heard_at: datetime | None
    completed: int
    """Attempts that it completed, reported as failed, and lost by silence."""
    failed: int
    lost: int
    registered_at: datetime
    version: int
    cursor: CursorOut
    at: NotRequired[InstantOut]
    """What the moment came to that was asked for."""


@documented
class AgentPage(TypedDict):
    """Agents by name."""

    items: list[AgentAnswer]
    next_cursor: str | None
    """Where the next page begins; null after the last."""


def agent_of(agent: AgentStatus, epoch: int) -> AgentAnswer:
    """An agent in the roster."""
    line = agent.line
    return {
        "id": line.agent_id,
        "name": line.name,
        "state": agent.state,
        "online": line.online,
        "capabilities": line.capabilities,
        "slots": line.slots,
        "labels": line.labels,
        "running": agent.running,
        "cpu": agent.cpu,
        "memory": agent.memory,
        "queue": agent.queue,
        "load": agent.load,
        "last_heard_at": agent.last_heard_at,
        "completed": line.completed,
        "failed": line.failed,
        "lost": line.lost,
        "registered_at": line.registered_at,
        "version": line.version,
        "cursor": str(Cursor(epoch, line.position)),
    }


def agent_then_of(agent: AgentThen, epoch: int) -> AgentAnswer:
    """An agent as of a moment."""
    return {**agent_of(agent.status, epoch), "state": agent.state, "queue": None}
