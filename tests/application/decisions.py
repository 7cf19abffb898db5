"""A log with decisions in it, written at once, for tests that replay them."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.ids import uuid7
from application.ports import Record
from domain.agent import Agent, agent_id_of
from domain.aggregate import Aggregate, topic_of
from domain.routing import POLICIES, Decision, Policy, Reading, decide
from domain.task import Task
from infrastructure.postgres.log import PostgresLog
from infrastructure.postgres.pool import make_pool
from tests.conftest import Database
from tests.given import NOON, SECOND, TENANT, a_specification

WEIGHTED, LEAST = POLICIES["weighted_load"], POLICIES["least_outstanding"]
APPENDED_AT_ONCE = 5_000


@dataclass
class Past:
    """Events that are going to have happened; `tenant` is whose they are."""

    tenant: str = TENANT
    events: list[AggregateEvent] = field(default_factory=list)

    def agent(self, name: str) -> UUID:
        """An agent that was registered."""
        agent_id = agent_id_of(self.tenant, name)
        self._take(
            Agent.register(
                agent_id,
                tenant=self.tenant,
                name=name,
                capabilities=("review",),
                slots=4,
                labels={},
                now=NOON,
            )
        )
        return agent_id

    def task(self, *decisions: Decision) -> UUID:
        """A task that was done by the winner of the last of these; the others gave it back."""
        task = Task.submit(
            uuid7(), a_specification(input=None), tenant=self.tenant, parent=None, now=NOON
        )
        for attempt, decision in enumerate(decisions, start=1):
            task.assign(decision, now=NOON, lease=30 * SECOND)
            if attempt < len(decisions):
                task.release(decision.winner, attempt, now=NOON)
            else:
                task.complete(decision.winner, attempt, None, now=NOON + SECOND)
        self._take(task)
        return task.id

    def write(self, database: Database) -> None:
        """Append all of it."""
        asyncio.run(self._write(database))

    async def _write(self, database: Database) -> None:
        with make_pool(database.url, connections_max=2) as pool:
            log = PostgresLog(pool)
            for begin in range(0, len(self.events), APPENDED_AT_ONCE):
                events = self.events[begin : begin + APPENDED_AT_ONCE]
                await log.append([self._record(log, event) for event in events], [])
            await log.close()

    def _take(self, aggregate: Aggregate) -> None:
        self.events += aggregate.take_events()

    def _record(self, log: PostgresLog, event: AggregateEvent) -> Record:
        return Record(
            event.originator_id,
            event.originator_version,
            topic_of(event),
            log.encode(event),
            self.tenant,
            "process/dispatch",
            uuid7(),
            event.originator_id,
            None,
            None,
        )


def a_random_decision(
    rng: random.Random, agents: Sequence[UUID], policy: Policy = WEIGHTED
) -> Decision:
    """Of some of these agents, on random readings; level ones now and then."""
    readings = [
        Reading(
            agent_id=agent_id,
            cpu=rng.choice([None, 0.0, 50.0, rng.uniform(0, 100)]),
            memory=rng.choice([None, 25.0, rng.uniform(0, 100)]),
            queue=rng.randrange(6),
            slots=rng.choice([1, 2, 4]),
        )
        for agent_id in rng.sample(list(agents), rng.randint(1, len(agents)))
    ]
    return decide(policy, readings, seed=rng.getrandbits(32))
