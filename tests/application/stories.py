"""Random stories: commands of every kind, many of them refused, on a few tasks and agents."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from application.commands import Command
from application.commands import agents as agent
from application.commands import tasks as task
from application.ids import uuid7
from domain.agent import agent_id_of
from tests.given import MINUTE, TENANT, a_decision, a_specification, by

AGENTS = [agent_id_of(TENANT, name) for name in ("ada", "bob", "cyd")]


def registrations() -> list[Command]:
    return [
        agent.RegisterAgent(
            origin=by(),
            agent_id=agent_id,
            name=name,
            capabilities=("review",),
            slots=3,
            labels={"zone": name},
        )
        for agent_id, name in zip(AGENTS, ("ada", "bob", "cyd"), strict=True)
    ]


def a_story(rng: random.Random, now: datetime, *, length: int) -> Iterator[Command]:
    """Commands without end but their number, of which about half are refused."""
    yield from registrations()
    tasks: list[UUID] = []
    for _ in range(length):
        if len(tasks) < 3 or rng.random() < 0.12:
            tasks.append(uuid7())
            yield task.SubmitTask(
                origin=by(), task_id=tasks[-1], specification=a_random_specification(rng, now)
            )
        elif rng.random() < 0.1:
            yield an_agent_command(rng, now)
        else:
            yield a_task_command(rng, rng.choice(tasks[-6:]))


def a_random_specification(rng: random.Random, now: datetime) -> Any:
    return a_specification(
        input=rng.choice([None, {"a": [1, "é\\"]}, "x", 1.5]),
        priority=rng.randrange(10),
        max_attempts=rng.choice([1, 2, 3]),
        requires=rng.choice([("review",), ("review", "write")]),
        not_before=rng.choice([None, None, now + timedelta(days=1)]),
        deadline=rng.choice([None, None, now + timedelta(days=2)]),
        labels=rng.choice([{}, {"team": "core"}]),
        approval=rng.random() < 0.1,
    )


def an_agent_command(rng: random.Random, now: datetime) -> Command:
    agent_id = rng.choice(AGENTS)
    kinds = [agent.BringOnline, agent.DrainAgent, agent.ResumeAgent, agent.RetireAgent]
    match rng.randrange(7):
        case 0:
            return agent.TakeOffline(origin=by(), agent_id=agent_id, last_heard_at=now)
        case 1:
            return agent.ChangeAgent(origin=by(), agent_id=agent_id, slots=rng.randrange(1, 9))
        case 2:
            return next(one for one in registrations() if one.agent_id == agent_id)  # type: ignore[attr-defined]
        case _:
            return rng.choice(kinds)(origin=by(), agent_id=agent_id)


def a_task_command(rng: random.Random, task_id: UUID) -> Command:
    about = {"origin": by(), "task_id": task_id}
    held = about | {"agent_id": rng.choice(AGENTS[:2]), "attempt": rng.choice([1, 1, 2, 3])}
    commands: list[tuple[int, Any, dict[str, Any]]] = [
        (8, task.AssignTask, about | {"decision": a_decision(rng.choice(AGENTS[:2]), AGENTS[2])}),
        (4, task.ReportStarted, held),
        (4, task.ReportProgress, held | {"fraction": rng.random(), "message": "on \\ it"}),
        (3, task.ReportCompleted, held | {"result": {"n": rng.random()}}),
        (4, task.ReportFailed, held | {"code": "boom", "message": "It broke."}),
        (2, task.ReportReleased, held),
        (2, task.ExpireLease, about | {"attempt": held["attempt"]}),
        (2, task.MakeTaskDue, about),
        (1, task.ApproveTask, about),
        (1, task.RejectTask, about | {"reason": "no"}),
        (1, task.CancelTask, about),
        (4, task.RetryTask, about),
    ]
    _, kind, fields = rng.choices(commands, weights=[weight for weight, _, _ in commands])[0]
    if kind is task.AssignTask:
        fields["lease"] = MINUTE
    if kind is task.ReportFailed:
        fields["retry_jitter"] = rng.choice([None, 0.0, 1.0])
    return kind(**fields)  # type: ignore[no-any-return]
