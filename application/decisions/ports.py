"""What explaining and replaying decisions needs of the log."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from application.ports import Record
from domain.routing import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a task was given to an agent by. `ready_at`: when it was last queued before."""

    decision: Decision
    kind: str
    ready_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An event that gave a task to an agent, or, without an `assignment`, that ended an attempt."""

    position: int
    task_id: UUID
    at: datetime
    assignment: Assignment | None


class DecisionLog(Protocol):
    """The events of one tenant. Blocks; each method raises DatabaseUnavailable."""

    def story(
        self, tenant: str, task_id: UUID, *, limit: int, bytes_max: int
    ) -> tuple[Sequence[Record], bool]:
        """The first event of a task and its newest ones, `limit` in all and in order, but for its
        progress; the states of the newest are so many bytes or one event more. And whether there
        are others between."""

    def names(self, tenant: str, agent_ids: Collection[UUID]) -> dict[UUID, str]:
        """What agents are called, and always were; those that there are."""

    def steps(self, tenant: str, *, after: int, until: int) -> Sequence[Step]:
        """Of all tasks between two positions, in order. Raises UnreadableEvent too."""
