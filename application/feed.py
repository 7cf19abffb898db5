"""The feed: the log as it is followed. What this process wrote is handed on from memory, decoded
already; the rest is read, and decoded once for all who follow."""

import threading
from bisect import bisect_right
from collections import OrderedDict

from application.ports import Entry, EventLog, Page, UnreadableEvent, Written

TAIL_ENTRIES_MAX = 5_000
TAIL_BYTES_MAX = 32 * 2**20
PAGES_SHARED_MAX = 2
"""Read models that are folded from the log side by side read the same pages, nearly in step."""


class Feed:
    """Pages of the log, every event once and in order, for any number of followers on any thread.

    It keeps the newest part of the log, as far as this process wrote it without a gap: what another
    process writes in between begins it anew, and followers read on from the log itself.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._begins_after = 0
        self._ends_at = 0
        self._positions: list[int] = []
        self._entries: list[Entry] = []
        self._bytes = 0
        self._reading = threading.Lock()
        self._shared: OrderedDict[tuple[int, int], Page] = OrderedDict()

    def publish(self, written: Written, page: Page) -> None:
        """Take in what was just committed."""
        if not page:
            return
        with self._lock:
            if written.head is None or written.head != self._ends_at:
                self._begins_after, self._bytes = written.base, 0
                self._positions, self._entries = [], []
            for record, _ in page:
                self._positions.append(record.position)
                self._bytes += len(record.state)
            self._entries.extend(page)
            self._ends_at = self._positions[-1]
            if len(self._entries) > 2 * TAIL_ENTRIES_MAX or self._bytes > 2 * TAIL_BYTES_MAX:
                self._trim()

    def recent(self, *, after: int, limit: int) -> Page:
        """What `read` would give, from memory alone: none when it is not there. Asks nobody."""
        with self._lock:
            if not self._begins_after <= after < self._ends_at:
                return []
            place = bisect_right(self._positions, after)
            return self._entries[place : place + limit]

    def read(self, *, after: int, limit: int) -> Page:
        """Up to `limit` events that follow on a position, none when the log ends there.

        Raises DatabaseUnavailable, and UnreadableEvent once one that cannot be read is the next.
        """
        if page := self.recent(after=after, limit=limit):
            return page
        with self._reading:
            page = self._shared.get((after, limit)) or self._read(after, limit)
            # A full page stays as it is, whatever is appended later.
            if len(page) == limit:
                self._shared[after, limit] = page
                if len(self._shared) > PAGES_SHARED_MAX:
                    self._shared.popitem(last=False)
        return page

    def _read(self, after: int, limit: int) -> Page:
        entries: list[Entry] = []
        for record in self._log.read(after=after, limit=limit):
            try:
                entries.append((record, self._log.decode(record)))
            except UnreadableEvent as error:
                if not entries:
                    error.position = record.position
                    raise
                break
        return entries

    def _trim(self) -> None:
        """Down to half, so that it is rarely done."""
        kept, size = 0, 0
        for record, _ in reversed(self._entries):
            size += len(record.state)
            if kept == TAIL_ENTRIES_MAX or size > TAIL_BYTES_MAX:
                break
            kept += 1
        cut = len(self._entries) - kept
        self._begins_after = self._positions[cut - 1]
        del self._positions[:cut], self._entries[:cut]
        self._bytes = sum(len(record.state) for record, _ in self._entries)
