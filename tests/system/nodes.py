"""Nodes on one database, as a service has them: writer, feed, follower; one of them projects."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from application.control_plane import ControlPlane
from application.feed import Feed
from application.follower import DISPATCHED, LogFollower
from application.handlers import all_handlers
from application.ports import AppendRefused, KeptRequest, Page, Record, Written
from application.projections.runner import Followed, ProjectionThread
from application.watermarks import LOG, Watermarks
from application.writer import Writer
from infrastructure.postgres.log import Pool, PostgresLog
from infrastructure.postgres.pool import make_pool
from tests.application.loop import Loop
from tests.application.models import projectors_of
from tests.given import NOON

TICK = timedelta(milliseconds=20)
CATCH_UP_SECONDS_MAX = 50
READ_SECONDS = 0.005
PAGE_EVENTS = 2_000


class TickingClock:
    """Implements `application.ports.Clock`: time passes with every look at it."""

    def __init__(self) -> None:
        self._now = NOON

    def __call__(self) -> datetime:
        """Now."""
        self._now += TICK
        return self._now


class WatchedLog(PostgresLog):
    """Counts how often another node was faster."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.refused = 0

    async def append(self, records: Sequence[Record], requests: Sequence[KeptRequest]) -> Written:
        try:
            return await super().append(records, requests)
        except AppendRefused:
            self.refused += 1
            raise


@dataclass(eq=False)
class Node:
    """A writer that is heard, and what a follower of its feed saw: positions in its order."""

    pool: Pool
    log: WatchedLog
    feed: Feed
    loop: Loop
    writer: Writer
    watermarks: Watermarks
    models: list[Followed]
    projections: ProjectionThread
    followed: list[int] = field(default_factory=list)

    async def take_in(self, page: Page) -> None:
        """What the follower hands over."""
        self.followed.extend(record.position for record, _ in page)

    def run(self, story: Coroutine[None, None, None]) -> None:
        """Run a story on the node's event loop, however long it takes."""
        over = threading.Event()

        async def begin() -> "asyncio.Task[None]":
            told = asyncio.create_task(story)
            told.add_done_callback(lambda _: over.set())
            return told

        told = self.loop.run(begin())
        over.wait()
        told.result()

    def wait_for(self, name: str, position: int) -> None:
        """Return when something here has come to a position."""
        if name != DISPATCHED:
            self.projections.wake(position)
        reached = self.watermarks.reached(name, position, timeout_seconds=CATCH_UP_SECONDS_MAX)
        assert self.loop.run(reached), f"{name} is at {self.watermarks.position(name)}"


@contextmanager
def a_node(url: str, *, projects: bool) -> Iterator[Node]:
    """A node at work. Followers and projections come to the head before it ends."""
    with make_pool(url, connections_max=6) as pool, Loop() as loop:
        log = WatchedLog(pool)
        feed = Feed(log)

        async def look_up(name: str) -> int:
            head = await asyncio.to_thread(log.head)
            return head if name == LOG else watermarks.position(name)

        def committed(written: Written, page: Page) -> None:
            feed.publish(written, page)
            if page:
                watermarks.advance(LOG, page[-1][0].position)
                projections.wake(page[-1][0].position)

        watermarks = Watermarks(look_up)
        models = [Followed(one) for one in projectors_of(pool, feed)] if projects else []
        projections = ProjectionThread(models, advanced=watermarks.advance)
        writer = Writer(ControlPlane(log, TickingClock(), all_handlers()), on_commit=committed)
        node = Node(pool, log, feed, loop, writer, watermarks, models, projections)
        follower = LogFollower(feed, watermarks, node.take_in, name=DISPATCHED, after=0)

        async def begin() -> "asyncio.Task[None]":
            watermarks.attach(asyncio.get_running_loop())
            await writer.start()
            return asyncio.create_task(follower.follow())

        async def end() -> None:
            await writer.stop()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await log.close()

        following = loop.run(begin())
        projections.start()
        try:
            yield node
        finally:
            projections.stop()
            loop.run(end())


class Reader:
    """Reads the log on and on by position, while a with statement runs: `saw` holds each event."""

    def __init__(self, log: PostgresLog) -> None:
        self.position = 0
        self.saw: list[tuple[int, UUID, int]] = []
        self._log = log
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read_on)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _read_on(self) -> None:
        over = False
        while not over:
            over = self._over.wait(READ_SECONDS)
            while page := self._log.read(after=self.position, limit=PAGE_EVENTS):
                self.saw += [(one.position, one.aggregate_id, one.version) for one in page]
                self.position = page[-1].position
