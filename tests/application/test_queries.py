"""What can be asked, how new the answer is, and why a task does not run."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from application import queries as queries_module
from application.commands.agents import DrainAgent, RetireAgent
from application.commands.tasks import CancelTask, ReportFailed
from application.cursor import Cursor, CursorAhead
from application.erasure.disclosure import CLOSED
from application.queries import EventFilter, Queries, TaskFilter
from application.waiting import WAITING_REASONS
from application.watermarks import LOG, Watermarks
from domain.errors import AggregateNotFound, EpochEnded, ReadModelBehind
from domain.task_shape import TaskStatus
from infrastructure.postgres.read_models import PostgresReadModels
from tests.application.stage import Stage, played
from tests.conftest import Database
from tests.given import MINUTE, NOON, TENANT

OTHER_TENANT = "other"


@dataclass
class Desk:
    """Questions about a stage, whose read models move when the test says so."""

    stage: Stage
    queries: Queries
    watermarks: Watermarks

    async def project(self) -> None:
        """As the leading process does: fold, and tell."""
        for model in self.stage.models:
            await asyncio.to_thread(model.catch_up, advanced=lambda _: None)
            name = model.projection.name
            self.watermarks.advance(name, await self.stage.source.checkpoint(name))
        self.watermarks.advance(LOG, await self.stage.source.head())

    async def reason(self, task_id: UUID) -> str | None:
        await self.project()
        return (await self.queries.task(TENANT, task_id, seen=None)).waiting_reason


def asked(database: Database, play: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
    async def run(stage: Stage) -> None:
        watermarks = Watermarks(stage.source.checkpoint)
        watermarks.attach(asyncio.get_running_loop())
        await play(
            Desk(stage, Queries(stage.source, watermarks, stage.bells, 1, CLOSED), watermarks)
        )

    played(database, run)


# Why a task does not run.


def test_the_reason_why_a_task_does_not_run_is_told(database: Database) -> None:
    async def play(desk: Desk) -> None:
        stage, told = desk.stage, []

        async def tell(task_id: UUID) -> None:
            told.append(await desk.reason(task_id))

        await tell(await stage.submit(approval=True))
        await tell(await stage.submit(not_before=NOON + MINUTE))
        waiting = await stage.submit()
        await tell(waiting)
        agent_id = await stage.register()
        await tell(waiting)
        await stage.heartbeat(agent_id)
        await stage.known()
        await tell(waiting)
        await stage.execute(DrainAgent, agent_id=agent_id)
        await tell(waiting)
        await stage.execute(RetireAgent, agent_id=agent_id)
        await tell(waiting)

        assert told == [
            "approval",
            "not_before",
            "no_capable_agent",
            "agents_offline",
            "agents_busy",
            "agents_draining",
            "no_capable_agent",
        ]
        assert set(told) | {"backing_off"} == set(WAITING_REASONS)

    asked(database, play)


def test_a_task_that_backs_off_says_so_and_one_that_runs_or_has_ended_has_no_reason(
    database: Database,
) -> None:
    async def play(desk: Desk) -> None:
        stage = desk.stage
        agent_id = await stage.register()
        task_id = await stage.leased(agent_id, start=True)
        assert await desk.reason(task_id) is None
        failure = {"code": "boom", "message": "It broke.", "retry_jitter": 0.0}
        await stage.execute(ReportFailed, task_id=task_id, agent_id=agent_id, attempt=1, **failure)
        assert await desk.reason(task_id) == "backing_off"

        await stage.execute(CancelTask, task_id=task_id)

        assert await desk.reason(task_id) is None

    asked(database, play)


def test_agents_of_another_tenant_are_no_reason(database: Database) -> None:
    async def play(desk: Desk) -> None:
        await desk.stage.register(tenant=OTHER_TENANT)

        assert await desk.reason(await desk.stage.submit()) == "no_capable_agent"

    asked(database, play)


# How new the answer is.


def test_an_answer_is_no_older_than_what_the_caller_has_seen(database: Database) -> None:
    async def play(desk: Desk) -> None:
        task_id = await desk.stage.submit()
        seen = Cursor(1, await desk.stage.source.head())

        asking = asyncio.create_task(desk.queries.task(TENANT, task_id, seen=seen))
        await asyncio.sleep(0)
        assert not asking.done()
        await desk.project()

        assert (await asking).card.task_id == task_id

    asked(database, play)


def test_a_cursor_of_another_epoch_is_refused(database: Database) -> None:
    async def play(desk: Desk) -> None:
        seen = Cursor(2, 0)

        for ask in (
            desk.queries.task(TENANT, UUID(int=1), seen=seen),
            desk.queries.tasks(TENANT, TaskFilter(), before=None, limit=1, seen=seen),
            desk.queries.task_counts(TENANT, seen=seen),
            desk.queries.agent(TENANT, UUID(int=1), seen=seen),
            desk.queries.agents(TENANT, after=None, limit=1, seen=seen),
            desk.queries.activity(TENANT, before=None, limit=1, seen=seen),
        ):
            with pytest.raises(EpochEnded, match="epoch 2, the log is in epoch 1"):
                await ask

    asked(database, play)


def test_a_model_that_does_not_come_is_not_waited_for_without_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries_module, "READ_MODEL_WAIT_SECONDS", 0.1)

    async def play(desk: Desk) -> None:
        task_id = await desk.stage.submit()
        seen = Cursor(1, await desk.stage.source.head())

        with pytest.raises(ReadModelBehind, match=f"task board has not reached {seen}"):
            await desk.queries.task(TENANT, task_id, seen=seen)

    asked(database, play)


def test_a_model_that_another_process_projects_is_looked_up(database: Database) -> None:
    async def play(desk: Desk) -> None:
        task_id = await desk.stage.submit()
        await asyncio.to_thread(desk.stage.project)
        seen = Cursor(1, await desk.stage.source.head())

        standing = await desk.queries.task(TENANT, task_id, seen=seen)

        assert standing.card.status == TaskStatus.QUEUED

    asked(database, play)


# Foreign objects do not exist.


def test_what_belongs_to_another_tenant_is_not_found(database: Database) -> None:
    async def play(desk: Desk) -> None:
        stage = desk.stage
        task_id = await stage.submit(tenant=OTHER_TENANT)
        agent_id = await stage.register(tenant=OTHER_TENANT)
        await desk.project()
        mine = Queries(stage.source, desk.watermarks, desk.stage.bells, 1, CLOSED)

        for ask in (
            mine.task(TENANT, task_id, seen=None),
            mine.agent(TENANT, agent_id, seen=None),
            mine.task_after(TENANT, task_id, version=0, wait_seconds=0, seen=None),
        ):
            with pytest.raises(AggregateNotFound):
                await ask

        everything = TaskFilter()
        assert list(await mine.tasks(TENANT, everything, before=None, limit=9, seen=None)) == []
        assert list(await mine.agents(TENANT, after=None, limit=9, seen=None)) == []
        assert list(await mine.activity(TENANT, before=None, limit=9, seen=None)) == []
        counts, _ = await mine.task_counts(TENANT, seen=None)
        assert set(counts) == set(TaskStatus)
        assert set(counts.values()) == {0}
        records, _ = await mine.events(EventFilter(tenant=TENANT), limit=9, wait_seconds=0)
        assert list(records) == []

    asked(database, play)


# Waiting for a task.


def test_a_task_that_changed_already_is_answered_at_once(database: Database) -> None:
    async def play(desk: Desk) -> None:
        task_id = await desk.stage.submit()
        await desk.project()

        standing = await desk.queries.task_after(
            TENANT, task_id, version=0, wait_seconds=30, seen=None
        )

        assert standing.card.version == 1

    asked(database, play)


def test_a_task_is_answered_as_soon_as_it_changes(database: Database) -> None:
    async def play(desk: Desk) -> None:
        task_id = await desk.stage.submit()
        await desk.project()
        asking = asyncio.create_task(
            desk.queries.task_after(TENANT, task_id, version=1, wait_seconds=30, seen=None)
        )
        await desk.stage.submit()
        await desk.project()

        await desk.stage.execute(CancelTask, task_id=task_id)
        await desk.project()

        assert (await asking).card.status == TaskStatus.CANCELLED

    asked(database, play)


def test_a_task_that_has_ended_is_not_waited_for(database: Database) -> None:
    async def play(desk: Desk) -> None:
        task_id = await desk.stage.submit()
        await desk.stage.execute(CancelTask, task_id=task_id)
        await desk.project()

        standing = await desk.queries.task_after(
            TENANT, task_id, version=2, wait_seconds=30, seen=None
        )

        assert standing.card.version == 2

    asked(database, play)


class ChangedWhileRead(PostgresReadModels):
    """The board moves on while a first answer is on its way."""

    async def task_state(self, tenant: str, task_id: UUID) -> Any:
        state = await super().task_state(tenant, task_id)
        while self.meanwhile:
            await self.meanwhile.pop()()
        return state

    meanwhile: list[Callable[[], Coroutine[Any, Any, None]]]


def test_a_change_during_the_look_is_not_waited_for_in_vain(database: Database) -> None:
    async def play(desk: Desk) -> None:
        task_id = await desk.stage.submit()
        await desk.project()

        async def change() -> None:
            await desk.stage.execute(CancelTask, task_id=task_id)
            await desk.project()

        models = ChangedWhileRead(desk.stage.source._pool)
        models.meanwhile = [change]
        queries = Queries(models, desk.watermarks, desk.stage.bells, 1, CLOSED)
        asking = queries.task_after(TENANT, task_id, version=1, wait_seconds=600, seen=None)

        standing = await asyncio.wait_for(asking, 10)

        assert standing.card.version == 2

    asked(database, play)


# Events.


def test_events_are_read_in_order_page_by_page_each_once(database: Database) -> None:
    async def play(desk: Desk) -> None:
        for _ in range(5):
            await desk.stage.submit()
        head = await desk.stage.source.head()

        after, positions = 0, []
        while after < head:
            records, after = await desk.queries.events(
                EventFilter(tenant=TENANT, after=after), limit=2, wait_seconds=0
            )
            positions += [record.position for record in records]

        assert positions == [1, 2, 3, 4, 5]

    asked(database, play)


def test_events_are_filtered_and_the_place_looked_up_to_moves_on(database: Database) -> None:
    async def play(desk: Desk) -> None:
        task_id = await desk.stage.submit()
        await desk.stage.submit()
        await desk.stage.execute(CancelTask, task_id=task_id)

        async def ask(**wanted: Any) -> tuple[list[int], int]:
            records, to = await desk.queries.events(
                EventFilter(tenant=TENANT, **wanted), limit=9, wait_seconds=0
            )
            return [record.position for record in records], to

        assert await ask(topic="task.cancelled") == ([3], 3)
        assert await ask(topic="agent.retired") == ([], 3)
        assert await ask(aggregate_id=task_id) == ([1, 3], 3)
        assert await ask(until=2) == ([1, 2], 2)
        assert await ask(after=1, until=1) == ([], 1)
        with pytest.raises(CursorAhead):
            await ask(after=9)

    asked(database, play)


def test_the_first_event_to_come_is_waited_for(database: Database) -> None:
    async def play(desk: Desk) -> None:
        wanted = EventFilter(tenant=TENANT, topic="task.cancelled")
        asking = asyncio.create_task(desk.queries.events(wanted, limit=9, wait_seconds=30))
        task_id = await desk.stage.submit()
        await desk.project()

        await desk.stage.execute(CancelTask, task_id=task_id)
        await desk.project()
        records, to = await asking

        assert [record.topic for record in records] == ["task.cancelled"]
        assert to == records[-1].position

    asked(database, play)


def test_a_past_that_is_over_is_not_waited_for(database: Database) -> None:
    async def play(desk: Desk) -> None:
        await desk.stage.submit()
        wanted = EventFilter(tenant=TENANT, topic="task.cancelled", until=1)

        assert await desk.queries.events(wanted, limit=9, wait_seconds=600) == ([], 1)

    asked(database, play)


class CommittedMeanwhile(PostgresReadModels):
    """An event is committed after the head was asked for and before the events are."""

    meanwhile: Callable[[], Coroutine[Any, Any, Any]]

    async def head(self) -> int:
        head = await super().head()
        await self.meanwhile()
        return head


def test_an_event_committed_during_the_look_is_not_read_twice(database: Database) -> None:
    async def play(desk: Desk) -> None:
        models = CommittedMeanwhile(desk.stage.source._pool)
        models.meanwhile = desk.stage.submit
        queries = Queries(models, desk.watermarks, desk.stage.bells, 1, CLOSED)

        records, to = await queries.events(EventFilter(tenant=TENANT), limit=9, wait_seconds=0)

        assert [record.position for record in records] == [1]
        assert to == 1

    asked(database, play)
