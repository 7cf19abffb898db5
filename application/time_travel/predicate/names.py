"""What a predicate can name, and how it is seen in a frame."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from application.projections.agent_roster import RosterLine
from application.projections.task_board import TaskCard
from application.time_travel.bottlenecks import in_use, load_percent
from application.time_travel.frame import Frame
from domain.agent import Standing, agent_id_of
from domain.task_shape import TaskStatus

Sort = Literal["number", "text", "truth"]


@dataclass(frozen=True, slots=True)
class View:
    """A frame, and the tasks that the predicate names: each with the positions at which it
    changed, and its card from then on."""

    frame: Frame
    tasks: Mapping[UUID, tuple[Sequence[int], Sequence[TaskCard]]]

    def agent(self, name: str) -> RosterLine | None:
        """An agent by its name."""
        return self.frame.lines.get(agent_id_of(self.frame.tenant, name))

    def task(self, task_id: UUID) -> TaskCard | None:
        """A task as it stood then; None before it was submitted."""
        positions, cards = self.tasks[task_id]
        place = bisect_right(positions, self.frame.position)
        return cards[place - 1] if place else None


@dataclass(frozen=True, slots=True)
class Plain:
    """A name that stands alone, such as `queue.depth`."""

    sort: Sort
    see: Callable[[View], Any]


@dataclass(frozen=True, slots=True)
class Part:
    """What can be said of one agent or task, such as `.running`."""

    sort: Sort
    see: Callable[[View, Any], Any]


def _in_standing(standing: Standing) -> Callable[[View], int]:
    return lambda view: sum(line.standing == standing for line in view.frame.lines.values())


def _registered(view: View) -> list[RosterLine]:
    return [one for one in view.frame.lines.values() if one.standing != Standing.RETIRED]


def _fleet(view: View) -> tuple[int, int]:
    return in_use(view.frame, view.frame.serving)


def _counted(status: TaskStatus) -> Plain:
    return Plain("number", lambda view: view.frame.counts[status])


PLAIN: dict[str, Plain] = {
    **{f"tasks.{status}": _counted(status) for status in TaskStatus},
    "tasks.open": Plain("number", lambda view: len(view.frame.cards)),
    "tasks.total": Plain("number", lambda view: view.frame.counts.total()),
    "queue.depth": Plain("number", lambda view: view.frame.depth),
    "agents.total": Plain("number", lambda view: len(_registered(view))),
    "agents.online": Plain("number", lambda view: len(view.frame.serving)),
    "agents.offline": Plain(
        "number",
        lambda view: sum(
            not line.online and line.standing == Standing.ACTIVE
            for line in view.frame.lines.values()
        ),
    ),
    "agents.draining": Plain("number", _in_standing(Standing.DRAINING)),
    "agents.retired": Plain("number", _in_standing(Standing.RETIRED)),
    "agents.slots": Plain("number", lambda view: _fleet(view)[0]),
    "agents.running": Plain("number", lambda view: view.frame.running.total()),
    "agents.load": Plain("number", lambda view: load_percent(_fleet(view)[1], _fleet(view)[0])),
}
"""`agents.online` take work now, `agents.slots` are theirs, and `agents.load` is how much of these
is in use, in percent; `agents.total` are all but the retired."""

OF_AGENT: dict[str, Part] = {
    "running": Part("number", lambda view, line: view.frame.running[line.agent_id]),
    "load": Part(
        "number", lambda view, line: load_percent(view.frame.running[line.agent_id], line.slots)
    ),
    "slots": Part("number", lambda _, line: line.slots),
    "online": Part("truth", lambda _, line: line.online),
    "standing": Part("text", lambda _, line: str(line.standing)),
    "completed": Part("number", lambda _, line: line.completed),
    "failed": Part("number", lambda _, line: line.failed),
    "lost": Part("number", lambda _, line: line.lost),
    "version": Part("number", lambda _, line: line.version),
}
"""Of `agent["name"]`."""

OF_TASK: dict[str, Part] = {
    "status": Part("text", lambda _, card: str(card.status)),
    "kind": Part("text", lambda _, card: card.kind),
    "agent": Part("text", lambda _, card: None if card.agent_id is None else str(card.agent_id)),
    "error": Part("text", lambda _, card: card.error_code),
    "attempt": Part("number", lambda _, card: card.attempt),
    "failures": Part("number", lambda _, card: card.failures),
    "progress": Part("number", lambda _, card: card.progress),
    "priority": Part("number", lambda _, card: card.priority),
    "version": Part("number", lambda _, card: card.version),
}
"""Of `task["id"]`."""

KIND = 'queue.kind["..."]'
EVERY = (
    *PLAIN,
    KIND,
    *(f'agent["..."].{name}' for name in OF_AGENT),
    *(f'task["..."].{name}' for name in OF_TASK),
)
"""All of them, as they are shown to whoever mistook one."""
