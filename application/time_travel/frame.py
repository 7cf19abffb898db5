"""A frame: everything of one tenant at a position, folded as the live read models are."""

from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.ports import Record
from application.projections.agent_roster import AgentRosterProjection, RosterLine
from application.projections.task_board import TaskBoardProjection, TaskCard
from domain.agent import Standing
from domain.task import Task
from domain.task_shape import FINAL, LEASED, TaskStatus

FOLDED = ("task.", "agent.")
"""How the topics begin of which a frame tells."""
BOARD, ROSTER = TaskBoardProjection(), AgentRosterProjection()

Recall = Callable[[UUID, int], TaskCard]
"""The card of a task as it stood before a position. Raises DatabaseUnavailable."""


@dataclass(slots=True, kw_only=True)
class Frame:
    """The open tasks, how many there are of each status, and every agent.

    Cards have no input, no result and no messages: whoever wants those folds the task by itself,
    and nothing personal is kept in a frame. What a frame holds is never changed once it was
    handed out; Folding copies.
    """

    tenant: str
    position: int = 0
    cards: dict[UUID, TaskCard] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    lines: dict[UUID, RosterLine] = field(default_factory=dict)
    queued: Counter[str] = field(default_factory=Counter)
    """How many tasks are queued, by kind."""
    running: Counter[UUID] = field(default_factory=Counter)
    """How many leases each agent holds."""

    @property
    def depth(self) -> int:
        """How many tasks are queued."""
        return self.counts[TaskStatus.QUEUED]

    @property
    def serving(self) -> list[RosterLine]:
        """The agents that take work now."""
        return [
            line for line in self.lines.values() if line.online and line.standing == Standing.ACTIVE
        ]

    def oldest_queued(self) -> TaskCard | None:
        """Which task has waited for an agent longest; of equals, the one with the lowest id."""
        waiting = (card for card in self.cards.values() if card.status == TaskStatus.QUEUED)
        return min(waiting, key=_waiting, default=None)

    def enter(self, card: TaskCard) -> None:
        """Count a task where it stands."""
        self.counts[card.status] += 1
        if card.status == TaskStatus.QUEUED:
            self.queued[card.kind] += 1
        elif card.status in LEASED and card.agent_id is not None:
            self.running[card.agent_id] += 1

    def leave(self, card: TaskCard) -> None:
        """The opposite."""
        self.counts[card.status] -= 1
        if card.status == TaskStatus.QUEUED:
            self.queued[card.kind] -= 1
        elif card.status in LEASED and card.agent_id is not None:
            self.running[card.agent_id] -= 1


class Folding:
    """Takes a copy of a frame forward, event by event. Cards and lines are copied when touched."""

    def __init__(self, frame: Frame, recall: Recall) -> None:
        self.frame = Frame(
            tenant=frame.tenant,
            position=frame.position,
            cards=dict(frame.cards),
            counts=Counter(frame.counts),
            lines=dict(frame.lines),
            queued=Counter(frame.queued),
            running=Counter(frame.running),
        )
        self._recall = recall
        self._own: set[UUID] = set()
        self._ended: dict[UUID, TaskCard] = {}

    def apply(self, record: Record, event: AggregateEvent) -> None:
        """The next event of the tenant. Those of which no frame tells may be left out."""
        if record.topic.startswith("task."):
            self._apply_to_task(record, event)
        agent_id = ROSTER.key(record, event)
        if agent_id is not None:
            self._apply_to_agent(agent_id, record, event)
        self.frame.position = record.position

    def _apply_to_task(self, record: Record, event: AggregateEvent) -> None:
        frame, task_id = self.frame, record.aggregate_id
        card = None if BOARD.begins(event) else self._card(record, event)
        if card is not None:
            frame.leave(card)
        elif not BOARD.begins(event):
            return
        card = BOARD.evolve(card, record, event)
        assert card is not None, "the board shows every event of a task"
        without_contents(card)
        frame.enter(card)
        self._own.add(task_id)
        if card.status in FINAL:
            frame.cards.pop(task_id, None)
            self._ended[task_id] = card
        else:
            frame.cards[task_id] = card

    def _card(self, record: Record, event: AggregateEvent) -> TaskCard | None:
        """The card before an event that is not its first; None when it had ended and stays so."""
        task_id = record.aggregate_id
        card = self.frame.cards.get(task_id)
        if card is not None:
            return card if task_id in self._own else copy(card)
        if not isinstance(event, Task.Retried):
            return None
        return self._ended.pop(task_id, None) or self._recall(task_id, record.position)

    def _apply_to_agent(self, agent_id: UUID, record: Record, event: AggregateEvent) -> None:
        lines = self.frame.lines
        line = lines.get(agent_id)
        if line is not None and agent_id not in self._own:
            line = copy(line)
        line = ROSTER.evolve(line, record, event)
        assert line is not None, "the roster shows every event that it has a key for"
        lines[agent_id] = line
        self._own.add(agent_id)


def without_contents(card: TaskCard) -> None:
    """Drop what a frame does not hold of a card."""
    card.input = card.result = card.progress_message = card.error_message = None


def _waiting(card: TaskCard) -> tuple[datetime, UUID]:
    assert card.queued_at is not None, "it is queued"
    return card.queued_at, card.task_id
