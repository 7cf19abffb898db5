"""What the dispatcher knows is what the log says, whenever it began to know it."""

import asyncio
import random
from typing import Any

from application.commands.agents import DrainAgent, ResumeAgent
from application.commands.tasks import ApproveTask, ReportReleased
from application.processes.floor import Floor, KnownAgent, OpenTask
from application.processes.ready_queue import ReadyQueue
from domain.agent import Standing
from domain.task_shape import LEASED, TaskStatus
from tests.application.stage import LEASE, LONG, Stage, played
from tests.application.stories import a_story
from tests.conftest import Database
from tests.given import MINUTE, NOON


async def floor_from_read_models(stage: Stage) -> tuple[Floor, int]:
    """As a dispatcher begins that takes over; and the position after which it folds the log."""
    floor = Floor(lease=LEASE, ageing_seconds=60)
    roster_at, agents = await stage.source.known_agents(stage.clock())
    floor.agents = {agent.agent_id: agent for agent in agents}
    board_at, tasks = await stage.source.open_tasks()
    for task in tasks:
        floor.open(task, now=stage.clock())
    return floor, min(roster_at, board_at)


def known_of_task(task: OpenTask) -> dict[str, Any]:
    """What must be equal; an attempt under way gets its whole time again from a new dispatcher."""
    names = (
        "tenant",
        "requires",
        "priority",
        "timeout_seconds",
        "not_before",
        "deadline",
        "status",
    )
    more = ("version", "attempt", "agent_id", "due_at")
    known = {name: getattr(task, name) for name in names + more}
    if task.status == TaskStatus.QUEUED:
        known["queued_at"] = task.queued_at
    return known


def known_of_agent(agent: KnownAgent) -> dict[str, Any]:
    names = ("tenant", "capabilities", "slots", "standing", "online", "version")
    known = {name: getattr(agent, name) for name in names}
    return known | {"held": {task_id: lease.attempt for task_id, lease in agent.held.items()}}


def known_of(floor: Floor) -> dict[str, Any]:
    return {
        "tasks": {task_id: known_of_task(task) for task_id, task in floor.tasks.items()},
        "agents": {agent_id: known_of_agent(agent) for agent_id, agent in floor.agents.items()},
        "ready": order_of(floor.ready),
    }


def order_of(ready: ReadyQueue) -> list[Any]:
    order = []
    lines = list(ready.lines())
    while best := ready.take_best(lines):
        order.append(best)
    return order


async def fold_the_rest(stage: Stage, floor: Floor, after: int) -> None:
    dispatcher = stage.a_dispatcher(floor)
    records = await asyncio.to_thread(stage.log.read, after=after, limit=100_000)
    for start in range(0, len(records), 7):
        page = [(record, stage.log.decode(record)) for record in records[start : start + 7]]
        await dispatcher.handle(page)
    floor.hold_outstanding(stage.clock())


def test_a_floor_that_begins_midway_equals_the_one_that_never_stopped(
    database: Database, rng: random.Random
) -> None:
    async def play(stage: Stage) -> None:
        begun: list[tuple[Floor, int]] = []
        moments = sorted(rng.sample(range(10, 400), 6))
        for number, command in enumerate(a_story(rng, NOON, length=400)):
            if number in moments:
                await asyncio.to_thread(rng.choice(stage.models[:2]).catch_up)
                begun.append(await floor_from_read_models(stage))
            stage.clock.move(seconds=rng.choice([0, 0, 0.5, 2]))
            await stage.commands.execute_many([command])
        await stage.known()

        for floor, after in begun:
            await fold_the_rest(stage, floor, after)

        expected = known_of(stage.floor)
        assert len(begun) == 6
        assert expected["tasks"]
        for floor, _ in begun:
            assert known_of(floor) == expected
        await agrees_with_the_log(stage, expected)

    played(database, play)


async def agrees_with_the_log(stage: Stage, known: dict[str, Any]) -> None:
    queued = {task_id for _, task_id in known["ready"]}
    for task_id, card in known["tasks"].items():
        task = await stage.task(task_id)
        assert (task.status, task.version, task.attempt) == (
            card["status"],
            card["version"],
            card["attempt"],
        )
        assert (task_id in queued) == (task.status is TaskStatus.QUEUED)
        holders = {a for a, agent in known["agents"].items() if task_id in agent["held"]}
        assert holders == ({task.agent_id} if task.status in LEASED else set())


