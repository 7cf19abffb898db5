"""The write side, a dispatcher and a sweep on a real database, with a clock that the test moves.

The dispatcher and its follower run as in the service; the sweep looks when a test tells it to.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from application.bells import Bells
from application.commands import Command
from application.commands.agents import RegisterAgent
from application.commands.tasks import ReportCompleted, ReportStarted, SubmitTask
from application.control_plane import ControlPlane
from application.feed import Feed
from application.follower import DISPATCHED, LogFollower
from application.handlers import all_handlers
from application.ids import uuid7
from application.ports import Page, Written
from application.processes.dispatch import Dispatcher, Terms
from application.processes.floor import Floor
from application.processes.sweep import Sweep
from application.projections.runner import Projector
from application.receipt import Receipt
from application.watermarks import LOG, Watermarks
from application.workforce import Attempt, HeartbeatAnswer, LeaseAnswer
from application.writer import Commands, Writer
from domain.agent import agent_id_of
from domain.routing import POLICIES
from domain.task import Task
from infrastructure.postgres.log import PostgresLog
from infrastructure.postgres.pool import make_async_pool, make_pool
from infrastructure.postgres.read_models import PostgresReadModels
from tests.application.models import projectors_of
from tests.clock import MovableClock
from tests.conftest import Database
from tests.given import TENANT, a_specification, by

LEASE, OFFLINE = timedelta(seconds=30), timedelta(seconds=30)
FLOOR = "floor"
LONG = 30.0
ResultT = TypeVar("ResultT")


class Stage:
    """Everything that a task meets on its way, with what tests say most often."""

    def __init__(self, log: PostgresLog, source: PostgresReadModels) -> None:
        self.log = log
        self.feed = Feed(log)
        self.source = source
        self.bells = Bells()
        self.models: list[Projector] = []
        self.clock = MovableClock()
        self.watermarks = Watermarks(self._head)
        self.writer = Writer(
            ControlPlane(log, self.clock, all_handlers()), on_commit=self._committed
        )
        self.commands = Commands(self.writer)
        self.floor = Floor(lease=LEASE, ageing_seconds=60)
        self.dispatcher = self.a_dispatcher(self.floor)
        self.sweep = Sweep(self.floor, self.commands, self.clock, offline=OFFLINE, epoch=1)

    def a_dispatcher(self, floor: Floor) -> Dispatcher:
        return Dispatcher(
            floor,
            self.commands,
            self.clock,
            terms=Terms(lease=LEASE, heartbeat_seconds=10),
            policy=POLICIES["weighted_load"],
            epoch=1,
            load_task=self.task,
            load_inputs=self.source.inputs,
        )

    # What people and workers do.

    async def execute(self, kind: Callable[..., Command], **fields: Any) -> Receipt:
        """Give a command, and wait until the floor knows what came of it."""
        fields.setdefault("origin", by())
        receipt = await self.commands.execute(kind(**fields))
        await self.known()
        return receipt

    async def register(
        self,
        name: str = "reviewer",
        *,
        capabilities: tuple[str, ...] = ("review",),
        slots: int = 4,
        tenant: str = TENANT,
    ) -> UUID:
        receipt = await self.execute(
            RegisterAgent,
            origin=by(tenant=tenant),
            agent_id=agent_id_of(tenant, name),
            name=name,
            capabilities=capabilities,
            slots=slots,
            labels={},
        )
        return receipt.aggregate_id

    async def submit(self, *, tenant: str = TENANT, **changes: Any) -> UUID:
        receipt = await self.execute(
            SubmitTask,
            origin=by(tenant=tenant),
            task_id=uuid7(),
            specification=a_specification(**changes),
        )
        return receipt.aggregate_id

    async def heartbeat(
        self,
        agent_id: UUID,
        *running: tuple[UUID, int],
        cpu: float | None = 0.0,
        tenant: str = TENANT,
    ) -> HeartbeatAnswer:
        named = [Attempt(task_id=task_id, attempt=attempt) for task_id, attempt in running]
        return await self.dispatcher.heartbeat(
            tenant, agent_id, cpu=cpu, memory=0.0, queue=0, running=named
        )

    async def lease(
        self, agent_id: UUID, *, slots: int = 1, wait_seconds: float = 0, tenant: str = TENANT
    ) -> LeaseAnswer:
        return await self.dispatcher.lease(tenant, agent_id, slots=slots, wait_seconds=wait_seconds)

    async def waits(self, agent_id: UUID, *, slots: int = 1) -> "asyncio.Task[LeaseAnswer]":
        """The agent asks for leases and waits; it does so when this returns."""
        await self.heartbeat(agent_id, cpu=self.floor.agents[agent_id].cpu)
        await self.known()
        asking = asyncio.create_task(self.lease(agent_id, slots=slots, wait_seconds=LONG))
        await asyncio.sleep(0)
        return asking

    async def leased(self, agent_id: UUID, *, start: bool = False, **changes: Any) -> UUID:
        """A task that this agent holds."""
        task_id = await self.submit(**changes)
        answer = await self.lease(agent_id, wait_seconds=LONG)
        assert [one.grant.task_id for one in answer.leases] == [task_id]
        await self.known()
        if start:
            attempt = answer.leases[0].grant.attempt
            await self.execute(ReportStarted, task_id=task_id, agent_id=agent_id, attempt=attempt)
        return task_id

    async def complete(self, agent_id: UUID, task_id: UUID, attempt: int = 1) -> Receipt:
        return await self.execute(
            ReportCompleted, task_id=task_id, agent_id=agent_id, attempt=attempt, result="done"
        )

    async def pass_time(self, seconds: float) -> None:
        """Let time pass at once, then sweep."""
        self.clock.move(seconds=seconds)
        await self.swept()

    async def swept(self) -> None:
        await self.sweep.once()
        await self.known()

    # What came of it.

    async def known(self) -> None:
        """Until the floor has folded everything that is committed."""
        head = await asyncio.to_thread(self.log.head)
        assert await self.watermarks.reached(FLOOR, head, timeout_seconds=20)

    async def task(self, task_id: UUID) -> Task:
        task = await asyncio.to_thread(self.log.load, task_id)
        assert isinstance(task, Task)
        return task

    async def story(self, aggregate_id: UUID | None = None) -> list[str]:
        """The topics in the log, of one aggregate or of all."""
        records = await asyncio.to_thread(self.log.read, after=0, limit=100_000)
        return [one.topic for one in records if aggregate_id in (None, one.aggregate_id)]

    async def events(self, topic: str) -> list[Any]:
        records = await asyncio.to_thread(self.log.read, after=0, limit=100_000)
        return [self.log.decode(record) for record in records if record.topic == topic]

    def project(self) -> None:
        """Bring the read models up to the head."""
        for model in self.models:
            model.catch_up()

    # How it hangs together.

    async def _head(self, name: str) -> int:
        return self.watermarks.position(FLOOR) if name == FLOOR else await self.source.head()

    def _committed(self, written: Written, page: Page) -> None:
        self.feed.publish(written, page)
        if page:
            self.watermarks.advance(LOG, page[-1][0].position)

    async def fold(self, page: Page) -> None:
        await self.dispatcher.handle(page)
        self.watermarks.advance(FLOOR, page[-1][0].position)


@asynccontextmanager
async def a_stage(
    database: Database, *, log: Callable[[Any], PostgresLog] = PostgresLog
) -> AsyncIterator[Stage]:
    """A stage of one test's own."""
    pool = make_pool(database.url, connections_max=6)
    pool.open()
    async_pool = make_async_pool(database.url, connections_max=2)
    await async_pool.open()
    stage = Stage(log(pool), PostgresReadModels(async_pool))
    stage.models = projectors_of(pool, stage.feed, changed=stage.bells.ring)
    stage.bells.attach(asyncio.get_running_loop())
    stage.watermarks.attach(asyncio.get_running_loop())
    await stage.writer.start()
    follower = LogFollower(stage.feed, stage.watermarks, stage.fold, name=DISPATCHED, after=0)
    running = [asyncio.create_task(follower.follow()), asyncio.create_task(stage.dispatcher.run())]
    try:
        yield stage
    finally:
        for task in running:
            task.cancel()
        ended = await asyncio.gather(*running, return_exceptions=True)
        await stage.writer.stop()
        await stage.log.close()
        await async_pool.close()
        pool.close()
    assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended


def played(
    database: Database,
    play: Callable[[Stage], Coroutine[Any, Any, ResultT]],
    **options: Any,
) -> ResultT:
    """Run a test's story on a stage."""

    async def run() -> ResultT:
        async with a_stage(database, **options) as stage:
            return await play(stage)

    return asyncio.run(run())
