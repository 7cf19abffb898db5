"""One segment of events looked at by itself, here or in another process, for one tree of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from application.archives.faults import BadArchive
from application.archives.manifest import FileEntry
from domain.merkle import Part, Stretch
from infrastructure.archives.encryption import DataKey, OneKey
from infrastructure.archives.event_rows import EventCheck
from infrastructure.archives.segment import Opened, open_segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """A segment of events and its place in the log: `start` events stand before it. What is found
    is told up to each of `sizes` of the log, which rise and end where it does."""

    entry: FileEntry
    start: int
    sizes: Sequence[int]
    store_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Up to a size of the log: the nodes over the events since the stop before, and the position
    and time (microseconds since 2000) of the last."""

    size: int
    parts: Sequence[Part]
    position: int
    recorded_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A segment that is in order by itself: what it adds to the tree, when its first event was
    recorded, and each aggregate's first and last version in it."""

    entry: FileEntry
    stops: Sequence[Stop]
    first_at: int
    firsts: dict[bytes, int]
    lasts: dict[bytes, int]


class PortionCheck:
    """Looks at segments of events, one after another. One for each thread."""

    def __init__(self) -> None:
        self._events = EventCheck()

    def look_at(self, portion: Portion, opened: Opened) -> Looked:
        """Raises BadArchive."""
        entry = portion.entry
        events = self._events.look_at(opened.plain, entry)
        stretch = Stretch(portion.start, events.leaves)
        if stretch.own_root != entry.root:
            raise BadArchive("root_differs", "Its events are others", file=entry.name)
        stops, former = [], portion.start
        for size in portion.sizes:
            last = size - portion.start - 1
            stops.append(
                Stop(
                    size=size,
                    parts=stretch.parts(former, size),
                    position=events.positions[last],
                    recorded_at=events.times[last],
                )
            )
            former = size
        return Looked(
            entry=entry,
            stops=stops,
            first_at=events.times[0],
            firsts=events.firsts,
            lasts=events.lasts,
        )


_check = PortionCheck()


def look_at_content(task: tuple[Portion, bytes, DataKey | None]) -> Looked:
    """The whole of it, in a process that does nothing else. Raises BadArchive."""
    portion, content, key = task
    opened = open_segment(content, portion.entry, OneKey(key), store_id=portion.store_id)
    return _check.look_at(portion, opened)
