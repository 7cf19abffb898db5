"""What a subscriber may ask for: things that exist, and are the tenant's."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from application.access import Principal
from application.erasure.disclosure import CLOSED
from application.ids import uuid7
from application.live.gate import Gate
from application.queries import Queries
from application.watermarks import LOG, Watermarks
from domain.errors import AggregateNotFound
from infrastructure.postgres.read_models import PostgresReadModels
from tests.application.stage import Stage, played
from tests.conftest import Database
from tests.given import TENANT

READER = Principal(
    account_id=uuid7(),
    kind="user",
    subject="user/alice",
    tenant=TENANT,
    scopes=frozenset({"tasks:read", "agents:read"}),
)


class CountedModels(PostgresReadModels):
    """Counts what PostgreSQL is asked."""

    questions = 0

    async def _ask(self, statement: Any, parameters: Any, *, prepare: bool | None = None) -> Any:
        self.questions += 1
        return await super()._ask(statement, parameters, prepare=prepare)


class Entry:
    """A gate to a stage, whose read models move when the test says so."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.models = CountedModels(stage.source._pool)
        self.watermarks = Watermarks(self.models.checkpoint)
        self.watermarks.attach(asyncio.get_running_loop())
        queries = Queries(self.models, self.watermarks, stage.bells, 1, CLOSED)
        self.gate = Gate(queries, self.watermarks, epoch=1)

    async def committed(self) -> None:
        """As the writer tells it."""
        self.watermarks.advance(LOG, await self.stage.source.head())

    async def project(self) -> None:
        """As the leading process does: fold, and tell."""
        await self.committed()
        for model in self.stage.models:
            await asyncio.to_thread(model.catch_up, advanced=lambda _: None)
            name = model.projection.name
            self.watermarks.advance(name, await self.stage.source.checkpoint(name))

    async def tasks(self, count: int) -> list[UUID]:
        return await asyncio.gather(*(self.stage.submit() for _ in range(count)))

    async def agents(self, count: int) -> list[UUID]:
        return [await self.stage.register(f"agent-{number}") for number in range(count)]


def test_a_hundred_channels_are_looked_up_with_one_question_for_each_kind(
    database: Database,
) -> None:
    async def story(stage: Stage) -> None:
        entry = Entry(stage)
        tasks, agents = await entry.tasks(70), await entry.agents(20)
        await entry.project()
        outputs = [f"output.{task_id}" for task_id in tasks[:10]]
        channels = [f"tasks.{one}" for one in tasks] + [f"agents.{one}" for one in agents] + outputs

        found = await entry.gate.subscriptions(READER, channels)

        assert [str(one.channel) for one in found] == channels
        assert entry.models.questions == 2

    played(database, story)


@pytest.mark.parametrize("kind", ["task", "agent"])
def test_one_foreign_thing_among_many_is_not_found(database: Database, kind: str) -> None:
    async def story(stage: Stage) -> None:
        entry = Entry(stage)
        own = await entry.tasks(50) if kind == "task" else await entry.agents(20)
        foreign = (
            await stage.submit(tenant="other")
            if kind == "task"
            else await stage.register("theirs", tenant="other")
        )
        await entry.project()
        channels = [f"{kind}s.{one}" for one in [*own, foreign]]

        with pytest.raises(AggregateNotFound, match=str(foreign)):
            await entry.gate.subscriptions(READER, channels)

        assert await entry.gate.subscriptions(READER, channels[:-1])

    played(database, story)


def test_what_was_just_committed_is_waited_for_before_it_is_said_to_be_missing(
    database: Database,
) -> None:
    async def story(stage: Stage) -> None:
        entry = Entry(stage)
        tasks, [agent] = await entry.tasks(3), await entry.agents(1)
        await entry.project()
        tasks += await entry.tasks(3)
        await entry.committed()
        channels = [f"agents.{agent}", *(f"tasks.{one}" for one in tasks)]

        asking = asyncio.create_task(entry.gate.subscriptions(READER, channels))
        await asyncio.sleep(0)
        await entry.project()

        assert len(await asking) == 7

    played(database, story)


def test_a_collaboration_does_not_exist_yet(database: Database) -> None:
    async def story(stage: Stage) -> None:
        entry = Entry(stage)

        with pytest.raises(AggregateNotFound, match="collaboration"):
            await entry.gate.subscriptions(READER, [f"collaborations.{uuid7()}"])

    played(database, story)
