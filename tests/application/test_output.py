"""Output: what the holder of an attempt writes reaches whoever listens, numbered, and nobody else's
does."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from application.commands.tasks import CancelTask, ReportReleased
from application.ids import uuid7
from application.live.channel import Channel
from application.live.listeners import Listeners
from application.live.output import OutputRelay
from application.ports import Json
from application.workforce import Output
from domain.errors import AggregateNotFound, ControlPlaneError, StaleAttempt
from tests.application.stage import Stage, played
from tests.conftest import Database
from tests.given import TENANT


class Ear:
    """Implements `application.live.listeners.Listener`: remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, Json]] = []

    def hear(
        self, channel: Channel, message: Mapping[str, Json], encoded: dict[object, bytes]
    ) -> None:
        assert channel == Channel("output", message["task_id"])
        self.heard.append(message)


class Scene:
    """A relay on a stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.listeners = Listeners()
        self.relay = OutputRelay(self.listeners, stage.log)

    def listening(self, task_id: UUID, tenant: str = TENANT) -> Ear:
        ear = Ear()
        self.listeners.listen(ear, tenant, [Channel("output", task_id)])
        return ear

    async def write(
        self, agent_id: UUID, *pieces: tuple[UUID, int, str]
    ) -> list[ControlPlaneError | None]:
        outputs = [Output(task_id=task, attempt=n, text=text) for task, n, text in pieces]
        return await self.relay.relay(self.stage.floor.agents[agent_id], outputs)


def test_who_listens_hears_what_the_holder_writes_in_order(database: Database) -> None:
    async def play(stage: Stage) -> None:
        scene = Scene(stage)
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        ears = [scene.listening(task_id), scene.listening(task_id)]

        said = await scene.write(agent_id, (task_id, 1, "one "), (task_id, 1, "two "))
        said += await scene.write(agent_id, (task_id, 1, "three"))

        assert said == [None, None, None]
        assert [ear.heard for ear in ears] == 2 * [
            [
                {"task_id": task_id, "attempt": 1, "sequence": n, "text": text, "dropped": 0}
                for n, text in enumerate(("one ", "two ", "three"), start=1)
            ]
        ]

    played(database, play)


def test_what_nobody_heard_is_counted_all_the_same(database: Database) -> None:
    async def play(stage: Stage) -> None:
        scene = Scene(stage)
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        await scene.write(agent_id, (task_id, 1, "a"), (task_id, 1, "b"))

        ear = scene.listening(task_id)
        await scene.write(agent_id, (task_id, 1, "c"))

        assert [message["sequence"] for message in ear.heard] == [3]

    played(database, play)


def test_each_task_and_each_attempt_is_numbered_from_one(database: Database) -> None:
    async def play(stage: Stage) -> None:
        scene = Scene(stage)
        agent_id = await stage.register()
        first, second = await stage.leased(agent_id), await stage.leased(agent_id)
        ears = [scene.listening(first), scene.listening(second)]
        await scene.write(agent_id, (first, 1, "a"), (second, 1, "b"), (first, 1, "c"))

        await stage.execute(ReportReleased, task_id=first, agent_id=agent_id, attempt=1)
        await stage.lease(agent_id, wait_seconds=20)
        await stage.known()
        await scene.write(agent_id, (first, 2, "d"))

        told = [[(m["attempt"], m["sequence"]) for m in ear.heard] for ear in ears]
        assert told == [[(1, 1), (1, 2), (2, 1)], [(1, 1)]]

    played(database, play)


def test_an_attempt_that_is_over_is_stale_and_leaves_nothing(database: Database) -> None:
    async def play(stage: Stage) -> None:
        scene = Scene(stage)
        agent_id = await stage.register()
        completed, cancelled, held = [await stage.leased(agent_id) for _ in range(3)]
        ears = [scene.listening(one) for one in (completed, cancelled, held)]
        await scene.write(agent_id, (completed, 1, "a"), (cancelled, 1, "a"))
        await stage.complete(agent_id, completed)
        await stage.execute(CancelTask, task_id=cancelled)

        said = await scene.write(
            agent_id, (completed, 1, "b"), (held, 1, "b"), (cancelled, 1, "b"), (held, 2, "c")
        )

        assert [type(one) for one in said] == [StaleAttempt, type(None), StaleAttempt, StaleAttempt]
        assert [[message["text"] for message in ear.heard] for ear in ears] == [["a"], ["a"], ["b"]]
        assert stage.floor.agents[agent_id].written == {held: 1}

    played(database, play)


def test_an_agent_learns_nothing_of_a_task_that_it_never_held(database: Database) -> None:
    async def play(stage: Stage) -> None:
        scene = Scene(stage)
        holder = await stage.register("holder")
        other = await stage.register("other")
        stranger = await stage.register("holder", tenant="acme")
        held, queued = await stage.leased(holder), await stage.submit(requires=("nothing",))
        ear = scene.listening(held)

        for agent_id in (other, stranger):
            said = await scene.write(
                agent_id, (held, 1, "x"), (queued, 1, "x"), (uuid7(), 1, "x"), (agent_id, 1, "x")
            )
            assert [type(one) for one in said] == [AggregateNotFound] * 4

        assert ear.heard == []

    played(database, play)


def test_only_the_own_tenant_hears(database: Database) -> None:
    async def play(stage: Stage) -> None:
        scene = Scene(stage)
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        ear = scene.listening(task_id, tenant="acme")

        await scene.write(agent_id, (task_id, 1, "secret"))

        assert ear.heard == []

    played(database, play)


def test_many_strange_tasks_are_looked_up_in_bounded_pieces(database: Database) -> None:
    async def play(stage: Stage) -> None:
        scene = Scene(stage)
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        asked: list[int] = []
        load_many = stage.log.load_many

        def counted(aggregate_ids: Any) -> Any:
            asked.append(len(aggregate_ids))
            return load_many(aggregate_ids)

        stage.log.load_many = counted  # type: ignore[method-assign]
        strangers = [(uuid7(), 1, "x") for _ in range(100)]

        said = await scene.write(agent_id, *strangers, (task_id, 1, "x"), *strangers)

        assert [one is None for one in said].index(True) == 100
        assert sorted(asked) == [4, 32, 32, 32]

    played(database, play)


def test_what_ends_while_others_are_looked_up_is_not_handed_on(database: Database) -> None:
    async def play(stage: Stage) -> None:
        scene = Scene(stage)
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        ear = scene.listening(task_id)

        writing = asyncio.create_task(scene.write(agent_id, (uuid7(), 1, "x"), (task_id, 1, "x")))
        await asyncio.sleep(0)
        lease = stage.floor.agents[agent_id].held.pop(task_id)
        said = await writing

        assert lease.attempt == 1
        assert [type(one) for one in said] == [AggregateNotFound, StaleAttempt]
        assert ear.heard == []

    played(database, play)