def test_folding_the_same_page_again_changes_nothing(
    database: Database, rng: random.Random
) -> None:
    async def play(stage: Stage) -> None:
        for command in a_story(rng, NOON, length=150):
            await stage.commands.execute_many([command])
        once, twice = (Floor(lease=LEASE, ageing_seconds=60) for _ in range(2))

        await fold_the_rest(stage, once, 0)
        await fold_the_rest(stage, twice, 0)
        await fold_the_rest(stage, twice, 0)

        ended = {one for one in twice.tasks if one not in once.tasks}
        assert not ended
        assert known_of(twice) == known_of(once)

    played(database, play)


def test_an_event_that_was_folded_before_does_not_come_back(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id, start=True)
        await stage.execute(ReportReleased, task_id=task_id, agent_id=agent_id, attempt=1)
        await stage.execute(DrainAgent, agent_id=agent_id)
        await stage.execute(ResumeAgent, agent_id=agent_id)

        for record in await asyncio.to_thread(stage.log.read, after=0, limit=100):
            await stage.dispatcher.handle([(record, stage.log.decode(record))])
            task, agent = stage.floor.tasks[task_id], stage.floor.agents[agent_id]
            assert (task.status, agent.held, len(stage.floor.ready)) == ("queued", {}, 1)
            assert agent.standing is Standing.ACTIVE

    played(database, play)


def test_a_new_dispatcher_settles_ties_as_the_former_would_have(database: Database) -> None:
    async def play(stage: Stage) -> None:
        awaiting = await stage.submit(approval=True)
        at_once = await stage.submit()
        await stage.execute(ApproveTask, task_id=awaiting)
        await asyncio.to_thread(stage.project)

        floor, _ = await floor_from_read_models(stage)

        order = [task_id for _, task_id in order_of(floor.ready)]
        assert order == [task_id for _, task_id in order_of(stage.floor.ready)]
        assert order == [at_once, awaiting]

    played(database, play)


def test_a_lease_that_was_outstanding_gets_a_whole_term_from_a_new_dispatcher(
    database: Database,
) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        await asyncio.to_thread(stage.project)
        stage.clock.move(seconds=1_000)

        floor, _ = await floor_from_read_models(stage)

        assert floor.agents[agent_id].held[task_id].expires_at == stage.clock() + LEASE
        assert floor.tasks[task_id].assigned_at == stage.clock()

    played(database, play)


def test_a_holder_that_was_not_yet_on_the_roster_is_found(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        board, _, _ = stage.models
        await asyncio.to_thread(board.catch_up)

        floor, after = await floor_from_read_models(stage)
        assert (floor.agents, after) == ({}, 0)
        await fold_the_rest(stage, floor, after)

        assert list(floor.agents[agent_id].held) == [task_id]

    played(database, play)


def test_every_lease_is_renewed_when_nobody_could_be_heard_of(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        stage.clock.move(seconds=29)

        stage.floor.renew_all(stage.clock())

        assert stage.floor.agents[agent_id].held[task_id].expires_at == stage.clock() + LEASE

    played(database, play)


def test_what_falls_due_is_told_once_and_again_when_asked_to(database: Database) -> None:
    async def play(stage: Stage) -> None:
        task_id = await stage.submit(not_before=NOON + MINUTE)
        floor = stage.floor

        assert list(floor.due(NOON + MINUTE / 2)) == []
        (task,) = floor.due(NOON + MINUTE)
        assert list(floor.due(NOON + MINUTE)) == []
        floor.come_back_to(task, NOON + 2 * MINUTE)

        assert [one.task_id for one in floor.due(NOON + 2 * MINUTE)] == [task_id]

    played(database, play)


def test_a_grant_is_known_before_the_log_tells_of_it(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register(slots=1)
        await stage.submit()
        await stage.submit()

        answer = await stage.lease(agent_id, slots=9, wait_seconds=LONG)
        held_at_once = len(stage.floor.agents[agent_id].held)
        await stage.known()

        assert len(answer.leases) == held_at_once == len(stage.floor.agents[agent_id].held) == 1

    played(database, play)
