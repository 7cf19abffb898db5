"""The newest part of something that is ordered by position, in memory."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


class Tail(Generic[ItemT]):
    """Items without a gap, from behind a position up to another; at most so many, and so large.

    Not for use on several threads without a lock.
    """

    def __init__(
        self, size_of: Callable[[ItemT], int], *, items_max: int, bytes_max: int, after: int = 0
    ) -> None:
        self._size_of = size_of
        self.items_max = items_max
        self.bytes_max = bytes_max
        self.begin(after)

    def begin(self, after: int) -> None:
        """Forget everything, and go on behind a position."""
        self.begins_after = self.ends_at = after
        self._positions: list[int] = []
        self._items: list[ItemT] = []
        self._bytes = 0

    def extend(self, positions: Sequence[int], items: Sequence[ItemT]) -> None:
        """Add what follows on the end."""
        self._positions.extend(positions)
        self._items.extend(items)
        self._bytes += sum(map(self._size_of, items))
        self.ends_at = positions[-1]
        # Rarely, and then down to half, since what is cut is moved.
        if len(self._items) > 2 * self.items_max or self._bytes > 2 * self.bytes_max:
            self._trim()

    def after(self, position: int, limit: int | None = None) -> list[ItemT] | None:
        """What follows on a position; None when that is not all here."""
        if not self.begins_after <= position <= self.ends_at:
            return None
        place = bisect_right(self._positions, position)
        return self._items[place : None if limit is None else place + limit]

    def _trim(self) -> None:
        kept, size = 0, 0
        for item in reversed(self._items):
            size += self._size_of(item)
            if kept == self.items_max or size > self.bytes_max:
                break
            kept += 1
        cut = len(self._items) - kept
        self.begins_after = self._positions[cut - 1]
        del self._positions[:cut], self._items[:cut]
        self._bytes = sum(map(self._size_of, self._items))
