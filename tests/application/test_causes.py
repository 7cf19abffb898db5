"""What led to an event and what came of it, across tasks and agents, over histories as they are
written."""

import asyncio
import random
import threading
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from application.causation import walk
from application.causation.causes import Causes, Graph
from application.causation.ports import Budget
from application.commands.agents import BringOnline, RetireAgent
from application.commands.tasks import (
    AssignTask,
    CancelTask,
    ReportFailed,
    ReportProgress,
    SubmitTask,
)
from application.cursor import CursorAhead
from application.erasure.disclosure import CLOSED
from application.ids import uuid7
from application.lane import WAITING_MAX, TooMuchFolding
from application.ports import Record
from domain.causation import ROOTS, Fact
from domain.errors import ControlPlaneError, EventNotFound
from infrastructure.postgres.causation import PostgresCausation
from infrastructure.postgres.pool import make_pool
from tests.application.stage import Stage, a_stage
from tests.application.stories import AGENTS, a_story, registrations
from tests.conftest import Database
from tests.given import MINUTE, TENANT, a_decision, a_specification, by

FAR = 1_000


@asynccontextmanager
async def a_graph(database: Database) -> AsyncIterator[tuple[Stage, Causes]]:
    with make_pool(database.url, connections_max=2) as pool:
        async with a_stage(database) as stage:
            yield stage, a_walker(stage, pool)


def a_walker(stage: Stage, pool: Any) -> Causes:
    async def board_shown() -> None:
        await asyncio.to_thread(stage.project)

    return Causes(
        PostgresCausation(pool, epoch=1), board_shown=board_shown, epoch=1, disclosure=CLOSED
    )


async def written(stage: Stage) -> list[Record]:
    return await asyncio.to_thread(stage.log.read, after=0, limit=100_000)


async def of(stage: Stage, topic: str, aggregate_id: UUID | None = None) -> list[int]:
    """The positions of the events of a sort."""
    return [
        one.position
        for one in await written(stage)
        if one.topic == topic and aggregate_id in (None, one.aggregate_id)
    ]


def shown(graph: Graph) -> dict[int, tuple[int, ...]]:
    return {record.position: causes for record, causes in graph.items}


async def tell_a_story(stage: Stage, rng: random.Random, *, length: int) -> None:
    """A random one, in which tasks beget tasks, leases run out and agents fall silent."""
    tasks: list[UUID] = []
    for number, command in enumerate(a_story(rng, stage.clock(), length=length)):
        if isinstance(command, SubmitTask):
            parent = rng.choice(tasks) if tasks and rng.random() < 0.5 else None
            tasks.append(command.task_id)
            command.specification["parent_id"] = parent
        with suppress(ControlPlaneError):
            await stage.commands.execute(command)
        if number % 10 == 9:
            await stage.known()
            await stage.pass_time(rng.choice([1.0, 20.0, 40.0]))


def test_every_event_but_a_root_has_a_cause_before_it(
    database: Database, rng: random.Random
) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, graph):
            await tell_a_story(stage, rng, length=300)
            for record in await written(stage):
                first = await graph.causes(TENANT, record.position, depth=1, limit=FAR)
                causes = shown(first)[record.position]

                is_root = record.topic in ROOTS or (
                    record.topic == "task.submitted" and b'"parent_id":null' in record.state
                )
                assert bool(causes) is not is_root, f"{record.topic} at {record.position}"
                assert all(0 < cause < record.position for cause in causes)
                if record.causation_id is not None:
                    same = {int(record.causation_id.partition(":")[2])} <= set(causes)
                    assert same or record.topic == "task.failed"

    asyncio.run(play())


def test_effects_are_causes_seen_from_the_other_side(
    database: Database, rng: random.Random
) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, graph):
            await tell_a_story(stage, rng, length=200)
            records = await written(stage)
            causes: dict[int, tuple[int, ...]] = {}
            for record in records:
                found = await graph.causes(TENANT, record.position, depth=1, limit=FAR)
                causes[record.position] = shown(found)[record.position]
            topics = {record.position: record.topic for record in records}
            effects = defaultdict(set)
            for position, before in causes.items():
                for cause in before if topics[position] != "task.progressed" else ():
                    effects[cause].add(position)

            for record in records:
                one = await graph.effects(TENANT, record.position, depth=1, limit=FAR)
                behind = shown(one)

                assert behind.pop(record.position) == causes[record.position]
                assert behind == {
                    position: causes[position] for position in effects[record.position]
                }

            position = rng.choice(records).position
            whole = await graph.effects(TENANT, position, depth=FAR, limit=FAR)
            assert set(shown(whole)) == reached(position, effects)
            back = await graph.causes(TENANT, position, depth=FAR, limit=FAR)
            assert set(shown(back)) == reached(position, causes)
            assert (whole.truncated, back.truncated) == (False, False)

    asyncio.run(play())


