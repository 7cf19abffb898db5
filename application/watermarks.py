"""How far the log and the read models have come, for those who wait to see what they wrote."""

import asyncio
import heapq
import itertools
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

SOON_SECONDS = 0.05
"""Somebody waits to see what they wrote: where another process projects, look it up this often."""
EVENTUALLY_SECONDS = 1.0
"""Somebody waits for whatever comes: another node's commits are found at least this often."""
LOG = "log"


class Watermarks:
    """Positions by name (a read model's, or LOG), told from any thread, awaited on one event
    loop."""

    def __init__(
        self,
        look_up: Callable[[str], Awaitable[int]],
        *,
        awaited: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._look_up = look_up
        self._awaited = awaited
        self._lock = threading.Lock()
        self._positions: dict[str, int] = {}
        self._waiters: dict[str, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._numbers = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop on which it is awaited."""
        self._loop = loop

    def position(self, name: str) -> int:
        """The newest position that was told in this process, 0 before the first."""
        return self._positions.get(name, 0)

    def advance(self, name: str, position: int) -> None:
        """Tell that something came to a position. From any thread; never back."""
        with self._lock:
            if position <= self._positions.get(name, 0):
                return
            self._positions[name] = position
            awaited = bool(self._waiters.get(name))
        if awaited and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._release, name)

    async def reached(
        self,
        name: str,
        position: int,
        *,
        timeout_seconds: float,
        poll_seconds: float = EVENTUALLY_SECONDS,
    ) -> bool:
        """Wait until it came to a position; False when the time is over.

        What this process is told, it knows at once; what others do, it looks up every
        `poll_seconds`. Raises DatabaseUnavailable when it has to be looked up and cannot be.
        """
        if self.position(name) >= position:
            return True
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        self._awaited(name)
        with self._told(name, position) as told:
            while self.position(name) < position:
                remaining = deadline - asyncio.get_running_loop().time()
                if remaining <= 0:
                    return False
                done, _ = await asyncio.wait([told], timeout=min(remaining, poll_seconds))
                if not done:
                    self.advance(name, await self._look_up(name))
        return True

    @contextmanager
    def _told(self, name: str, position: int) -> Iterator["asyncio.Future[None]"]:
        """A future that is done when this process is told of the position."""
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = position, next(self._numbers), told
        with self._lock:
            heapq.heappush(self._waiters.setdefault(name, []), waiter)
        try:
            yield told
        finally:
            # Who waits no longer is forgotten: on a quiet log nobody would ever be released.
            with self._lock:
                waiters = self._waiters[name]
                if waiter in waiters:
                    waiters.remove(waiter)
                    heapq.heapify(waiters)

    def _release(self, name: str) -> None:
        with self._lock:
            waiters, position = self._waiters[name], self._positions[name]
            while waiters and waiters[0][0] <= position:
                heapq.heappop(waiters)[2].set_result(None)
