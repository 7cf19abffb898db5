"""A past like that of a busy service, copied into the log by its owner: agents that come and go,
and tasks at every step of their lives, some thousands of them open at any time."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.domain import AggregateEvent

from application.ids import uuid7
from benchmarks import ours
from benchmarks.payload import payload
from domain.agent import Agent, agent_id_of
from domain.aggregate import topic_of
from domain.routing import POLICIES, Reading, decide
from domain.task import Task
from domain.task_shape import TaskStatus
from infrastructure.mapper import CatalogueMapper

AGENTS = 200
SLOTS = 20
OPEN = 3_000
KINDS = ("review", "index", "summarize", "translate")
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
APART = timedelta(milliseconds=2)
LEASE = timedelta(seconds=30)
COPY = """
COPY musterroll.events (aggregate_id, version, topic, state, tenant, actor, command_id,
                        correlation_id, recorded_at) FROM STDIN (FORMAT binary)
"""
TYPES = ["uuid", "int8", "text", "bytea", "text", "text", "uuid", "uuid", "timestamptz"]

MAPPER = CatalogueMapper()

Aggregate = Task | Agent


def fill(urls: ours.Urls, *, events: int, seed: int = 1) -> None:
    """Write so many events, as the service would have encoded them."""
    lives = islice(_lives(random.Random(seed)), events)  # noqa: S311 - a benchmark
    with psycopg.connect(urls.owner) as connection, connection.cursor().copy(COPY) as copy:
        copy.set_types(TYPES)
        for aggregate, event in lives:
            copy.write_row(_row(aggregate, event))
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE musterroll.events")


def _row(aggregate: Aggregate, event: AggregateEvent) -> tuple[Any, ...]:
    return (
        event.originator_id,
        event.originator_version,
        topic_of(event),
        MAPPER.encode(event),
        ours.TENANT,
        "user/bench",
        uuid7(),
        aggregate.correlation_id,
        event.timestamp,
    )


def _lives(chance: random.Random) -> Iterator[tuple[Aggregate, AggregateEvent]]:
    """Events without end, in the order in which they happened."""
    now = BEGIN
    agents = []
    for number in range(AGENTS):
        agent = Agent.register(
            agent_id_of(ours.TENANT, f"agent-{number}"),
            tenant=ours.TENANT,
            name=f"agent-{number}",
            capabilities=KINDS,
            slots=SLOTS,
            labels={},
            now=now,
        )
        agent.come_online(now=now)
        agents.append(agent)
        yield from ((agent, event) for event in agent.take_events())
    tasks: list[Task] = []
    while True:
        now += APART
        if len(tasks) < OPEN:
            tasks.append(_submitted(chance, now))
        place = chance.randrange(len(tasks))
        task = tasks[place]
        _go_on(task, chance, [agent.id for agent in chance.sample(agents, 3)], now)
        yield from ((task, event) for event in task.take_events())
        if task.status in {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}:
            tasks[place] = tasks[-1]
            tasks.pop()
        if chance.random() < 0.0005:
            agent = chance.choice(agents)
            (agent.go_offline if agent.online else agent.come_online)(**_absence(agent, now))
            yield from ((agent, event) for event in agent.take_events())


def _absence(agent: Agent, now: datetime) -> dict[str, datetime]:
    return {"last_heard_at": now, "now": now} if agent.online else {"now": now}


def _submitted(chance: random.Random, now: datetime) -> Task:
    kind = chance.choice(KINDS)
    return Task.submit(
        uuid7(),
        {
            "kind": kind,
            "input": dict(payload()),
            "requires": (kind,),
            "priority": chance.randrange(10),
            "max_attempts": 3,
            "timeout_seconds": 300,
            "not_before": None,
            "deadline": None,
            "labels": {"team": chance.choice(["core", "web"])},
            "parent_id": None,
            "approval": False,
        },
        tenant=ours.TENANT,
        parent=None,
        now=now,
    )


def _go_on(task: Task, chance: random.Random, candidates: list[UUID], now: datetime) -> None:
    """One step of a task: most of them are assigned, begun, told of, and completed."""
    match task.status:
        case TaskStatus.QUEUED:
            readings = [
                Reading(agent_id=one, cpu=chance.uniform(0, 90), memory=50.0, queue=3, slots=SLOTS)
                for one in candidates
            ]
            decision = decide(POLICIES["weighted_load"], readings, seed=1)
            task.assign(decision, now=now, lease=LEASE)
        case TaskStatus.SCHEDULED:
            task.make_due(now=max(now, task.due_at or now))
        case TaskStatus.ASSIGNED | TaskStatus.RUNNING:
            assert task.agent_id is not None, "it is assigned"
            chance.choices(STEPS, weights=WEIGHTS)[0](task, task.agent_id, now)


def _fail(task: Task, agent_id: UUID, now: datetime) -> None:
    task.fail_attempt(
        task.attempt, "boom", "It broke.", agent_id=agent_id, retry_jitter=0.5, now=now
    )


STEPS: list[Callable[[Task, UUID, datetime], None]] = [
    lambda task, agent_id, now: task.start(agent_id, task.attempt, now=now),
    lambda task, agent_id, now: task.progress(agent_id, task.attempt, 0.5, "half way", now=now),
    lambda task, agent_id, now: task.complete(agent_id, task.attempt, {"ok": True}, now=now),
    _fail,
    lambda task, _, now: task.expire_lease(task.attempt, now=now),
    lambda task, _, now: task.cancel(None, now=now),
]
WEIGHTS = [30, 20, 40, 5, 1, 1]
