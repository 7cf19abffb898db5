"""Past events and people, spelled briefly, for tests that begin in the middle of a story."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from application.commands import Origin, RequestKey
from application.ids import uuid7
from domain.routing import POLICIES, Decision, Reading, decide
from domain.task import Task
from domain.task_shape import TaskSpecification

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
ALICE = UUID("00000000-0000-7000-8000-00000000a11c")
BOB = UUID("00000000-0000-7000-8000-000000000b0b")
TENANT = "default"

Step = Callable[[Task], None]


def a_specification(**changes: Any) -> TaskSpecification:
    """What a submitter asks for, plain unless changed."""
    specification: dict[str, Any] = {
        "kind": "review",
        "input": {"file": "a.py"},
        "requires": ("review",),
        "priority": 5,
        "max_attempts": 3,
        "timeout_seconds": 300,
        "not_before": None,
        "deadline": None,
        "labels": {},
        "parent_id": None,
        "approval": False,
    }
    return cast("TaskSpecification", specification | changes)


def a_task(*steps: Step, **changes: Any) -> Task:
    """A task that was submitted at noon and then went through these steps; its events are taken."""
    task = Task.submit(uuid7(), a_specification(**changes), tenant=TENANT, parent=None, now=NOON)
    for step in steps:
        step(task)
    task.take_events()
    return task


def assigned(to: UUID = ALICE, *, at: datetime = NOON) -> Step:
    """It was assigned, for a minute."""
    return lambda task: task.assign(a_decision(to), now=at, lease=MINUTE)


def started(by: UUID = ALICE, *, attempt: int = 1, at: datetime = NOON) -> Step:
    """Its holder began."""
    return lambda task: task.start(by, attempt, now=at)


def completed(by: UUID = ALICE, *, attempt: int = 1, at: datetime = NOON) -> Step:
    """Its holder was done."""
    return lambda task: task.complete(by, attempt, {"verdict": "fine"}, now=at)


def attempt_failed(by: UUID = ALICE, *, attempt: int = 1, at: datetime = NOON) -> Step:
    """Its holder could not do it, and another attempt may help."""
    return lambda task: task.fail_attempt(
        attempt, "boom", "It went wrong.", agent_id=by, retry_jitter=0.0, now=at
    )


def due(at: datetime) -> Step:
    """Its time had come."""
    return lambda task: task.make_due(now=at)


def a_decision(winner: UUID = ALICE, *others: UUID) -> Decision:
    """A decision in favour of an agent, among others that were busier."""
    readings = [Reading(agent_id=winner, cpu=1.0, memory=1.0, queue=0, slots=2)]
    readings += [Reading(agent_id=o, cpu=90.0, memory=90.0, queue=2, slots=2) for o in others]
    return decide(POLICIES["weighted_load"], readings, seed=1)


def by(actor: str = "user/ada", *, tenant: str = TENANT, **changes: Any) -> Origin:
    """A person or program asks for something."""
    origin: dict[str, Any] = {"tenant": tenant, "actor": actor, "command_id": uuid7()}
    return Origin(**(origin | changes))


def a_key(fingerprint: bytes = b"1") -> RequestKey:
    """What makes a request repeatable."""
    return RequestKey(command_id=uuid7(), fingerprint=fingerprint)
