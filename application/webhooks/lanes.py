"""What a webhook has to deliver: a lane for each aggregate, in order; lanes side by side."""

import heapq
from bisect import insort
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from application.ports import Record
from application.webhooks.webhook import Letter


@dataclass(slots=True)
class Item:
    """An event to be delivered. A `parked` one is kept as a letter, and its record is read anew."""

    position: int
    aggregate_id: UUID
    due_at: datetime
    record: Record | None = None
    attempts: int = 0
    parked: bool = False
    failure: str | None = None
    failed_at: datetime | None = None

    @classmethod
    def of(cls, letter: Letter) -> "Item":
        """What a letter holds."""
        return cls(
            position=letter.position,
            aggregate_id=letter.aggregate_id,
            due_at=letter.due_at,
            attempts=letter.attempts,
            parked=True,
            failure=letter.failure,
            failed_at=letter.failed_at,
        )

    def letter(self, *, dead: bool = False) -> Letter:
        """How it is kept."""
        return Letter(
            position=self.position,
            aggregate_id=self.aggregate_id,
            attempts=self.attempts,
            due_at=self.due_at,
            dead=dead,
            failure=self.failure,
            failed_at=self.failed_at,
        )


class Lanes:
    """Pure: knows what may be delivered next, and how far everything before is settled.

    When the first of a lane has failed, all of the lane is parked, so that the others go on.
    """

    def __init__(self) -> None:
        self.parked = 0
        self._lanes: dict[UUID, deque[Item]] = {}
        self._open: dict[int, Item] = {}
        self._positions: set[int] = set()
        self._due: list[tuple[datetime, int, Item]] = []

    @property
    def open(self) -> int:
        """How many are neither settled nor parked."""
        return len(self._open)

    def add(self, item: Item) -> bool:
        """Take in one more; True when it is parked at once, behind one that has failed.

        A letter that comes back stands behind the first of its lane, which may be under way.
        """
        self._positions.add(item.position)
        lane = self._lanes.setdefault(item.aggregate_id, deque())
        newly_parked = bool(lane) and lane[0].parked and not item.parked
        insort(lane, item, lo=min(1, len(lane)), key=lambda one: one.position)
        if len(lane) == 1:
            self._expect(item)
        if newly_parked:
            item.parked, item.record = True, None
        if item.parked:
            self.parked += 1
        else:
            self._open[item.position] = item
        return newly_parked

    def take(self, now: datetime) -> Item | None:
        """The one that is due for longest, and nobody else's until it is settled or put off."""
        if not self._due or self._due[0][0] > now:
            return None
        return heapq.heappop(self._due)[2]

    def next_due_at(self) -> datetime | None:
        """When there will be something to take."""
        return self._due[0][0] if self._due else None

    def settle(self, item: Item) -> None:
        """What was taken needs nothing more; the next of its lane may follow."""
        lane = self._lanes[item.aggregate_id]
        assert lane[0] is item, "what was taken is the first of its lane"
        lane.popleft()
        self._positions.remove(item.position)
        if item.parked:
            self.parked -= 1
        else:
            del self._open[item.position]
        if lane:
            self._expect(lane[0])
        else:
            del self._lanes[item.aggregate_id]

    def put_off(self, item: Item, due_at: datetime) -> list[Item]:
        """What was taken is tried again later; its lane is parked. Those that were not before."""
        newly_parked = []
        for one in self._lanes[item.aggregate_id]:
            if not one.parked:
                one.parked, one.record = True, None
                del self._open[one.position]
                newly_parked.append(one)
        self.parked += len(newly_parked)
        self.give_back(item, due_at)
        return newly_parked

    def give_back(self, item: Item, due_at: datetime) -> None:
        """What was taken was not even tried."""
        item.due_at = due_at
        self._expect(item)

    def holds(self, position: int) -> bool:
        """Whether it is here, in whatever lane."""
        return position in self._positions

    def settled_up_to(self, read_up_to: int) -> int:
        """The position up to which nothing is open, when the log was read up to another."""
        return next(iter(self._open)) - 1 if self._open else read_up_to

    def _expect(self, item: Item) -> None:
        heapq.heappush(self._due, (item.due_at, item.position, item))
