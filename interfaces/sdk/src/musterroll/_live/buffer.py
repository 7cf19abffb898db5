"""Between the task that reads a connection and whoever takes what it brings."""

import asyncio
from collections import deque

from musterroll._live.frames import Item

# With more than this, the connection is not read until some of it is taken.
BUFFER_BYTES_MAX = 1024 * 1024


class Buffer:
    """Items in order, then an end. Bounded; one task puts, one takes."""

    def __init__(self) -> None:
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._end: BaseException | None = None
        self._changed = asyncio.Event()

    async def put(self, item: Item, size: int) -> None:
        """Add an item of about `size` bytes, once there is room."""
        while self._bytes >= BUFFER_BYTES_MAX:
            self._changed.clear()
            await self._changed.wait()
        self._items.append((item, size))
        self._bytes += size
        self._changed.set()

    async def take(self) -> Item:
        """The next item, once there is one. Raises what the stream ended with, again and again:
        no end of it is taken for another. A wait that is cancelled loses nothing."""
        while not self._items:
            self.raise_end()
            self._changed.clear()
            await self._changed.wait()
        item, size = self._items.popleft()
        self._bytes -= size
        self._changed.set()
        return item

    def raise_end(self) -> None:
        """Raise what the stream ended with, if it has."""
        if self._end is not None:
            raise self._end

    def end(self, why: BaseException) -> None:
        """Nothing comes any more."""
        self._end = self._end or why
        self._changed.set()
