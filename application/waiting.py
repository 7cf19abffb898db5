"""Why a task does not run, as its card and the roster tell."""

from collections.abc import Sequence
from typing import Protocol

from application.projections.agent_roster import RosterLine
from domain.agent import Standing
from domain.capability import can_do
from domain.task_shape import TaskStatus

WAITING_REASONS = (
    "no_capable_agent",
    "agents_offline",
    "agents_draining",
    "agents_busy",
    "not_before",
    "backing_off",
    "approval",
)


class Card(Protocol):
    """What is known of the task."""

    @property
    def status(self) -> str:
        """What state it is in."""

    @property
    def failures(self) -> int:
        """How many attempts have failed."""

    @property
    def requires(self) -> Sequence[str]:
        """The capabilities that it takes."""


def waiting_reason(card: Card, agents: Sequence[RosterLine]) -> str | None:
    """Why a task does not run, in a word; None when it does, or has ended."""
    match card.status:
        case TaskStatus.AWAITING_APPROVAL:
            return "approval"
        case TaskStatus.SCHEDULED:
            return "backing_off" if card.failures else "not_before"
        case TaskStatus.QUEUED:
            return _why_queued(card, agents)
        case _:
            return None


def _why_queued(card: Card, agents: Sequence[RosterLine]) -> str:
    capable = [
        agent
        for agent in agents
        if agent.standing != Standing.RETIRED and can_do(agent.capabilities, card.requires)
    ]
    if not capable:
        return "no_capable_agent"
    active = [agent for agent in capable if agent.standing == Standing.ACTIVE]
    if not active:
        return "agents_draining"
    if not any(agent.online for agent in active):
        return "agents_offline"
    return "agents_busy"