def reached(position: int, edges: Any) -> set[int]:
    """Everything that these edges lead to."""
    found, waiting = {position}, [position]
    while waiting:
        for one in edges.get(waiting.pop(), ()):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return found


def test_an_agent_that_falls_silent_is_followed_to_the_child_of_the_task_that_it_lost(
    database: Database,
) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, graph):
            lost = await stage.register("lost")
            other = await stage.register("other")
            parent = await stage.leased(lost)
            await stage.pass_time(31)
            (silent,) = await of(stage, "agent.went_offline", lost)
            (expired,) = await of(stage, "task.lease_expired", parent)
            await stage.lease(other, wait_seconds=5)
            child = await stage.submit(parent_id=parent)
            (born,) = await of(stage, "task.submitted", child)
            _, again = await of(stage, "task.assigned", parent)

            effects = await graph.effects(TENANT, silent, depth=FAR, limit=FAR)
            causes = await graph.causes(TENANT, born, depth=FAR, limit=FAR)

            assert shown(effects)[expired][-1] == silent
            assert {expired, again, born} <= set(shown(effects))
            assert {silent, expired, again} <= set(shown(causes))
            assert effects.items[0][0].position == silent

    asyncio.run(play())


def test_what_a_retired_agent_held_comes_back_because_it_was_retired(database: Database) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, graph):
            agent_id = await stage.register()
            await stage.leased(agent_id)
            await stage.execute(RetireAgent, agent_id=agent_id)
            await stage.pass_time(1)
            (retired,) = await of(stage, "agent.retired")
            (released,) = await of(stage, "task.released")

            effects = await graph.effects(TENANT, retired, depth=1, limit=FAR)

            assert released in shown(effects)

    asyncio.run(play())


def test_what_is_another_tenants_does_not_exist(database: Database) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, graph):
            await stage.submit()
            await stage.submit(tenant="other")

            assert list(shown(await graph.causes("other", 2, depth=1, limit=9))) == [2]
            for walked in (graph.causes, graph.effects):
                with pytest.raises(EventNotFound):
                    await walked("other", 1, depth=1, limit=9)
                with pytest.raises(EventNotFound):
                    await walked("other", 0, depth=1, limit=9)
                with pytest.raises(CursorAhead):
                    await walked("other", 3, depth=1, limit=9)

    asyncio.run(play())


def test_a_walk_ends_where_it_was_told_to_and_says_so(database: Database) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, graph):
            agent_id = await stage.register()
            task_id = await stage.leased(agent_id)
            for _ in range(5):
                await stage.submit(parent_id=task_id)
            submitted = (await of(stage, "task.submitted"))[0]

            near = await graph.effects(TENANT, submitted, depth=1, limit=FAR)
            few = await graph.effects(TENANT, submitted, depth=FAR, limit=4)
            whole = await graph.effects(TENANT, submitted, depth=2, limit=FAR)

            assert (len(near.items), near.truncated) == (2, True)
            assert (len(few.items), few.truncated) == (4, True)
            assert (len(whole.items), whole.truncated) == (7, False)

    asyncio.run(play())


def test_progress_is_among_the_effects_of_nothing_and_has_its_cause_all_the_same(
    database: Database,
) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, graph):
            agent_id = await stage.register()
            task_id = await stage.leased(agent_id)
            for number in range(5):
                stage.clock.move(seconds=2)
                held = {"task_id": task_id, "agent_id": agent_id, "attempt": 1}
                await stage.execute(ReportProgress, **held, fraction=number / 5)
            await stage.complete(agent_id, task_id)
            (assigned,) = await of(stage, "task.assigned")
            progress = await of(stage, "task.progressed")
            (completed,) = await of(stage, "task.completed")

            effects = await graph.effects(TENANT, assigned, depth=FAR, limit=FAR)
            causes = await graph.causes(TENANT, progress[-1], depth=1, limit=FAR)

            assert len(progress) > 1
            assert completed in shown(effects)
            assert not set(progress) & set(shown(effects))
            assert shown(causes)[progress[-1]] == (assigned,)

    asyncio.run(play())


