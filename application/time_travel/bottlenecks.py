"""What stands in the way of the work, as a frame tells: pure rules, each with its facts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from application.projections.agent_roster import RosterLine
from application.projections.task_board import TaskCard
from application.time_travel.frame import Frame
from application.waiting import waiting_reason
from domain.task_shape import TaskStatus

SATURATED_PERCENT = 80.0
"""Of the slots of all agents that take work; what the optimizer calls high in cpu and memory."""
LONG_SECONDS, TOO_LONG_SECONDS = 60.0, 600.0
"""A minute raises a task by one level of priority (`ageing_seconds`), ten by all of them: whatever
waits longer waits for want of agents, and not for its turn."""
BLOCKED_SHOWN_MAX = 20

Severity = Literal["warning", "critical"]
BLOCKED = {
    "no_capable_agent": "no agent can do them",
    "agents_offline": "every agent that can do them is offline",
    "agents_draining": "every agent that can do them is draining",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck:
    """Why work does not flow: a stable code, how bad it is, a sentence, and what it is drawn
    from."""

    code: str
    severity: Severity
    text: str
    facts: dict[str, Any]


def bottlenecks(frame: Frame, *, now: datetime) -> list[Bottleneck]:
    """What stands in the way at `now`, the moment that the frame is of; the critical first."""
    found = [*_blocked(frame), *_saturated(frame), *_waiting(frame, now)]
    return sorted(found, key=lambda one: one.severity != "critical")


def load_percent(running: int, slots: int) -> float:
    """The share of slots that are in use, 0 to 100 and more where slots were taken away."""
    return round(100.0 * running / max(slots, 1), 1)


def _blocked(frame: Frame) -> Iterator[Bottleneck]:
    """Queued tasks that no agent will take as things stand, by what they require; the 20 largest
    groups are looked at.

    Critical: nothing but a change of the fleet helps.
    """
    agents = list(frame.lines.values())
    groups = sorted(_queued_by_requirements(frame).items(), key=lambda group: -len(group[1]))
    for requires, cards in groups[:BLOCKED_SHOWN_MAX]:
        reason = waiting_reason(cards[0], agents)
        if reason not in BLOCKED:
            continue
        count = "1 task waits" if len(cards) == 1 else f"{len(cards)} tasks wait"
        yield Bottleneck(
            code=reason,
            severity="critical",
            text=f"{count} for {', '.join(requires)}, and {BLOCKED[reason]}.",
            facts={"requires": list(requires), "queued": len(cards)},
        )


def _saturated(frame: Frame) -> Iterator[Bottleneck]:
    """More than 80 % of the slots that take work are in use; critical when all are, and tasks
    wait."""
    slots, running = in_use(frame, frame.serving)
    percent = load_percent(running, slots)
    if not slots or percent <= SATURATED_PERCENT:
        return
    yield Bottleneck(
        code="fleet_saturated",
        severity="critical" if running >= slots and frame.depth else "warning",
        text=f"{running} of {slots} slots are in use, and {frame.depth} tasks wait.",
        facts={"running": running, "slots": slots, "percent": percent, "queued": frame.depth},
    )


def _waiting(frame: Frame, now: datetime) -> Iterator[Bottleneck]:
    """The oldest queued task has waited for more than a minute; critical after ten."""
    oldest = frame.oldest_queued()
    if oldest is None or oldest.queued_at is None:
        return
    seconds = (now - oldest.queued_at).total_seconds()
    if seconds <= LONG_SECONDS:
        return
    yield Bottleneck(
        code="waiting_long",
        severity="critical" if seconds > TOO_LONG_SECONDS else "warning",
        text=f"A task has been queued for {seconds:.0f} s.",
        facts={
            "task_id": str(oldest.task_id),
            "queued_at": oldest.queued_at,
            "waiting_seconds": round(seconds, 3),
        },
    )


def in_use(frame: Frame, agents: Iterable[RosterLine]) -> tuple[int, int]:
    """The slots of some agents, and how many leases they hold."""
    slots = running = 0
    for line in agents:
        slots += line.slots
        running += frame.running[line.agent_id]
    return slots, running


def _queued_by_requirements(frame: Frame) -> dict[tuple[str, ...], list[TaskCard]]:
    found: dict[tuple[str, ...], list[TaskCard]] = {}
    for card in frame.cards.values():
        if card.status == TaskStatus.QUEUED:
            found.setdefault(tuple(sorted(card.requires)), []).append(card)
    return found
