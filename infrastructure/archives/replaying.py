"""Folds every aggregate of an archive from its first event on, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from eventsourcing.domain import OriginatorIDError, OriginatorVersionError

from application.archives.faults import BadArchive
from application.archives.manifest import FileEntry
from application.archives.ports import Told
from application.ports import UnreadableEvent
from domain.aggregate import Aggregate
from domain.catalogue import aggregate_of
from infrastructure.archives.ahead import in_order
from infrastructure.archives.event_rows import EventCheck, EventRow
from infrastructure.archives.segment import Opened
from infrastructure.mapper import CatalogueMapper

HELD_AGGREGATES_MAX = 20_000
HELD_BYTES_MAX = 8 * 2**20
"""Of states that the aggregates in memory were folded of; in memory it is some ten times that."""
AGGREGATE_BYTES_MAX = 2**20
"""What one counts for at most: none remembers everything that ever happened to it."""
SHARES_MAX = 2**20
"""Aggregates are divided no further, should a few of them take all the room."""
_UNFOLDABLE = (
    *(UnreadableEvent, OriginatorIDError, OriginatorVersionError, AssertionError),
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
)
"""What decoding and evolving raise over states that never were of this aggregate."""


class Replaying:
    """Pass by pass. Each takes the aggregates whose id hashes to its share; once they take too much
    room, half of them are let go, for another pass."""

    def __init__(
        self,
        entries: Sequence[FileEntry],
        opened: Callable[[FileEntry], Opened],
        told: Told,
        *,
        held_max: int = HELD_AGGREGATES_MAX,
        bytes_max: int = HELD_BYTES_MAX,
    ) -> None:
        self._entries = entries
        self._opened = opened
        self._told = told
        self._held_max = held_max
        self._bytes_max = bytes_max
        self._events = EventCheck()
        self._decode = CatalogueMapper().decode
        self._total = sum(entry.count for entry in entries)
        self.passes = 0

    def run(self) -> None:
        """Raises BadArchive (`unreadable_history`), and what opening a segment raises."""
        shares = [(1, 0)]
        while shares:
            self.passes += 1
            shares += self._pass(*shares.pop())

    def _pass(self, of: int, share: int) -> list[tuple[int, int]]:
        """One of so many shares; those that are left for later."""
        held: dict[bytes, Any] = {}
        weights: dict[bytes, int] = {}
        left: list[tuple[int, int]] = []
        weight = 0
        for entry, rows in self._rows():
            for row in rows:
                aggregate = row[2]
                if hash(aggregate) % of != share:
                    continue
                held[aggregate] = self._fold(held.get(aggregate), row, entry)
                before = weights.get(aggregate, 0)
                weights[aggregate] = after = min(before + len(row[-1]), AGGREGATE_BYTES_MAX)
                weight += after - before
                while (len(held) > self._held_max or weight > self._bytes_max) and of < SHARES_MAX:
                    left.append((2 * of, share + of))
                    of *= 2
                    for one in [one for one in held if hash(one) % of != share]:
                        del held[one]
                        weight -= weights.pop(one)
        return left

    def _fold(self, aggregate: Any, row: EventRow, entry: FileEntry) -> Aggregate:
        _, position, aggregate_id, version, topic, _, state = row
        name = topic.decode()
        try:
            event: Any = self._decode(UUID(bytes=aggregate_id), version, name, state)
            if aggregate is not None and type(aggregate) is not aggregate_of(name):
                raise UnreadableEvent(f"{name} is not of its kind")
            folded: Aggregate = event.mutate(aggregate)
        except _UNFOLDABLE as error:
            message = f"The event at position {position} cannot be folded: {str(error)[:200]}"
            raise BadArchive("unreadable_history", message, file=entry.name) from error
        return folded

    def _rows(self) -> Iterator[tuple[FileEntry, Iterator[EventRow]]]:
        with ThreadPoolExecutor(1) as threads:
            done = 0
            for entry, opened in in_order(
                threads, lambda one: (one, self._opened(one)), self._entries, ahead=1
            ):
                yield entry, self._events.rows(opened.plain, entry)
                done += entry.count
                self._told("replay", done, self._total)
