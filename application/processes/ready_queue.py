"""The tasks that could be assigned now, in the order in which they should be."""

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

Requirements = tuple[str, frozenset[str]]
"""The tenant, and the capabilities that are asked for: tasks alike in both wait in one line."""

LEFT_MAX = 1_000
"""So many tasks that left may stay in memory, or as many as wait, before they are cleared out."""


@dataclass(slots=True)
class Line:
    """Tasks that the same agents can do, best rank first; left tasks are skipped when met."""

    heap: list[tuple[float, int, UUID]] = field(default_factory=list)


class ReadyQueue:
    """Queued tasks by rank: the time they were queued, moved forward by their priority.

    One level of priority weighs as much as `ageing_seconds` of waiting. So a rank never changes
    while a task waits, and nothing starves: a task of priority 0 is overtaken by one of priority 9
    only for the first 9 x `ageing_seconds`.
    """

    def __init__(self, *, ageing_seconds: float) -> None:
        self._ageing_seconds = ageing_seconds
        self._lines: dict[Requirements, Line] = {}
        self._entries: dict[UUID, int] = {}
        self._numbers = itertools.count()
        self._left = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, task_id: UUID) -> bool:
        return task_id in self._entries

    def put(
        self, task_id: UUID, requirements: Requirements, *, priority: int, queued_at: datetime
    ) -> None:
        """Let it wait; once more changes nothing."""
        if task_id in self._entries:
            return
        number = next(self._numbers)
        rank = queued_at.timestamp() - priority * self._ageing_seconds
        self._entries[task_id] = number
        line = self._lines.setdefault(requirements, Line())
        heapq.heappush(line.heap, (rank, number, task_id))

    def discard(self, task_id: UUID) -> None:
        """It waits no longer."""
        if self._entries.pop(task_id, None) is not None:
            self._left += 1
            if self._left > max(len(self._entries), LEFT_MAX):
                self._forget_left()

    def lines(self) -> Iterator[Requirements]:
        """The requirements of the lines in which somebody waits."""
        for requirements in list(self._lines):
            if self.first(requirements) is None:
                del self._lines[requirements]
            else:
                yield requirements

    def take_best(self, lines: Iterable[Requirements]) -> tuple[Requirements, UUID] | None:
        """Remove and return the best ranked task of these lines, with its line."""
        best = None
        for requirements in lines:
            first = self.first(requirements)
            if first is not None and (best is None or first < best[0]):
                best = first, requirements
        if best is None:
            return None
        (_, _, task_id), requirements = best
        heapq.heappop(self._lines[requirements].heap)
        del self._entries[task_id]
        return requirements, task_id

    def first(self, requirements: Requirements) -> tuple[float, int, UUID] | None:
        """The head of a line; the lower, the better its rank. None when nobody waits in it."""
        line = self._lines.get(requirements)
        while line and line.heap:
            _, number, task_id = line.heap[0]
            if self._entries.get(task_id) == number:
                return line.heap[0]
            heapq.heappop(line.heap)
            self._left -= 1
        return None

    def _forget_left(self) -> None:
        """Those who left stand in the heaps until they are met, and some never would be."""
        for line in self._lines.values():
            line.heap = [one for one in line.heap if self._entries.get(one[2]) == one[1]]
            heapq.heapify(line.heap)
        self._lines = {key: line for key, line in self._lines.items() if line.heap}
        self._left = 0
