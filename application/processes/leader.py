"""The one process that projects, dispatches and sweeps; another takes over when it dies."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID

import structlog

from application.duties import cancelled
from application.erasure.disclosure import Disclosure
from application.feed import Feed
from application.follower import DISPATCHED, LogFollower
from application.live.output import OutputRelay
from application.ports import Clock, EventLog, Json, Vitals
from application.processes.dispatch import Dispatcher, Terms
from application.processes.floor import Floor, KnownAgent, OpenTask
from application.processes.sweep import Sweep
from application.projections.upkeep import ReadModelUpkeep
from application.watermarks import LOG, Watermarks
from application.workforce import Attempt, HeartbeatAnswer, LeaseAnswer, Output
from application.writer import Commands
from domain.errors import AggregateNotFound, ControlPlaneError, DatabaseUnavailable, OnStandby
from domain.routing import Policy
from domain.task import Task

LOCK_CHECK_SECONDS = 1.0
VITALS_SECONDS = 1.0
CATCH_UP_SECONDS = 2.0

AnswerT = TypeVar("AnswerT")

log = structlog.get_logger("leader")


class LeaderLock(Protocol):
    """A lock that one process holds, and loses with its connection to PostgreSQL."""

    def acquire(self) -> bool:
        """Whether this process holds it now. Raises DatabaseUnavailable."""

    def held(self) -> bool:
        """Whether it is still held."""

    def release(self) -> None:
        """Give it up."""


class FloorSource(Protocol):
    """What a dispatcher begins with, and where the vitals it hears go."""

    async def open_tasks(self) -> tuple[int, list[OpenTask]]:
        """Tasks that have not ended, with the checkpoint they are true of. Raises
        DatabaseUnavailable."""

    async def known_agents(self, now: datetime) -> tuple[int, list[KnownAgent]]:
        """All agents, with a checkpoint they are no older than. Raises DatabaseUnavailable."""

    async def inputs(self, task_ids: Sequence[UUID]) -> dict[UUID, Json]:
        """What the tasks were submitted with. Raises DatabaseUnavailable."""

    async def put_vitals(self, vitals: Sequence[Vitals]) -> None:
        """Keep the newest readings. Raises DatabaseUnavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that dispatching follows."""

    lease: timedelta
    heartbeat_seconds: float
    offline: timedelta
    ageing_seconds: float
    policy: Policy


class Leader:
    """Implements `application.workforce.Workforce` while it leads; on standby it refuses with
    OnStandby. `also` is what else only the leader does: begun with each term, cancelled at its
    end."""

    def __init__(
        self,
        *,
        lock: LeaderLock,
        event_log: EventLog,
        feed: Feed,
        source: FloorSource,
        upkeep: ReadModelUpkeep,
        commands: Commands,
        clock: Clock,
        watermarks: Watermarks,
        rules: Rules,
        relay: OutputRelay,
        also: Sequence[Callable[[], Coroutine[None, None, None]]] = (),
        disclosure: Disclosure,
    ) -> None:
        self.upkeep = upkeep
        self.dispatcher: Dispatcher | None = None
        self._lock = lock
        self._log = event_log
        self._feed = feed
        self._source = source
        self._commands = commands
        self._clock = clock
        self._watermarks = watermarks
        self._rules = rules
        self._relay = relay
        self._also = also
        self._disclosure = disclosure
        self._follower: LogFollower | None = None

    @property
    def leading(self) -> bool:
        """Whether this process dispatches now."""
        return self.dispatcher is not None

    async def run(self) -> None:
        """Lead whenever the lock can be had, until cancelled."""
        try:
            while not cancelled():
                try:
                    if await asyncio.to_thread(self._lock.acquire):
                        # A task of its own: on Python 3.11 a group that failed leaves its task
                        # looking cancelled.
                        await asyncio.create_task(self._lead())
                except DatabaseUnavailable:
                    log.debug("no_database")
                except Exception:  # the runner: a bug in leading must not end it silently
                    log.exception("leading_failed")
                await asyncio.sleep(LOCK_CHECK_SECONDS / 2)
        finally:
            # It may be being asked for on its thread, for as long as a connection takes.
            await asyncio.to_thread(self._lock.release)

    async def heartbeat(
        self,
        tenant: str,
        agent_id: UUID,
        *,
        cpu: float | None,
        memory: float | None,
        queue: int,
        running: Sequence[Attempt],
    ) -> HeartbeatAnswer:
        """See Workforce. Raises AggregateNotFound, AgentRetired, OnStandby."""
        if running:
            # What was cancelled before the worker asked, it hears of now and not next time.
            await self._caught_up()
        return await self._ask(
            lambda dispatcher: dispatcher.heartbeat(
                tenant, agent_id, cpu=cpu, memory=memory, queue=queue, running=running
            )
        )

    async def lease(
        self, tenant: str, agent_id: UUID, *, slots: int, wait_seconds: float
    ) -> LeaseAnswer:
        """See Workforce. Raises AggregateNotFound, AgentRetired, OnStandby."""
        return await self._ask(
            lambda dispatcher: dispatcher.lease(
                tenant, agent_id, slots=slots, wait_seconds=wait_seconds
            )
        )

    async def output(
        self, tenant: str, agent_id: UUID, pieces: Sequence[Output]
    ) -> list[ControlPlaneError | None]:
        """See Workforce. Raises AggregateNotFound, AgentRetired, OnStandby, DatabaseUnavailable."""
        # An attempt whose end is committed says nothing more.
        await self._caught_up()
        return await self._ask(
            lambda dispatcher: self._relay.relay(dispatcher.agent(tenant, agent_id), pieces)
        )

    async def _ask(self, ask: Callable[[Dispatcher], Awaitable[AnswerT]]) -> AnswerT:
        try:
            return await ask(self._present_dispatcher())
        except AggregateNotFound:
            # An agent that was registered this very moment may not have come round the log yet.
            if not await self._caught_up():
                raise
        return await ask(self._present_dispatcher())

    def _present_dispatcher(self) -> Dispatcher:
        if self.dispatcher is None:
            raise OnStandby("Another process dispatches at the moment.")
        return self.dispatcher

    async def _caught_up(self) -> bool:
        """Wait until the floor knows all that was committed here; False when it did before.

        Raises OnStandby, since where nobody dispatches it would be waited for in vain.
        """
        self._present_dispatcher()
        head = self._watermarks.position(LOG)
        if self._watermarks.position(DISPATCHED) >= head:
            return False
        return await self._watermarks.reached(DISPATCHED, head, timeout_seconds=CATCH_UP_SECONDS)

    async def _lead(self) -> None:
        log.info("leading")
        try:
            self.upkeep.start()
            dispatcher, sweep = await self._prepare()
            async with asyncio.TaskGroup() as tasks:
                assert self._follower is not None
                await self._follower.catch_up()
                dispatcher.floor.hold_outstanding(self._clock())
                self.dispatcher = dispatcher
                tasks.create_task(self._follower.follow())
                tasks.create_task(dispatcher.run())
                tasks.create_task(sweep.run())
                tasks.create_task(self._keep_vitals(dispatcher.floor))
                tasks.create_task(self._watch_lock())
                for work in self._also:
                    tasks.create_task(work())
        except* (LockLost, DatabaseUnavailable):
            log.warning("no_longer_leading")
        finally:
            former, self.dispatcher = self.dispatcher, None
            if former is not None:
                former.release_all()
            self._lock.release()
            await asyncio.to_thread(self.upkeep.stop)

    async def _prepare(self) -> tuple[Dispatcher, Sweep]:
        rules, now = self._rules, self._clock()
        floor = Floor(lease=rules.lease, ageing_seconds=rules.ageing_seconds)
        roster_at, agents = await self._source.known_agents(now)
        floor.agents = {agent.agent_id: agent for agent in agents}
        board_at, tasks = await self._source.open_tasks()
        for task in tasks:
            floor.open(task, now=now)
        epoch = (await asyncio.to_thread(self._log.store)).epoch
        dispatcher = Dispatcher(
            floor,
            self._commands,
            self._clock,
            terms=Terms(lease=rules.lease, heartbeat_seconds=rules.heartbeat_seconds),
            policy=rules.policy,
            epoch=epoch,
            load_task=self._task,
            load_inputs=self._inputs,
        )
        after = min(roster_at, board_at)
        self._follower = LogFollower(
            self._feed, self._watermarks, dispatcher.handle, name=DISPATCHED, after=after
        )
        sweep = Sweep(floor, self._commands, self._clock, offline=rules.offline, epoch=epoch)
        return dispatcher, sweep

    async def _task(self, task_id: UUID) -> Task:
        """From the log itself: a board that lags or stands still must keep nothing from being
        done."""
        task = await asyncio.to_thread(self._log.load, task_id)
        assert isinstance(task, Task), f"{task_id} was retried and is no task"
        return task

    async def _inputs(self, task_ids: Sequence[UUID]) -> dict[UUID, Json]:
        return await self._disclosure.inputs(await self._source.inputs(task_ids))

    async def _watch_lock(self) -> None:
        while True:
            await asyncio.sleep(LOCK_CHECK_SECONDS)
            if not await asyncio.to_thread(self._lock.held):
                raise LockLost

    async def _keep_vitals(self, floor: Floor) -> None:
        kept: dict[UUID, datetime] = {}
        while not cancelled():
            await asyncio.sleep(VITALS_SECONDS)
            fresh = [
                agent
                for agent in floor.agents.values()
                if agent.heard_of and kept.get(agent.agent_id) != agent.last_heard_at
            ]
            with suppress(DatabaseUnavailable):
                await self._source.put_vitals([_vitals(agent) for agent in fresh])
                kept.update((agent.agent_id, agent.last_heard_at) for agent in fresh)


class LockLost(Exception):
    """The lock's connection is gone, and with it the right to lead."""


def _vitals(agent: KnownAgent) -> Vitals:
    return Vitals(
        agent_id=agent.agent_id,
        cpu=agent.cpu,
        memory=agent.memory,
        queue=agent.queue,
        last_heard_at=agent.last_heard_at,
    )
