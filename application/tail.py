"""The newest part of something that is ordered by position, in memory."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
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
        self._ends: list[int] = []
        self._cut_bytes = 0

    def extend(self, positions: Sequence[int], items: Sequence[ItemT]) -> None:
        """Add what follows on the end."""
        self._positions.extend(positions)
        self._items.extend(items)
        ends = accumulate(map(self._size_of, items), initial=self._end)
        next(ends)
        self._ends.extend(ends)
        self.ends_at = positions[-1]
        # Rarely, and then down to half, since what is cut is moved.
        size = self._end - self._cut_bytes
        if len(self._items) > 2 * self.items_max or size > 2 * self.bytes_max:
            self._trim()

    def after(self, position: int, limit: int | None = None) -> list[ItemT] | None:
        """What follows on a position; None when that is not all here."""
        if not self.begins_after <= position <= self.ends_at:
            return None
        place = bisect_right(self._positions, position)
        return self._items[place : None if limit is None else place + limit]

    @property
    def _end(self) -> int:
        """The bytes of all that ever came since the beginning; `_ends` has the same of each."""
        return self._ends[-1] if self._ends else self._cut_bytes

    def _trim(self) -> None:
        too_many = len(self._items) - self.items_max
        too_large = bisect_left(self._ends, self._end - self.bytes_max) + 1
        if self._end - self._cut_bytes <= self.bytes_max:
            too_large = 0
        cut = max(too_many, too_large)
        self.begins_after, self._cut_bytes = self._positions[cut - 1], self._ends[cut - 1]
        del self._positions[:cut], self._items[:cut], self._ends[:cut]
