"""What an event answers: a pure rule from the log to the graph of causes and effects.

A cause is what was written down with an event, and what causes such an event by definition; both,
where they differ. It stands before its effect, so that the graph cannot have a cycle. An event
without a cause is a root: somebody outside began it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """An event, as far as causes follow from it.

    `recorded` is the position of the cause that was written down with it. `attempt`, `agent_id` and
    `parent_id` are the event's own fields, None where it has none.
    """

    position: int
    aggregate_id: UUID
    version: int
    topic: str
    command_id: UUID
    recorded: int | None = None
    attempt: int | None = None
    agent_id: UUID | None = None
    parent_id: UUID | None = None


Before = Iterable[Fact]
"""Facts of the same aggregate and of the relatives; newest first."""

ROOTS = frozenset(
    {
        "task.approved",
        "task.rejected",
        "task.cancelled",
        "task.retried",
        "agent.registered",
        "agent.changed",
        "agent.drained",
        "agent.resumed",
        "agent.retired",
        "agent.reinstated",
    }
)
"""What people and programs begin. A submission without a parent is one too."""

QUEUEING = (
    "task.submitted",
    "task.approved",
    "task.queued",
    "task.released",
    "task.lease_expired",
    "task.retried",
)
"""After these a task waits for an agent, unless they say otherwise."""


def causes_of(fact: Fact, others: Iterable[Fact]) -> tuple[int, ...]:
    """The positions of an event's causes, in log order; none for a root.

    `others` are facts of the same aggregate and of its `relatives`, in any order.
    """
    before = [one for one in others if one.position < fact.position]
    return causes_before(fact, sorted(before, key=lambda one: one.position, reverse=True))


def causes_before(fact: Fact, before: Before) -> tuple[int, ...]:
    """The same for who has in order what stands before the event; no more of it is looked at than
    it takes."""
    looking = _Looking(before)
    own = next((one for one in looking if one.aggregate_id == fact.aggregate_id), None)
    if own is not None and own.command_id == fact.command_id:
        # Of several events that answer one command, each is caused by the one before.
        found = {own.position}
    else:
        rule = RULES.get(fact.topic)
        found = {one.position for one in rule(fact, looking)} if rule else set()
        if fact.recorded is not None and 0 < fact.recorded < fact.position:
            found.add(fact.recorded)
    assert all(position < fact.position for position in found), "a cause comes before its effect"
    return tuple(sorted(found))


class _Looking:
    """Facts that can be gone through again and again, and are asked for only when it comes to
    them."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._coming = iter(facts)
        self._met: list[Fact] = []

    def __iter__(self) -> Iterator[Fact]:
        place = 0
        while True:
            if place == len(self._met):
                fact = next(self._coming, None)
                if fact is None:
                    return
                self._met.append(fact)
            yield self._met[place]
            place += 1


def relatives(fact: Fact) -> tuple[UUID, ...]:
    """The aggregates beside its own that an event's causes may lie in."""
    if fact.topic == "task.submitted":
        return (fact.parent_id,) if fact.parent_id else ()
    if fact.topic == "task.lease_expired":
        return (fact.agent_id,) if fact.agent_id else ()
    return ()


def _newest(before: Before, *topics: str) -> list[Fact]:
    return next(([one] for one in before if one.topic in topics), [])


def _of(before: Before, aggregate_id: UUID | None) -> Before:
    return _Looking(one for one in before if one.aggregate_id == aggregate_id)


def _birth(fact: Fact, before: Before) -> list[Fact]:
    """A child comes of the attempt that its parent was working on, or else of the parent's own
    submission."""
    parent = _of(before, fact.parent_id)
    return _newest(parent, "task.assigned") or _newest(parent, "task.submitted")


def _falling_due(_: Fact, before: Before) -> list[Fact]:
    return _newest(before, "task.submitted", "task.approved", "task.attempt_failed")


def _assignment(_: Fact, before: Before) -> list[Fact]:
    return _newest(before, *QUEUEING)


def _during_attempt(fact: Fact, before: Before) -> list[Fact]:
    """The assignment of the attempt that it speaks of; of one that never was, the agent's last."""
    assigned = _Looking(one for one in before if one.topic == "task.assigned")
    same = ([one] for one in assigned if one.attempt == fact.attempt)
    by_agent = ([one] for one in assigned if one.agent_id == fact.agent_id)
    return next(same, None) or next(by_agent, [])


def _lease_expiry(fact: Fact, before: Before) -> list[Fact]:
    """The assignment, and the silence of the agent, where that was noticed before."""
    assignment = _during_attempt(fact, before)
    agent = _of(before, fact.agent_id)
    seen = _newest(agent, "agent.came_online", "agent.went_offline")
    silent = [one for one in seen if one.topic == "agent.went_offline"]
    since = assignment[0].position if assignment else 0
    return assignment + [one for one in silent if one.position > since]


def _missed_deadline(_: Fact, before: Before) -> list[Fact]:
    return _newest(before, "task.submitted")


def _coming_online(_: Fact, before: Before) -> list[Fact]:
    return _newest(before, "agent.registered", "agent.reinstated", "agent.went_offline")


def _going_offline(_: Fact, before: Before) -> list[Fact]:
    return _newest(before, "agent.came_online")


RULES: dict[str, Callable[[Fact, Before], list[Fact]]] = {
    "task.submitted": _birth,
    "task.queued": _falling_due,
    "task.assigned": _assignment,
    "task.started": _during_attempt,
    "task.progressed": _during_attempt,
    "task.completed": _during_attempt,
    "task.attempt_failed": _during_attempt,
    "task.lease_expired": _lease_expiry,
    "task.released": _during_attempt,
    "task.report_refused": _during_attempt,
    "task.failed": _missed_deadline,
    "agent.came_online": _coming_online,
    "agent.went_offline": _going_offline,
}
"""What causes an event by definition, by its topic. Of a topic that is not here only what was
recorded is known."""
