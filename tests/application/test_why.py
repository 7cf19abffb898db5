"""A task's decisions explained, from its events alone."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from application.commands.agents import RetireAgent
from application.commands.tasks import (
    ApproveTask,
    AssignTask,
    CancelTask,
    RejectTask,
    ReportCompleted,
    ReportFailed,
    ReportReleased,
    RetryTask,
)
from application.decisions import why
from application.decisions.why import Story, Why
from application.erasure.disclosure import CLOSED
from application.lane import TooMuchFolding
from domain.errors import AggregateNotFound
from domain.routing import POLICIES, Decision, Reading, decide
from infrastructure.postgres.decisions import PostgresDecisions
from infrastructure.postgres.pool import make_pool
from tests.application.stage import Stage, a_stage
from tests.conftest import Database
from tests.given import MINUTE, NOON, SECOND, TENANT, by

Play = Callable[[Stage, Callable[[UUID], Coroutine[Any, Any, Story]]], Coroutine[Any, Any, None]]


def explained(database: Database, play: Play) -> None:
    """Run a story, and let it ask why."""

    async def run() -> None:
        with make_pool(database.url, connections_max=2) as pool:
            async with a_stage(database) as stage:
                whys = Why(PostgresDecisions(pool), stage.log, CLOSED)
                await play(stage, lambda task_id: whys.of(TENANT, task_id))

    asyncio.run(run())


def texts(story: Story) -> list[str]:
    return [step.text for step in story.steps]


async def assigned(stage: Stage, task_id: UUID, decision: Decision) -> None:
    await stage.execute(AssignTask, task_id=task_id, decision=decision, lease=MINUTE)


def test_a_choice_is_told_with_who_was_considered_and_comes_out_again(database: Database) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        agents = [await stage.register(f"reviewer-{number}") for number in (1, 2, 3)]
        for agent_id, cpu in zip(agents, (90.0, 30.0, 60.0), strict=True):
            await stage.heartbeat(agent_id, cpu=cpu)
        waiting = [await stage.waits(agent_id) for agent_id in agents]
        task_id = await stage.submit()
        await waiting[1]
        await stage.complete(agents[1], task_id)

        story = await ask(task_id)

        submitted, chosen, completed = texts(story)
        assert submitted == "user/ada submitted it. It was queued at once."
        assert chosen == (
            "reviewer-2 was chosen of 3 agents by weighted_load v1: its load was 12.0, "
            "reviewer-3's 24.0, reviewer-1's 36.0. The task had waited 0 s for an agent, since its "
            "submission."
        )
        assert completed == "Attempt 1 by reviewer-2 was completed, 0 s after it was assigned."
        told = story.steps[1].explained
        assert told is not None
        assert told.reproduced is True
        assert told.again == told.decision
        assert story.names == dict(
            zip(agents, ("reviewer-1", "reviewer-2", "reviewer-3"), strict=True)
        )

    explained(database, play)


def test_ties_single_candidates_and_strangers_are_told_as_such(database: Database) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        agents = [await stage.register(name) for name in ("a", "b", "c")]
        readings = [
            Reading(agent_id=one, cpu=None, memory=None, queue=0, slots=2) for one in agents
        ]
        policy = POLICIES["least_outstanding"]
        task_id = await stage.submit()
        await assigned(stage, task_id, decide(policy, readings, seed=7))
        winner = (await ask(task_id)).steps[-1]

        assert "by least_outstanding v1: its share of slots in use was 0.0 %" in winner.text
        assert (
            "It was level with 2 others, and the lot drawn from seed 7 fell to it." in winner.text
        )

        alone = await stage.submit()
        stranger = Reading(agent_id=UUID(int=1), cpu=1, memory=1, queue=0, slots=1)
        await assigned(stage, alone, decide(POLICIES["weighted_load"], [stranger], seed=1))
        assert (
            (await ask(alone))
            .steps[-1]
            .text.startswith(
                "agent 00000000 was chosen: nobody else could do it and had room just then. By "
                "weighted_load v1 its load was 0.7."
            )
        )

    explained(database, play)


def test_of_many_candidates_the_nearest_are_named(database: Database) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        agents = [await stage.register(f"agent-{number}") for number in range(8)]
        readings = [
            Reading(agent_id=one, cpu=float(10 * place), memory=0, queue=0, slots=1)
            for place, one in enumerate(agents)
        ]
        task_id = await stage.submit()
        await assigned(stage, task_id, decide(POLICIES["weighted_load"], readings, seed=1))

        assert (
            "agent-0 was chosen of 8 agents by weighted_load v1: its load was 0.0, agent-1's 4.0, "
            "agent-2's 8.0, agent-3's 12.0, agent-4's 16.0 and 3 more."
        ) in (await ask(task_id)).steps[-1].text

    explained(database, play)


def test_a_record_that_does_not_add_up_is_told_and_an_unknown_policy_is_not_guessed(
    database: Database,
) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        agents = [await stage.register(name) for name in ("a", "b")]
        readings = [Reading(agent_id=one, cpu=1, memory=1, queue=0, slots=1) for one in agents]
        right = decide(POLICIES["weighted_load"], readings, seed=1)
        (other,) = set(agents) - {right.winner}
        rescored = tuple(replace(one, score=one.score + 1) for one in right.candidates)
        verdicts = {}
        for name, decision in {
            "right": right,
            "winner": replace(right, winner=other),
            "score": replace(right, candidates=rescored),
            "version": replace(right, policy_version=2),
            "policy": replace(right, policy="oracle"),
        }.items():
            task_id = await stage.submit()
            await assigned(stage, task_id, decision)
            told = (await ask(task_id)).steps[-1].explained
            verdicts[name] = told.reproduced

        assert verdicts == {
            "right": True,
            "winner": False,
            "score": False,
            "version": None,
            "policy": None,
        }

    explained(database, play)


def test_failures_are_told_with_the_back_off_that_was_chosen(database: Database) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id, max_attempts=2)
        failed = {"task_id": task_id, "agent_id": agent_id, "code": "boom", "message": "secret"}
        await stage.execute(ReportFailed, **failed, attempt=1, retry_jitter=0.5)
        await stage.pass_time(1)
        await stage.lease(agent_id, wait_seconds=5)
        await stage.known()
        await stage.execute(ReportFailed, **failed, attempt=2, retry_jitter=0.0)
        await stage.execute(RetryTask, task_id=task_id)
        await stage.lease(agent_id, wait_seconds=5)
        await stage.known()
        await stage.execute(ReportFailed, **failed, attempt=3, retry_jitter=None)

        told = texts(await ask(task_id))

        assert told[2] == (
            "Attempt 1 by reviewer failed (boom). It is tried again after 0.75 s, at 2026-11-23 "
            "12:00:00 UTC: the back-off after 1 failure is 1 s, of which chance may take up to "
            "half."
        )
        assert told[3] == (
            "Its time had come, and it was queued: the back-off after attempt 1 was over."
        )
        assert told[4].endswith(
            "The task had waited 0 s for an agent, since the back-off after attempt 1 was over."
        )
        assert told[5:8] == [
            "Attempt 2 by reviewer failed (boom). It was the last of 2 attempts.",
            "It failed for good (boom); somebody may retry it.",
            "user/ada gave it a new set of 2 attempts; it was queued at once.",
        ]
        assert told[9] == (
            "Attempt 3 by reviewer failed (boom). Another attempt would not help, as was reported "
            "with it."
        )
        assert not any("secret" in text for text in told)

    explained(database, play)


def test_leases_that_ran_out_and_late_reports_are_told(database: Database) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id, start=True)
        await stage.pass_time(31)
        late = {"task_id": task_id, "agent_id": agent_id, "attempt": 1, "result": None}
        assert (await stage.execute(ReportCompleted, **late)).refusal is not None

        told = texts(await ask(task_id))

        assert told[2] == (
            "Attempt 1 was taken back from reviewer, of whom nothing was heard until its lease was "
            "over; assigned until 2026-11-23 12:00:30 UTC, and longer by every heartbeat that "
            "named it. It was queued again at once."
        )
        assert told[3] == (
            "A report (completed) of attempt 1 by reviewer was refused: no attempt was under way."
        )

    explained(database, play)


def test_a_time_limit_is_told(database: Database) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id, start=True, timeout_seconds=10)
        await stage.pass_time(16)

        assert (
            "Attempt 1 by reviewer took longer than its time limit of 10 s. It is tried again after"
        ) in texts(await ask(task_id))[2]

    explained(database, play)


def test_what_was_given_back_is_told_with_by_whom(database: Database) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        await stage.execute(ReportReleased, task_id=task_id, agent_id=agent_id, attempt=1)
        await stage.lease(agent_id, wait_seconds=5)
        await stage.known()
        await stage.execute(RetireAgent, agent_id=agent_id)
        await stage.pass_time(1)

        told = texts(await ask(task_id))

        end = "It costs no attempt, and the task was queued again at once."
        assert told[2] == f"Attempt 1 was given back by reviewer. {end}"
        assert told[4] == f"Attempt 2 was taken back from reviewer, which was retired. {end}"

    explained(database, play)


def test_what_people_decide_is_told_with_who_and_why(database: Database) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        later = NOON + 10 * MINUTE
        asked = await stage.submit(approval=True, not_before=later)
        await stage.execute(ApproveTask, task_id=asked, origin=by("user/eve"))
        refused = await stage.submit(approval=True)
        await stage.execute(RejectTask, task_id=refused, reason="Not today.")
        parent = await stage.submit()
        child = await stage.submit(parent_id=parent)
        await stage.execute(CancelTask, task_id=child)
        late = await stage.submit(deadline=NOON + 5 * SECOND)
        await stage.pass_time(6)

        assert texts(await ask(asked)) == [
            "user/ada submitted it. It waits for somebody's approval.",
            "user/eve approved it. It was not to begin before 2026-11-23 12:10:00 UTC.",
        ]
        assert texts(await ask(refused))[-1] == "user/ada rejected it: Not today."
        assert texts(await ask(child)) == [
            f"user/ada submitted it as a part of task {parent}. It was queued at once.",
            "user/ada cancelled it, and gave no reason.",
        ]
        assert texts(await ask(late))[-1] == (
            "It failed: it was not done by its deadline, 2026-11-23 12:00:05 UTC."
        )

    explained(database, play)


def test_of_a_very_long_story_the_beginning_and_the_end_are_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        for attempt in range(1, 6):
            await stage.execute(ReportReleased, task_id=task_id, agent_id=agent_id, attempt=attempt)
            await stage.lease(agent_id, wait_seconds=5)
            await stage.known()
        monkeypatch.setattr(why, "STEPS_MAX", 4)

        story = await ask(task_id)

        assert story.truncated
        assert [step.record.version for step in story.steps] == [1, 10, 11, 12]

    explained(database, play)


def test_of_a_story_that_weighs_too_much_the_beginning_and_the_newest_part_are_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        task_id = await stage.submit()
        readings = [
            Reading(agent_id=UUID(int=n), cpu=None, memory=None, queue=0, slots=2)
            for n in range(1, 101)
        ]
        for attempt in range(1, 6):
            decision = decide(POLICIES["weighted_load"], readings, seed=attempt)
            await assigned(stage, task_id, decision)
            held = {"agent_id": decision.winner, "attempt": attempt}
            await stage.execute(ReportReleased, task_id=task_id, **held)
        whole = await ask(task_id)
        monkeypatch.setattr(why, "BYTES_MAX", 3 * len(whole.steps[1].record.state) // 2)

        story = await ask(task_id)

        assert (len(whole.steps), whole.truncated) == (11, False)
        assert story.truncated
        assert [step.record.version for step in story.steps] == [1, 8, 9, 10, 11]
        assert texts(story)[-1] == texts(whole)[-1]

    explained(database, play)


class Watched(PostgresDecisions):
    """Says on which threads it was asked."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self.by: list[str] = []

    def names(self, *args: Any) -> dict[UUID, str]:
        self.by.append(threading.current_thread().name)
        return super().names(*args)


