"""Follows the log on the event loop: every event once, in order, soon after its commit."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

import structlog
from eventsourcing.domain import AggregateEvent

from application.duties import cancelled
from application.ports import EventLog, Page, UnreadableEvent
from application.watermarks import LOG, Watermarks
from domain.errors import DatabaseUnavailable

PAGE_EVENTS = 1_000
WAIT_SECONDS = 5.0
AWAY_PAUSE_SECONDS = 0.2
PAUSE_SECONDS_MAX = 0.005
"""However long a page took to hand over, the next one waits no longer than this for company."""

DISPATCHED, SHOWN = "dispatched", "shown"
"""The watermarks of what was handed to the dispatcher and to the hub of this process."""

log = structlog.get_logger("follower")


class Pages(Protocol):
    """What is followed: see Feed."""

    def recent(self, *, after: int, limit: int) -> Page:
        """What memory holds of what follows on a position."""

    def read(self, *, after: int, limit: int) -> Page:
        """What follows on a position. Raises DatabaseUnavailable, UnreadableEvent."""


class Unjudged:
    """Pages for those who hand events on and need not understand them.

    An event of a later version of ours, which this one cannot read, is None.
    """

    def __init__(self, feed: Pages, log: EventLog) -> None:
        self._feed = feed
        self._log = log

    def recent(self, *, after: int, limit: int) -> Page:
        """As the feed has it."""
        return self._feed.recent(after=after, limit=limit)

    def read(self, *, after: int, limit: int) -> Page:
        """As the feed has it, or else as it stands in the log. Raises DatabaseUnavailable."""
        try:
            return self._feed.read(after=after, limit=limit)
        except UnreadableEvent:
            records = self._log.read(after=after, limit=limit)
            return [(record, cast("AggregateEvent", None)) for record in records]


class LogFollower:
    """Reads on from a position and hands over page after page; its watermark tells how far.

    Where a page takes about as long to hand over whatever it holds, a `pause` between two pages, as
    a share of the time that the former one took, makes them fewer and larger. What comes later than
    that is handed over at once.
    """

    def __init__(
        self,
        feed: Pages,
        watermarks: Watermarks,
        handle: Callable[[Page], Awaitable[None]],
        *,
        name: str,
        after: int,
        pause: float = 0.0,
    ) -> None:
        self.position = after
        self._name = name
        self._feed = feed
        self._watermarks = watermarks
        self._handle = handle
        self._pause = pause
        self._pauses_until = 0.0

    async def catch_up(self) -> None:
        """Hand over everything that stands in the log. Raises DatabaseUnavailable,
        UnreadableEvent."""
        while page := await asyncio.to_thread(self._read):
            await self._hand_over(page)

    async def follow(self) -> None:
        """Go on for ever, through outages of the database. Raises UnreadableEvent."""
        while not cancelled():
            try:
                await self._watermarks.reached(LOG, self.position + 1, timeout_seconds=WAIT_SECONDS)
                while self.position < self._watermarks.position(LOG):
                    await self._gather()
                    page = self._feed.recent(after=self.position, limit=PAGE_EVENTS)
                    page = page or await asyncio.to_thread(self._read)
                    if not page:
                        break
                    await self._hand_over(page)
            except DatabaseUnavailable:
                await asyncio.sleep(AWAY_PAUSE_SECONDS)

    async def _gather(self) -> None:
        seconds = self._pauses_until - time.monotonic()
        if seconds > 0:
            await asyncio.sleep(seconds)

    async def _hand_over(self, page: Page) -> None:
        began = time.monotonic()
        await self._handle(page)
        ended = time.monotonic()
        self._pauses_until = ended + min(self._pause * (ended - began), PAUSE_SECONDS_MAX)
        self.position = page[-1][0].position
        self._watermarks.advance(self._name, self.position)

    def _read(self) -> Page:
        return self._feed.read(after=self.position, limit=PAGE_EVENTS)