@pytest.mark.parametrize(("budget", "most"), [("BUDGET_FACTS", 12), ("BUDGET_BYTES", 4_000)])
def test_of_a_hub_only_so_much_is_looked_at_and_what_is_shown_of_it_is_right(
    database: Database, monkeypatch: pytest.MonkeyPatch, budget: str, most: int
) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, graph):
            task_id = await stage.submit()
            for _ in range(20):
                child = await stage.submit(parent_id=task_id)
                await stage.execute(CancelTask, task_id=child)
            whole = await graph.effects(TENANT, 1, depth=FAR, limit=FAR)

            monkeypatch.setattr(walk, budget, most)
            part = await graph.effects(TENANT, 1, depth=FAR, limit=FAR)

            assert (len(whole.items), whole.truncated) == (21, False)
            assert part.truncated
            assert shown(part).items() <= shown(whole).items()
            assert 1 <= len(part.items) <= 12

    asyncio.run(play())


def test_no_more_is_read_of_the_log_than_the_budget_has_room_for(database: Database) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, _):
            task_id = await stage.submit()
            for _ in range(20):
                await stage.submit(parent_id=task_id)
            await asyncio.to_thread(stage.project)
            with make_pool(database.url, connections_max=2) as pool:
                log = PostgresCausation(pool, epoch=1)

                def births(budget: Budget) -> int:
                    return len(log.births(TENANT, [task_id], budget=budget))

                few, light = Budget(facts=7, bytes=10**9), Budget(facts=100, bytes=1)
                plenty = Budget(facts=100, bytes=10**9)
                assert [births(one) for one in (few, light, plenty)] == [7, 1, 20]
                assert [births(one) for one in (few, light, plenty)] == [0, 0, 20]
                assert (few.spent, light.spent, plenty.spent) == (True, True, False)

    asyncio.run(play())


class Watched(PostgresCausation):
    """Says on which threads facts were made."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool, epoch=1)
        self.by: list[str] = []

    def facts_after(self, *args: Any, **options: Any) -> list[Fact]:
        self.by.append(threading.current_thread().name)
        return super().facts_after(*args, **options)


def test_one_walk_is_done_at_a_time_on_a_thread_and_only_so_many_wait(
    database: Database,
) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, _):
            await stage.submit()
            with make_pool(database.url, connections_max=2) as pool:
                log = Watched(pool)
                graph = Causes(
                    log, board_shown=partial(asyncio.sleep, 0), epoch=1, disclosure=CLOSED
                )
                asked = [graph.effects(TENANT, 1, depth=1, limit=1) for _ in range(12)]
                answers = await asyncio.gather(*asked, return_exceptions=True)

            refused = [one for one in answers if isinstance(one, TooMuchFolding)]
            assert (len(refused), refused[0].retry_after_seconds) == (12 - 1 - WAITING_MAX, 2)
            assert sum(isinstance(one, Graph) for one in answers) == 1 + WAITING_MAX
            assert log.by
            assert all(name.startswith("lane") for name in log.by)

    asyncio.run(play())


def test_an_agent_with_a_long_history_is_still_followed(database: Database) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, graph):
            agent_id = await stage.register()
            for _ in range(20):
                await stage.execute(BringOnline, agent_id=agent_id)
                await stage.pass_time(40)

            (registered,) = await of(stage, "agent.registered")
            last = (await of(stage, "agent.went_offline"))[-1]
            causes = await graph.causes(TENANT, last, depth=FAR, limit=FAR)

            assert len(causes.items) == 41
            assert causes.items[-1][0].position == registered

    asyncio.run(play())


def test_attempts_of_one_task_are_linked_by_what_queued_it_again(database: Database) -> None:
    async def play() -> None:
        async with a_graph(database) as (stage, graph):
            for registration in registrations():
                await stage.commands.execute(registration)
            task_id = (
                await stage.commands.execute(
                    SubmitTask(
                        origin=by(), task_id=uuid7(), specification=a_specification(max_attempts=2)
                    )
                )
            ).aggregate_id
            for attempt in (1, 2):
                await stage.execute(
                    AssignTask, task_id=task_id, decision=a_decision(AGENTS[0]), lease=MINUTE
                )
                await stage.execute(
                    ReportFailed,
                    task_id=task_id,
                    agent_id=AGENTS[0],
                    attempt=attempt,
                    code="boom",
                    message="",
                    retry_jitter=0.0,
                )
                await stage.pass_time(5)

            (failed,) = await of(stage, "task.failed")
            causes = await graph.causes(TENANT, failed, depth=FAR, limit=FAR)

            assert [record.topic for record, _ in causes.items] == [
                "task.failed",
                "task.attempt_failed",
                "task.assigned",
                "task.queued",
                "task.attempt_failed",
                "task.assigned",
                "task.submitted",
            ]

    asyncio.run(play())
