"""The sweep: what nobody reports has to be looked for. Leases that ran out, attempts that took too
long, tasks that fell due, deadlines that passed, agents that fell silent."""

import asyncio
import itertools
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import structlog

from application.commands import Command
from application.commands.agents import TakeOffline
from application.commands.tasks import (
    ExpireLease,
    MakeTaskDue,
    MissDeadline,
    ReportReleased,
    TimeOutAttempt,
)
from application.cursor import Cursor
from application.duties import cancelled
from application.ports import Clock
from application.processes import origin_of
from application.processes.floor import Floor, KnownAgent, OpenTask
from application.receipt import Receipt
from application.writer import Commands
from domain.agent import Standing
from domain.errors import ControlPlaneError, Unavailable
from domain.task_shape import TaskStatus

SWEEP_SECONDS = 0.25
TIMEOUT_GRACE = timedelta(seconds=5)
"""A worker keeps its own time limit; this is how much later the control plane steps in."""
AGAIN = timedelta(seconds=1)
COMMANDS_MAX = 1_000

log = structlog.get_logger("sweep")


class Sweep:
    """Looks at the floor several times a second and gives the commands that are due."""

    def __init__(
        self, floor: Floor, commands: Commands, clock: Clock, *, offline: timedelta, epoch: int
    ) -> None:
        self._floor = floor
        self._commands = commands
        self._clock = clock
        self._offline = offline
        self._epoch = epoch

    async def run(self) -> None:
        """Sweep for ever."""
        while not cancelled():
            await self.once()
            await asyncio.sleep(SWEEP_SECONDS)

    async def once(self) -> None:
        """Give every command that is due now. What the database kept from happening is due
        again."""
        now = self._clock()
        everything = itertools.chain(self._silent(now), self._late(now), self._due_tasks(now))
        # Taken one by one: what is left out must not have been marked as done.
        commands = list(itertools.islice(everything, COMMANDS_MAX))
        if not commands:
            return
        outcomes: Sequence[Receipt | ControlPlaneError]
        try:
            outcomes = await self._commands.execute_many(commands)
        except Unavailable as error:
            outcomes = [error] * len(commands)
        for command, outcome in zip(commands, outcomes, strict=True):
            if isinstance(outcome, Unavailable):
                self._put_off(command)
            elif isinstance(outcome, Exception):
                log.info("overtaken", command=type(command).__name__, reason=str(outcome))

    def _put_off(self, command: Command) -> None:
        """The database was away, and so nobody could be heard of: all get another term."""
        if isinstance(command, TakeOffline):
            agent = self._floor.agents[command.agent_id]
            agent.online, agent.last_heard_at = True, self._clock()
        elif isinstance(command, ExpireLease):
            self._floor.renew_all(self._clock())

    def _due_tasks(self, now: datetime) -> Iterator[Command]:
        for task in self._floor.due(now):
            late = task.deadline is not None and task.deadline <= now
            waits = task.status == TaskStatus.SCHEDULED
            if not late and not (waits and task.due_at and task.due_at <= now):
                continue
            # Until the log tells that it happened, ask again: the command may have been refused
            # by a database that was away.
            self._floor.come_back_to(task, now + AGAIN)
            origin = origin_of("timer", task.tenant, causation_id=self._cause(task))
            command = MissDeadline if late else MakeTaskDue
            yield command(origin=origin, task_id=task.task_id)

    def _late(self, now: datetime) -> Iterator[Command]:
        """What agents hold and should not hold any longer."""
        for agent in self._floor.agents.values():
            yield from self._held_too_long(agent, now)

    def _held_too_long(self, agent: KnownAgent, now: datetime) -> Iterator[Command]:
        for task_id, lease in list(agent.held.items()):
            task = self._floor.tasks.get(task_id)
            if task is None or task.attempt > lease.attempt:
                del agent.held[task_id]
            elif agent.standing is Standing.RETIRED:
                yield ReportReleased(
                    origin=origin_of(
                        "presence", task.tenant, causation_id=self._retirement(agent, task)
                    ),
                    task_id=task_id,
                    agent_id=agent.agent_id,
                    attempt=lease.attempt,
                )
            elif lease.expired(now):
                yield ExpireLease(
                    origin=origin_of("lease_expiry", task.tenant, causation_id=self._cause(task)),
                    task_id=task_id,
                    attempt=lease.attempt,
                )
            elif _timed_out(task, now):
                agent.must_stop(task_id, lease.attempt)
                yield TimeOutAttempt(
                    origin=origin_of("time_limit", task.tenant, causation_id=self._cause(task)),
                    task_id=task_id,
                    agent_id=agent.agent_id,
                    attempt=lease.attempt,
                    retry_jitter=secrets.randbelow(1_000) / 1_000,
                )

    def _silent(self, now: datetime) -> Iterator[Command]:
        for agent in self._floor.agents.values():
            if agent.online and agent.last_heard_at + self._offline < now:
                # Marked at once: until the log tells, it would be found silent again and again.
                agent.online = False
                origin = origin_of("presence", agent.tenant, causation_id=None)
                yield TakeOffline(
                    origin=origin, agent_id=agent.agent_id, last_heard_at=agent.last_heard_at
                )

    def _retirement(self, agent: KnownAgent, task: OpenTask) -> str:
        if agent.retired_by is None:
            return self._cause(task)
        return str(Cursor(self._epoch, agent.retired_by))

    def _cause(self, task: OpenTask) -> str:
        return str(Cursor(self._epoch, task.position))


def _timed_out(task: OpenTask, now: datetime) -> bool:
    # A worker that keeps its lease and never says that it began is bound by the limit as well.
    began = task.started_at or task.assigned_at
    limit = timedelta(seconds=task.timeout_seconds) + TIMEOUT_GRACE
    return began is not None and now > began + limit