def test_one_task_is_explained_at_a_time_on_a_thread_and_only_so_many_wait(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(why, "WAITING_MAX", 2)

    async def play() -> None:
        with make_pool(database.url, connections_max=2) as pool:
            async with a_stage(database) as stage:
                log = Watched(pool)
                whys = Why(log, stage.log, CLOSED)
                task_id = await stage.submit()
                asked = [whys.of(TENANT, task_id) for _ in range(5)]
                answers = await asyncio.gather(*asked, return_exceptions=True)

        assert sum(isinstance(one, TooMuchFolding) for one in answers) == 2
        assert sum(isinstance(one, Story) for one in answers) == 3
        assert len(log.by) == 3
        assert all(name.startswith("lane") for name in log.by)

    asyncio.run(play())


def test_what_is_no_task_of_the_tenant_is_not_explained(database: Database) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        theirs = await stage.submit(tenant="other")
        agent_id = await stage.register()

        for nothing in (theirs, agent_id, UUID(int=1)):
            with pytest.raises(AggregateNotFound):
                await ask(nothing)

    explained(database, play)


def test_a_task_of_many_reports_of_progress_is_explained_at_once(database: Database) -> None:
    async def play(stage: Stage, ask: Any) -> None:
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id)
        with psycopg.connect(database.owner_url) as connection:
            connection.execute("SET search_path = musterroll")
            connection.execute(
                "INSERT INTO events (aggregate_id, version, topic, state, tenant, actor, "
                "command_id, correlation_id, recorded_at) SELECT aggregate_id, 2 + n, "
                "'task.progressed', '{}', tenant, actor, command_id, correlation_id, recorded_at "
                "FROM events, generate_series(1, 50000) n WHERE aggregate_id = %s AND version = 2",
                (task_id,),
            )

        story = await ask(task_id)

        assert len(story.steps) == 2

    explained(database, play)
