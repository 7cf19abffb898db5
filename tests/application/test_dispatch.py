"""Tasks that are ready and agents that wait are brought together, rightly and at once."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest

from application.commands.agents import ChangeAgent, DrainAgent, ResumeAgent, RetireAgent
from application.commands.tasks import (
    CancelTask,
    ReportFailed,
    ReportReleased,
    RetryTask,
)
from application.ports import KeptRequest, Record, Written
from application.processes.dispatch import Dispatcher
from application.workforce import Attempt
from domain.errors import AgentRetired, AggregateNotFound, DatabaseUnavailable
from domain.routing import recomputed_winner
from domain.task_shape import TaskStatus
from infrastructure.postgres.log import PostgresLog
from tests.application.stage import LEASE, LONG, Stage, played
from tests.conftest import Database

OTHER_TENANT = "other"


def test_a_waiting_agent_gets_the_task_and_the_log_tells_the_whole_decision(
    database: Database,
) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        asking = await stage.waits(agent_id)
        task_id = await stage.submit(input={"file": "b.py"}, labels={"a": "b"}, timeout_seconds=7)

        (lease,) = (await asking).leases

        grant = lease.grant
        assert (grant.task_id, grant.attempt, grant.kind) == (task_id, 1, "review")
        assert (grant.input, grant.labels, grant.timeout_seconds) == (
            {"file": "b.py"},
            {"a": "b"},
            7,
        )
        assert lease.expires_at == stage.clock() + LEASE
        (event,) = await stage.events("task.assigned")
        assert (event.agent_id, event.lease_expires_at) == (agent_id, lease.expires_at)
        assert recomputed_winner(event.decision) == agent_id

    played(database, play)


def test_of_those_who_wait_the_least_loaded_gets_it(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agents = [await stage.register(name) for name in ("a", "b", "c")]
        for agent_id, cpu in zip(agents, (50.0, 10.0, 90.0), strict=True):
            await stage.heartbeat(agent_id, cpu=cpu)
        asking = [await stage.waits(agent_id) for agent_id in agents]

        await stage.submit()
        await stage.submit()
        await stage.submit()
        answers = await asyncio.gather(*asking)

        assert [len(answer.leases) for answer in answers] == [1, 1, 1]
        events = await stage.events("task.assigned")
        assert [event.agent_id for event in events] == [agents[1], agents[0], agents[2]]
        assert [len(event.decision.candidates) for event in events] == [3, 2, 1]
        assert {c.agent_id: c.cpu for c in events[0].decision.candidates} == dict(
            zip(agents, (50.0, 10.0, 90.0), strict=True)
        )
        assert all(recomputed_winner(event.decision) == event.agent_id for event in events)

    played(database, play)


def test_what_an_agent_holds_counts_as_its_load(database: Database) -> None:
    async def play(stage: Stage) -> None:
        busy, idle = await stage.register("busy"), await stage.register("idle")
        await stage.leased(busy)
        both = [await stage.waits(busy), await stage.waits(idle)]

        await stage.submit()
        done, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)

        assert done == {both[1]}
        for one in waiting:
            one.cancel()

    played(database, play)


def test_the_higher_priority_goes_first(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        low, high = await stage.submit(priority=1), await stage.submit(priority=8)

        first = await stage.lease(agent_id, wait_seconds=LONG)
        second = await stage.lease(agent_id, wait_seconds=LONG)

        order = [answer.leases[0].grant.task_id for answer in (first, second)]
        assert order == [high, low]

    played(database, play)


def test_a_task_that_waited_long_enough_overtakes_a_higher_priority(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        old = await stage.submit(priority=1)
        stage.clock.move(seconds=61)
        await stage.submit(priority=2)

        answer = await stage.lease(agent_id, wait_seconds=LONG)

        assert answer.leases[0].grant.task_id == old

    played(database, play)


async def drained(stage: Stage) -> UUID:
    agent_id = await stage.register()
    await stage.execute(DrainAgent, agent_id=agent_id)
    return agent_id


async def incapable(stage: Stage) -> UUID:
    return await stage.register(capabilities=("write",))


async def half_capable(stage: Stage) -> UUID:
    return await stage.register(capabilities=("review",))


async def full(stage: Stage) -> UUID:
    agent_id = await stage.register(slots=1)
    await stage.leased(agent_id)
    return agent_id


@pytest.mark.parametrize("an_agent", [drained, incapable, half_capable, full])
def test_who_cannot_or_may_not_take_it_is_not_given_it(database: Database, an_agent: Any) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await an_agent(stage)
        task_id = await stage.submit(requires=("review", "python"))

        answer = await stage.lease(agent_id)

        assert list(answer.leases) == []
        assert "task.assigned" not in await stage.story(task_id)

    played(database, play)


def test_an_agent_of_another_tenant_is_not_given_it(database: Database) -> None:
    async def play(stage: Stage) -> None:
        stranger = await stage.register(tenant=OTHER_TENANT)
        await stage.submit()

        answer = await stage.lease(stranger, tenant=OTHER_TENANT)

        assert list(answer.leases) == []
        for asked in (stage.lease(stranger), stage.heartbeat(stranger)):
            with pytest.raises(AggregateNotFound):
                await asked

    played(database, play)


def test_a_retired_agent_is_not_served(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        asking = await stage.waits(agent_id)
        await stage.execute(RetireAgent, agent_id=agent_id)
        await stage.submit()

        for asked in (stage.lease(agent_id), stage.heartbeat(agent_id)):
            with pytest.raises(AgentRetired):
                await asked

        asking.cancel()
        assert await stage.events("task.assigned") == []

    played(database, play)


def test_a_resumed_or_retrained_agent_gets_what_waits_for_it(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register(capabilities=("write",))
        await stage.execute(DrainAgent, agent_id=agent_id)
        await stage.submit()
        asking = await stage.waits(agent_id)

        await stage.execute(ChangeAgent, agent_id=agent_id, capabilities=("write", "review"))
        assert await stage.events("task.assigned") == []
        await stage.execute(ResumeAgent, agent_id=agent_id)

        assert len((await asking).leases) == 1

    played(database, play)


def test_an_agent_is_never_given_more_than_its_slots_and_what_it_asked_for(
    database: Database,
) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register(slots=3)
        for _ in range(9):
            await stage.submit()

        two = await stage.lease(agent_id, slots=2, wait_seconds=LONG)
        one = await stage.lease(agent_id, slots=9, wait_seconds=LONG)
        none = await stage.lease(agent_id, slots=9)

        assert [len(answer.leases) for answer in (two, one, none)] == [2, 1, 0]
        await stage.complete(agent_id, two.leases[0].grant.task_id)
        assert len((await stage.lease(agent_id, slots=9, wait_seconds=LONG)).leases) == 1

    played(database, play)


def test_who_will_not_wait_gets_what_is_there_and_nothing_is_given_back(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.submit()

        answer = await stage.lease(agent_id, wait_seconds=0)

        assert [lease.grant.task_id for lease in answer.leases] == [task_id]
        assert await stage.story(task_id) == ["task.submitted", "task.assigned"]

    played(database, play)


def test_an_assignment_under_way_when_the_wait_ends_is_waited_for(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        await stage.heartbeat(agent_id)
        task_id = await stage.submit()
        with psycopg.connect(database.owner_url, autocommit=True) as slow:
            slow.execute("SELECT pg_advisory_lock(7311001)")
            asking = asyncio.create_task(stage.lease(agent_id, wait_seconds=0))
            while not any(one.over for one in requests_of(stage.dispatcher)):  # noqa: ASYNC110
                await asyncio.sleep(0.001)

        answer = await asking

        assert [lease.grant.task_id for lease in answer.leases] == [task_id]
        assert await stage.story(task_id) == ["task.submitted", "task.assigned"]

    played(database, play)


def test_what_was_granted_to_a_caller_who_left_is_given_back_at_once(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        asking = await stage.waits(agent_id)
        submitting = asyncio.create_task(stage.submit())
        while not any(one.in_flight for one in requests_of(stage.dispatcher)):  # noqa: ASYNC110
            await asyncio.sleep(0)
        asking.cancel()
        task_id = await submitting

        again = await stage.lease(agent_id, wait_seconds=LONG)

        assert (again.leases[0].grant.task_id, again.leases[0].grant.attempt) == (task_id, 2)
        story = await stage.story(task_id)
        assert story == ["task.submitted", "task.assigned", "task.released", "task.assigned"]
        assert (await stage.task(task_id)).failures == 0

    played(database, play)


def requests_of(dispatcher: Dispatcher) -> list[Any]:
    return [one for requests in dispatcher._requests.values() for one in requests]


def test_a_grant_whose_answer_was_lost_is_found_in_the_log_and_handed_out(
    database: Database,
) -> None:
    class Cut(PostgresLog):
        """The connection is cut once, after the COMMIT of an assignment got through."""

        cuts = 0

        async def append(
            self, records: Sequence[Record], requests: Sequence[KeptRequest]
        ) -> Written:
            written = await super().append(records, requests)
            if "task.assigned" in {record.topic for record in records} and not Cut.cuts:
                Cut.cuts += 1
                raise DatabaseUnavailable("cut")
            return written

    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.submit()

        answer = await stage.lease(agent_id, wait_seconds=LONG)

        assert Cut.cuts == 1
        (lease,) = answer.leases
        assert (lease.grant.task_id, lease.grant.attempt) == (task_id, 1)
        await stage.known()
        assert await stage.story(task_id) == ["task.submitted", "task.assigned"]

    played(database, play, log=Cut)


def test_a_cancelled_task_is_told_over_the_long_poll_at_once_and_once(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        asking = await stage.waits(agent_id)
        attempt = Attempt(task_id=task_id, attempt=1)

        await stage.execute(CancelTask, task_id=task_id)
        told = await asking
        once_more = await stage.lease(agent_id)

        assert list(told.cancel) == [attempt]
        assert list(told.leases) == []
        assert list(once_more.cancel) == []

    played(database, play)


def test_a_worker_that_goes_on_is_told_with_every_heartbeat_until_it_stops(
    database: Database,
) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        await stage.execute(CancelTask, task_id=task_id)

        first = await stage.heartbeat(agent_id, (task_id, 1))
        second = await stage.heartbeat(agent_id, (task_id, 1))
        stopped = await stage.heartbeat(agent_id)

        assert [len(answer.cancel) for answer in (first, second, stopped)] == [1, 1, 0]
        assert list(first.lost) == []
        assert stage.floor.agents[agent_id].cancels == {}
        assert stage.floor.agents[agent_id].told == set()

    played(database, play)


def test_the_same_task_cancelled_again_is_told_again(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id, start=True, timeout_seconds=1)
        await stage.pass_time(7)
        told = await stage.lease(agent_id)
        assert [one.attempt for one in told.cancel] == [1]
        await stage.pass_time(2)
        (lease,) = (await stage.lease(agent_id, wait_seconds=LONG)).leases
        assert lease.grant.attempt == 2

        await stage.execute(CancelTask, task_id=task_id)
        again = await stage.lease(agent_id)

        assert [one.attempt for one in again.cancel] == [2]

    played(database, play)


def test_an_attempt_that_is_no_longer_the_agents_is_lost(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id, other = await stage.register("a"), await stage.register("b")
        released = await stage.leased(agent_id)
        await stage.execute(ReportReleased, task_id=released, agent_id=agent_id, attempt=1)
        others = (await stage.lease(other, wait_seconds=LONG)).leases[0].grant.task_id
        unknown = UUID(int=7)

        answer = await stage.heartbeat(agent_id, (released, 1), (others, 2), (unknown, 1))

        lost = {(one.task_id, one.attempt) for one in answer.lost}
        assert lost == {(released, 1), (others, 2), (unknown, 1)}
        assert list(answer.cancel) == []

    played(database, play)


def test_a_worker_that_names_two_attempts_of_a_task_keeps_the_lease_on_its_newest(
    database: Database,
) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        await stage.execute(ReportReleased, task_id=task_id, agent_id=agent_id, attempt=1)
        await stage.lease(agent_id, wait_seconds=LONG)
        stage.clock.move(seconds=20)

        answer = await stage.heartbeat(agent_id, (task_id, 2), (task_id, 1))
        await stage.pass_time(15)

        assert [(one.task_id, one.attempt) for one in answer.lost] == [(task_id, 1)]
        assert (await stage.task(task_id)).status is TaskStatus.ASSIGNED

    played(database, play)


def test_a_failed_task_that_was_forgotten_is_retried(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        failure = {"code": "bad", "message": "No.", "retry_jitter": None}
        await stage.execute(ReportFailed, task_id=task_id, agent_id=agent_id, attempt=1, **failure)
        assert task_id not in stage.floor.tasks

        await stage.execute(RetryTask, task_id=task_id)
        answer = await stage.lease(agent_id, wait_seconds=LONG)

        assert [(one.grant.task_id, one.grant.attempt) for one in answer.leases] == [(task_id, 2)]
        await stage.complete(agent_id, task_id, attempt=2)
        assert (await stage.task(task_id)).status is TaskStatus.COMPLETED
        assert stage.floor.tasks == {}

    played(database, play)


def test_everybody_who_waits_is_answered_when_the_dispatcher_ends(database: Database) -> None:
    async def play(stage: Stage) -> None:
        asking = [await stage.waits(await stage.register(name)) for name in "ab"]

        stage.dispatcher.release_all()

        assert [len(answer.leases) for answer in await asyncio.gather(*asking)] == [0, 0]
        assert requests_of(stage.dispatcher) == []

    played(database, play)


def test_many_tasks_and_many_agents_meet_once_each(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agents = [await stage.register(f"agent-{n}", slots=5) for n in range(6)]
        tasks = {await stage.submit() for _ in range(30)}

        answers = await asyncio.gather(
            *(stage.lease(agent_id, slots=5, wait_seconds=LONG) for agent_id in agents)
        )
        rest = await asyncio.gather(*(stage.lease(a, slots=5) for a in agents))

        granted = [lease.grant for answer in [*answers, *rest] for lease in answer.leases]
        assert {grant.task_id for grant in granted} == tasks
        assert [grant.attempt for grant in granted] == [1] * 30
        assert all(len(agent.held) == 5 for agent in stage.floor.agents.values())

    played(database, play)
