"""A past full of decisions, copied into the log by its owner: agents, and tasks that one of them
was chosen for and did."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg

from application.ids import uuid7
from benchmarks import ours
from domain.agent import agent_id_of
from domain.routing import POLICIES, Reading, decide

AGENTS = 8
SLOTS = 4
KINDS = ("review", "index", "summarize")
READINGS_EVERY = 100
"""Decisions between two heartbeats that bring new readings."""
ARRIVALS_SECONDS = 0.4
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
COPY = """
COPY musterroll.events (aggregate_id, version, topic, state, tenant, actor, command_id,
                        correlation_id, recorded_at) FROM STDIN
"""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """What was made: the events in all, and some of the tasks."""

    events: int
    task_ids: list[UUID]


def fill(urls: ours.Urls, *, decisions: int, seed: int = 4711) -> Decided:
    """Make a log with so many decisions, three events each. For an empty one."""
    rng = random.Random(seed)  # noqa: S311 - a past that comes again
    agents = [agent_id_of(ours.TENANT, f"agent-{number}") for number in range(AGENTS)]
    rows = 0
    task_ids: list[UUID] = []
    with psycopg.connect(urls.owner) as connection, connection.cursor() as cursor:
        with cursor.copy(COPY) as copy:
            for number, agent_id in enumerate(agents):
                copy.write_row(_registered(agent_id, f"agent-{number}"))
            for task_id, events in _tasks(rng, agents, decisions):
                task_ids.append(task_id)
                for row in events:
                    copy.write_row(row)
                    rows += 1
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE musterroll.events")
    return Decided(rows + len(agents), rng.sample(task_ids, min(1_000, len(task_ids))))


def _tasks(rng: random.Random, agents: list[UUID], count: int) -> Iterator[tuple[UUID, list[Row]]]:
    readings: list[Reading] = []
    for number in range(count):
        at = BEGIN + timedelta(seconds=number * ARRIVALS_SECONDS)
        if number % READINGS_EVERY == 0:
            readings = [_reading(rng, agent_id) for agent_id in agents]
        waiting = rng.sample(readings, rng.randint(AGENTS // 2, AGENTS))
        yield _task(rng, waiting, at)


def _task(rng: random.Random, waiting: list[Reading], at: datetime) -> tuple[UUID, list[Row]]:
    decision = decide(POLICIES["weighted_load"], waiting, seed=rng.getrandbits(32))
    task_id, kind = uuid7(), rng.choice(KINDS)
    assigned = at + timedelta(seconds=rng.expovariate(2))
    done = assigned + timedelta(seconds=rng.expovariate(0.2))
    submitted = {
        "tenant": ours.TENANT,
        "kind": kind,
        "input": {"path": "src/main.py"},
        "requires": [kind],
        "priority": 5,
        "max_attempts": 3,
        "timeout_seconds": 300,
        "not_before": None,
        "deadline": None,
        "labels": {},
        "parent_id": None,
        "root_id": None,
        "depth": 0,
        "approval": False,
    }
    given = {
        "agent_id": decision.winner,
        "attempt": 1,
        "lease_expires_at": assigned + timedelta(seconds=30),
        "decision": decision,
    }
    completed = {"attempt": 1, "agent_id": decision.winner, "result": None}
    return task_id, [
        _row(task_id, 1, "task.submitted", at, submitted),
        _row(task_id, 2, "task.assigned", assigned, given),
        _row(task_id, 3, "task.completed", done, completed),
    ]


def _registered(agent_id: UUID, name: str) -> Row:
    registered = {
        "tenant": ours.TENANT,
        "name": name,
        "capabilities": KINDS,
        "slots": SLOTS,
        "labels": {},
    }
    return _row(agent_id, 1, "agent.registered", BEGIN, registered)


def _reading(rng: random.Random, agent_id: UUID) -> Reading:
    cpu, memory = rng.uniform(0, 100), rng.uniform(0, 100)
    return Reading(
        agent_id=agent_id, cpu=cpu, memory=memory, queue=rng.randrange(SLOTS), slots=SLOTS
    )


def _row(aggregate_id: UUID, version: int, topic: str, at: datetime, fields: Any) -> Row:
    state = orjson.dumps({"timestamp": at, **fields})
    about = (ours.TENANT, "bench", uuid7(), aggregate_id, at)
    return (aggregate_id, version, topic, state, *about)
