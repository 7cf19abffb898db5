"""A writer on a database, for tests that hand commands over and look at what came of them."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from application.answers import Outcome
from application.commands import Command, RequestKey
from application.commands.tasks import AssignTask, CancelTask, SubmitTask
from application.control_plane import ControlPlane, Handler
from application.feed import Feed
from application.handlers import all_handlers
from application.ids import uuid7
from application.receipt import Receipt
from application.writer import Commands, Writer
from domain.errors import ControlPlaneError
from domain.task import Task
from infrastructure.postgres.log import Pool, PostgresLog
from infrastructure.postgres.pool import make_pool
from tests.application.loop import Loop
from tests.given import ALICE, MINUTE, NOON, a_decision, a_specification, by

ResultT = TypeVar("ResultT")
Request = tuple[Sequence[Command], RequestKey | None]


@dataclass
class Desk:
    """A writer with its log, on an event loop of its own."""

    pool: Pool
    log: PostgresLog
    feed: Feed
    writer: Writer
    commands: Commands
    loop: Loop

    def stop(self) -> None:
        """Decide what waits, then end."""
        self.loop.run(self.writer.stop())

    def execute(self, command: Command, key: RequestKey | None = None) -> Receipt:
        """One command; raises what refuses it."""
        return self.loop.run(self.commands.execute(command, key))

    def execute_many(
        self, *commands: Command, key: RequestKey | None = None
    ) -> list[Receipt | ControlPlaneError]:
        """One request."""
        return self.loop.run(self.commands.execute_many(commands, key))

    def hand_over(self, *commands: Command, key: RequestKey | None = None) -> list[Outcome]:
        """One request, with the outcomes as the writer gives them."""

        async def handed_over() -> list[Outcome]:
            return await self.writer.submit(commands, key)

        return self.loop.run(handed_over())

    def requests_at_once(self, *requests: Request) -> list[list[Outcome] | BaseException]:
        """In one batch: they are all waiting when the writer gets its turn."""

        async def at_once() -> list[list[Outcome] | BaseException]:
            answers = [self.writer.submit(commands, key) for commands, key in requests]
            return await asyncio.gather(*answers, return_exceptions=True)

        return self.loop.run(at_once())

    def execute_at_once(
        self, *commands: Command, key: RequestKey | None = None
    ) -> list[Outcome | BaseException]:
        """The same, each command a request of its own."""
        answers = self.requests_at_once(*(([command], key) for command in commands))
        return [one if isinstance(one, BaseException) else one[0] for one in answers]

    def topics(self, aggregate_id: UUID | None = None) -> list[str]:
        """What stands in the log, of one aggregate or of all."""
        records = self.log.read(after=0, limit=10_000)
        return [one.topic for one in records if aggregate_id in {None, one.aggregate_id}]

    def task(self, task_id: UUID) -> Task:
        """The task as of now."""
        task = self.log.load(task_id)
        assert isinstance(task, Task)
        return task


@contextmanager
def opened(
    url: str,
    *,
    clock: Callable[[], datetime] = lambda: NOON,
    log: Callable[[Any], PostgresLog] = PostgresLog,
    handlers: dict[type[Command], Handler] | None = None,
) -> Iterator[Desk]:
    """A desk at work."""
    with make_pool(url, connections_max=6) as pool, Loop() as loop:
        made = log(pool)
        feed = Feed(made)
        control_plane = ControlPlane(made, clock, {**all_handlers(), **(handlers or {})})
        writer = Writer(control_plane, on_commit=feed.publish)
        loop.run(writer.start())
        try:
            yield Desk(pool, made, feed, writer, Commands(writer), loop)
        finally:
            loop.run(writer.stop())
            loop.run(made.close())


def submit(task_id: UUID | None = None, **changes: Any) -> SubmitTask:
    return SubmitTask(
        origin=by(**changes), task_id=task_id or uuid7(), specification=a_specification()
    )


def cancel(task_id: UUID, **changes: Any) -> CancelTask:
    return CancelTask(origin=by(**changes), task_id=task_id)


def assign(task_id: UUID, to: UUID = ALICE) -> AssignTask:
    return AssignTask(origin=by(), task_id=task_id, decision=a_decision(to), lease=MINUTE)


def at_the_same_time(*calls: Callable[[], ResultT]) -> list[ResultT]:
    """What comes of each, when all are made at once, each on a thread of its own."""
    begin = threading.Barrier(len(calls))

    def made(call: Callable[[], ResultT]) -> ResultT:
        begin.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(made, calls))
