"""The feed: the log as it is followed. What this process wrote is handed on from memory, decoded
already; the rest is read, and decoded once for all who follow."""

import threading
from collections import OrderedDict

from application.ports import Entry, EventLog, Page, UnreadableEvent, Written
from application.tail import Tail

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
        self._tail: Tail[Entry] = Tail(
            lambda entry: len(entry[0].state), items_max=TAIL_ENTRIES_MAX, bytes_max=TAIL_BYTES_MAX
        )
        self._reading = threading.Lock()
        self._shared: OrderedDict[tuple[int, int], Page] = OrderedDict()

    def publish(self, written: Written, page: Page) -> None:
        """Take in what was just committed."""
        if not page:
            return
        with self._lock:
            if written.head is None or written.head != self._tail.ends_at:
                self._tail.begin(written.base)
            self._tail.extend([record.position for record, _ in page], page)

    def recent(self, *, after: int, limit: int) -> Page:
        """What `read` would give, from memory alone: none when it is not there. Asks nobody."""
        with self._lock:
            return self._tail.after(after, limit) or []

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
