"""Follows the log on the event loop: every event once, in order, soon after its commit."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from application.feed import Feed
from application.ports import Page
from application.watermarks import LOG, Watermarks
from domain.errors import DatabaseUnavailable

PAGE_EVENTS = 1_000
WAIT_SECONDS = 5.0
AWAY_PAUSE_SECONDS = 0.2

FOLLOWED = "followed"
"""The watermark of what was handed over in this process."""

log = structlog.get_logger("follower")


class LogFollower:
    """Reads on from a position and hands over page after page."""

    def __init__(
        self,
        feed: Feed,
        watermarks: Watermarks,
        handle: Callable[[Page], Awaitable[None]],
        *,
        after: int,
    ) -> None:
        self.position = after
        self._feed = feed
        self._watermarks = watermarks
        self._handle = handle

    async def catch_up(self) -> None:
        """Hand over everything that stands in the log. Raises DatabaseUnavailable,
        UnreadableEvent."""
        while page := await asyncio.to_thread(self._read):
            await self._hand_over(page)

    async def follow(self) -> None:
        """Go on for ever, through outages of the database. Raises UnreadableEvent."""
        while True:
            try:
                await self._watermarks.reached(LOG, self.position + 1, timeout_seconds=WAIT_SECONDS)
                while self.position < self._watermarks.position(LOG):
                    page = self._feed.recent(after=self.position, limit=PAGE_EVENTS)
                    page = page or await asyncio.to_thread(self._read)
                    if not page:
                        break
                    await self._hand_over(page)
            except DatabaseUnavailable:
                await asyncio.sleep(AWAY_PAUSE_SECONDS)

    async def _hand_over(self, page: Page) -> None:
        await self._handle(page)
        self.position = page[-1][0].position
        self._watermarks.advance(FOLLOWED, self.position)

    def _read(self) -> Page:
        return self._feed.read(after=self.position, limit=PAGE_EVENTS)
