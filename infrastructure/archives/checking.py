"""Segments of events looked at one by one, here or in other processes, for one tree of all."""

from array import array
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from uuid import UUID

from application.archives.faults import BadArchive
from application.archives.manifest import FileEntry
from application.seals.ports import NODE_HEIGHT_MIN
from domain.merkle import Node, Part, Stretch
from infrastructure.archives.ahead import in_order, processes
from infrastructure.archives.encryption import DataKey, OneKey
from infrastructure.archives.event_rows import EventCheck, Events
from infrastructure.archives.files import Files
from infrastructure.archives.segment import Opened, open_segment
from infrastructure.archives.versions import AGGREGATES_MAX

FETCHED_AHEAD = 2
"""Segments, on a thread: what is fetched, hashed, decrypted and decompressed meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How the events of an archive are looked at: by so many processes besides this one when more
    than one, with so many aggregates in memory, and the rest in temporary files of a folder."""

    processes: int = 1
    aggregates_max: int = AGGREGATES_MAX
    folder: Path | None = None


ALONE = Effort()


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """A segment of events and its place in the log: `start` events stand before it. What is found
    is told up to each of `sizes` of the log, which rise and end where it does; with `kept`, also
    what a store keeps of it."""

    entry: FileEntry
    start: int
    sizes: Sequence[int]
    store_id: UUID
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Up to a size of the log: the nodes over the events since the stop before, and the position
    and time (microseconds since 2000) of the last. Where they are kept, the leaves since then, and
    the nodes over leaves of the segment alone that they complete."""

    size: int
    parts: Sequence[Part]
    position: int
    recorded_at: int
    leaves: bytes = b""
    nodes: dict[Node, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A segment that is in order by itself: what it adds to the tree, when its first event was
    recorded, and each aggregate's first and last version in it. Where it is kept, `ends` are those
    of its rows in its body."""

    entry: FileEntry
    stops: Sequence[Stop]
    first_at: int
    firsts: dict[bytes, int]
    lasts: dict[bytes, int]
    ends: Sequence[int] = ()


@dataclass(slots=True)
class Fetched:
    """The file of a portion, and the key that opens it. It is opened where it is first asked to
    be, and travels closed between processes."""

    portion: Portion
    content: bytes = field(repr=False)
    key: DataKey | None
    _opened: Opened | None = field(default=None, repr=False)

    def opened(self) -> Opened:
        """Decrypted and decompressed. Raises BadArchive."""
        if self._opened is None:
            entry, store_id = self.portion.entry, self.portion.store_id
            keys = OneKey(self.key)
            self._opened = open_segment(self.content, entry, keys, store_id=store_id)
        return self._opened


class PortionCheck:
    """Looks at segments of events, one after another. One for each thread."""

    def __init__(self) -> None:
        self._events = EventCheck()

    def look_at(self, fetched: Fetched) -> Looked:
        """Raises BadArchive."""
        portion = fetched.portion
        entry = portion.entry
        events = self._events.look_at(fetched.opened().plain, entry)
        stretch = Stretch(portion.start, events.leaves)
        if stretch.own_root != entry.root:
            raise BadArchive("root_differs", "Its events are others", file=entry.name)
        sizes = pairwise([portion.start, *portion.sizes])
        return Looked(
            entry=entry,
            stops=[_stop(portion, events, stretch, begin, size) for begin, size in sizes],
            first_at=events.times[0],
            firsts=events.firsts,
            lasts=events.lasts,
            ends=array("I", events.ends) if portion.kept else (),
        )


def looked_at(
    files: Files, portions: Iterator[Portion], effort: Effort
) -> Generator[tuple[Looked, Fetched]]:
    """Every portion, in order: looked at here, with what the rows come out of on a thread, or in
    other processes altogether. To be closed. Raises BadArchive, BadIdentity,
    RepositoryUnavailable."""

    def fetch(portion: Portion) -> Fetched:
        return Fetched(portion, *files.with_key(portion.entry))

    def fetch_opened(portion: Portion) -> Fetched:
        fetched = fetch(portion)
        fetched.opened()
        return fetched

    with ExitStack() as closing:
        threads = closing.enter_context(ThreadPoolExecutor(1))
        if effort.processes == 1:
            check = PortionCheck()
            for fetched in in_order(threads, fetch_opened, portions, ahead=FETCHED_AHEAD):
                yield check.look_at(fetched), fetched
            return
        pool = processes(effort.processes)
        closing.callback(pool.shutdown, cancel_futures=True)
        away: deque[Fetched] = deque()

        def coming() -> Iterator[Fetched]:
            for fetched in in_order(threads, fetch, portions, ahead=FETCHED_AHEAD):
                away.append(fetched)
                yield fetched

        for looked in in_order(pool, look_at_fetched, coming(), ahead=2 * effort.processes):
            yield looked, away.popleft()


def look_at_fetched(fetched: Fetched) -> Looked:
    """The whole of it, in a process that does nothing else. Raises BadArchive."""
    return _check.look_at(fetched)


_check = PortionCheck()


def _stop(portion: Portion, events: Events, stretch: Stretch, begin: int, size: int) -> Stop:
    first, last = begin - portion.start, size - portion.start - 1
    kept = portion.kept
    return Stop(
        size=size,
        parts=stretch.parts(begin, size),
        position=events.positions[last],
        recorded_at=events.times[last],
        leaves=b"".join(events.leaves[first : last + 1]) if kept else b"",
        nodes=stretch.nodes(begin, size, above=NODE_HEIGHT_MIN - 1) if kept else {},
    )
