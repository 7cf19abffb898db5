"""What nobody reports is found: leases, time limits, moments, deadlines, silence."""

import asyncio
from typing import Any

import psycopg
import pytest

from application.commands.tasks import ReportFailed, ReportProgress, SubmitTask
from application.ids import uuid7
from application.processes import sweep as sweep_module
from domain.retry import BACKOFF_FIRST
from domain.task_shape import TaskStatus
from tests.application.stage import LONG, Stage, played
from tests.conftest import Database
from tests.given import MINUTE, NOON, a_specification, by


def test_a_lease_expires_after_silence_and_the_task_is_offered_again(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id, other = await stage.register("a"), await stage.register("b")
        task_id = await stage.leased(agent_id, start=True)

        await stage.pass_time(29.9)
        assert (await stage.task(task_id)).status is TaskStatus.RUNNING
        await stage.pass_time(0.1)
        answer = await stage.lease(other, wait_seconds=LONG)

        assert [(one.grant.task_id, one.grant.attempt) for one in answer.leases] == [(task_id, 2)]
        (event,) = await stage.events("task.lease_expired")
        assert (event.agent_id, event.attempt, event.last_attempt) == (agent_id, 1, False)
        assert stage.floor.agents[agent_id].held == {}

    played(database, play)


def test_heartbeats_renew_the_leases_they_name_and_no_others(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        kept, forgotten = await stage.leased(agent_id), await stage.leased(agent_id)

        for _ in range(4):
            await stage.pass_time(10)
            await stage.heartbeat(agent_id, (kept, 1), (forgotten, 9))

        assert (await stage.task(kept)).status is TaskStatus.ASSIGNED
        assert (await stage.task(forgotten)).status is TaskStatus.QUEUED

    played(database, play)


def test_the_last_lease_that_expires_fails_the_task(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id, max_attempts=1)

        await stage.pass_time(30)

        assert (await stage.story(task_id))[-2:] == ["task.lease_expired", "task.failed"]
        assert stage.floor.tasks == {}

    played(database, play)


def test_an_attempt_that_takes_too_long_fails_and_its_worker_is_told(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id, start=True, timeout_seconds=10)

        await stage.pass_time(15)
        assert (await stage.task(task_id)).status is TaskStatus.RUNNING
        await stage.pass_time(0.1)
        answer = await stage.heartbeat(agent_id, (task_id, 1))

        (event,) = await stage.events("task.attempt_failed")
        assert (event.code, event.attempt) == ("timeout", 1)
        assert event.retry_at is not None
        assert [(one.task_id, one.attempt) for one in answer.cancel] == [(task_id, 1)]

    played(database, play)


@pytest.mark.parametrize("report", [None, ReportProgress])
def test_a_worker_that_never_says_that_it_began_is_bound_by_the_time_limit_as_well(
    database: Database, report: Any
) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id, timeout_seconds=10)
        if report:
            await stage.execute(report, task_id=task_id, agent_id=agent_id, attempt=1, fraction=0.1)

        await stage.pass_time(10)
        await stage.heartbeat(agent_id, (task_id, 1))
        await stage.pass_time(6)

        assert [event.code for event in await stage.events("task.attempt_failed")] == ["timeout"]

    played(database, play)


def test_a_scheduled_task_is_queued_at_its_moment_and_not_before(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.submit(not_before=NOON + MINUTE)

        await stage.pass_time(59.9)
        assert list((await stage.lease(agent_id)).leases) == []
        await stage.pass_time(0.1)
        answer = await stage.lease(agent_id, wait_seconds=LONG)

        assert [one.grant.task_id for one in answer.leases] == [task_id]
        assert await stage.story(task_id) == ["task.submitted", "task.queued", "task.assigned"]

    played(database, play)


def test_a_failed_attempt_is_tried_again_after_the_wait_that_its_event_names(
    database: Database,
) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        failure = {"code": "boom", "message": "It broke.", "retry_jitter": 0.0}
        await stage.execute(ReportFailed, task_id=task_id, agent_id=agent_id, attempt=1, **failure)

        await stage.pass_time(BACKOFF_FIRST.total_seconds() - 0.001)
        assert (await stage.task(task_id)).status is TaskStatus.SCHEDULED
        await stage.pass_time(0.001)

        assert (await stage.task(task_id)).status is TaskStatus.QUEUED
        (event,) = await stage.events("task.attempt_failed")
        assert event.retry_at == NOON + BACKOFF_FIRST

    played(database, play)


@pytest.mark.parametrize(
    "changes", [{}, {"not_before": NOON + MINUTE}, {"approval": True}], ids=str
)
def test_a_task_that_waits_past_its_deadline_fails(database: Database, changes: Any) -> None:
    async def play(stage: Stage) -> None:
        task_id = await stage.submit(deadline=NOON + 2 * MINUTE, **changes)

        await stage.pass_time(119)
        await stage.pass_time(1)

        task = await stage.task(task_id)
        assert task.status is TaskStatus.FAILED
        assert [event.code for event in await stage.events("task.failed")] == ["deadline_missed"]
        assert stage.floor.tasks == {}
        assert len(stage.floor.ready) == 0

    played(database, play)


def test_the_worker_of_a_task_that_missed_its_deadline_is_told(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id, deadline=NOON + 20 * MINUTE / 60)

        await stage.pass_time(20)
        answer = await stage.heartbeat(agent_id, (task_id, 1))

        assert [one.task_id for one in answer.cancel] == [task_id]

    played(database, play)


def test_a_silent_agent_goes_offline_once_and_comes_back_when_it_is_heard(
    database: Database,
) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        await stage.heartbeat(agent_id)
        await stage.known()

        await stage.pass_time(30)
        await stage.pass_time(0.1)
        await stage.pass_time(100)
        await stage.heartbeat(agent_id)
        await stage.known()

        came, went = "agent.came_online", "agent.went_offline"
        assert await stage.story(agent_id) == ["agent.registered", came, went, came]
        (event,) = await stage.events("agent.went_offline")
        assert event.last_heard_at == NOON

    played(database, play)


def test_what_is_due_is_all_done_even_when_it_is_more_than_one_sweep_can_do(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "COMMANDS_MAX", 3)

    async def play(stage: Stage) -> None:
        agents = [await stage.register(f"agent-{n}", slots=1) for n in range(4)]
        tasks = [await stage.leased(agent_id, max_attempts=1) for agent_id in agents]
        late = [await stage.submit(kind="x", deadline=NOON + MINUTE) for _ in range(4)]
        due = [await stage.submit(not_before=NOON + MINUTE) for _ in range(4)]

        stage.clock.move(MINUTE)
        for _ in range(12):
            stage.clock.move(seconds=1)
            await stage.swept()

        assert (await stage.story()).count("agent.went_offline") == 4
        ends = [(await stage.task(task_id)).status for task_id in [*tasks, *late]]
        assert set(ends) == {TaskStatus.FAILED}
        assert {(await stage.task(one)).status for one in due} == {TaskStatus.QUEUED}

    played(database, play)


def test_sweeping_again_before_the_log_has_told_does_nothing_twice(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        stage.clock.move(seconds=30)

        await asyncio.gather(stage.sweep.once(), stage.sweep.once(), stage.sweep.once())
        await stage.known()
        await stage.swept()

        assert (await stage.story(task_id)).count("task.lease_expired") == 1

    played(database, play)


def test_what_an_agent_that_left_held_is_forgotten_with_the_task(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register(slots=1)
        task_id = await stage.leased(agent_id)
        await stage.complete(agent_id, task_id)
        assert stage.floor.agents[agent_id].held == {}

        await stage.submit()
        assert len((await stage.lease(agent_id, wait_seconds=LONG)).leases) == 1

    played(database, play)


def test_a_snapshot_that_cannot_be_kept_spoils_no_answer(database: Database) -> None:
    async def play(stage: Stage) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        with psycopg.connect(database.owner_url) as owner:
            owner.execute("SET search_path = musterroll")
            owner.execute(
                "CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " RAISE EXCEPTION 'away' USING ERRCODE = 'query_canceled'; END $$"
            )
            owner.execute("CREATE TRIGGER away BEFORE INSERT ON snapshots EXECUTE FUNCTION away()")

        def progress() -> ReportProgress:
            stage.clock.move(seconds=1)
            return ReportProgress(
                origin=by(), task_id=task_id, agent_id=agent_id, attempt=1, fraction=0.5
            )

        while (await stage.commands.execute(progress())).version < 99:
            pass
        others = [
            SubmitTask(origin=by(), task_id=uuid7(), specification=a_specification())
            for _ in range(100)
        ]
        outcomes = await stage.commands.execute_many([*others[:50], progress(), *others[50:]])

        assert [one for one in outcomes if isinstance(one, Exception)] == []
        assert (await stage.task(task_id)).version == 100

    played(database, play)


def test_a_family_has_at_most_eight_generations_of_parents(database: Database) -> None:
    async def play(stage: Stage) -> None:
        parent = await stage.submit()
        for _ in range(8):
            parent = await stage.submit(parent_id=parent)

        refused = SubmitTask(
            origin=by(), task_id=uuid7(), specification=a_specification(parent_id=parent)
        )
        (outcome,) = await stage.commands.execute_many([refused])

        assert getattr(outcome, "code", None) == "too_deep"

    played(database, play)
