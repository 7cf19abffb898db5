"""The rows of events in a segment: what each has to be, to stand in a log."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, NoReturn

import orjson

from application.archives.faults import BadArchive
from application.archives.manifest import FileEntry
from application.ports import UnreadableEvent
from domain.catalogue import EVENTS
from infrastructure.mapper import EventReader

STATE_BYTES_PLAIN = 2**20
"""A state that is larger is looked at before it is read: as JSON, 16 MiB can become 400."""
STATE_VALUES_MAX = 500_000
SHAPES_MAX = 1_000
TEXTS_MAX = 10_000
TIME_MAX = 250_000_000_000_000_000
"""In microseconds since 2000: some years before the last that Python knows."""
NULL = 0xFFFFFFFF

_LENGTH = struct.Struct(">I")
_FIRST = struct.Struct(">IHIqI16sIqI")
"""The length of the row, the number of columns, position, aggregate_id, version, each with its
length before it, and the length of the topic."""
_IDS = struct.Struct(">I16xI16xI")
"""command_id and correlation_id, and the length of causation_id."""
_LAST = struct.Struct(">IqI")
"""recorded_at, and the length of the state."""


EventRow = tuple[int, int, bytes, int, bytes, int, bytes]
"""Where it ends in the body; position, aggregate_id, version, topic, recorded_at (microseconds
since 2000) and state of an event."""


@dataclass(slots=True)
class Events:
    """What the events of a segment tell of themselves: where their rows end in its body and the
    hashes of these, positions and times (microseconds since 2000), and each aggregate's first and
    last version among them."""

    ends: list[int] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    firsts: dict[bytes, int] = field(default_factory=dict)
    lasts: dict[bytes, int] = field(default_factory=dict)


class EventCheck:
    """Looks at events, segment by segment. One for each thread."""

    def __init__(self) -> None:
        self._shapes = {topic.encode(): Shapes(topic) for topic in EVENTS}
        self._texts: set[bytes] = set()

    def look_at(self, plain: bytes, entry: FileEntry) -> Events:
        """The events of a segment, once all of them were looked at. Raises BadArchive: `byte` is
        one of the body as it was before compression."""
        found = Events()
        self._walk(plain, entry, found)
        if len(found.leaves) != entry.count:
            message = f"It holds {len(found.leaves)} rows, not {entry.count}"
            raise BadArchive("count_differs", message, file=entry.name)
        if (found.positions[0], found.positions[-1]) != (entry.first, entry.last):
            message = "Its positions begin or end elsewhere"
            raise BadArchive("positions_disordered", message, file=entry.name)
        if not 0 <= found.times[0] <= found.times[-1] <= TIME_MAX:
            message = "Its times are none that there may be"
            raise BadArchive("positions_disordered", message, file=entry.name)
        return found

    def _walk(self, plain: bytes, entry: FileEntry, found: Events) -> None:
        """What is looked at of every event costs; so this is one loop without calls of ours."""
        former, former_at = 0, -(2**63)
        shapes, load, hashed, begin = self._shapes, orjson.loads, sha256, 0
        add_leaf, add_position = found.leaves.append, found.positions.append
        add_time, firsts, lasts = found.times.append, found.firsts, found.lasts
        add_end = found.ends.append
        for end, position, aggregate, version, topic, at, state in self.rows(plain, entry):
            shape = shapes.get(topic)
            if shape is None:
                _unknown_topic(topic, entry, begin)
            try:
                members = tuple(read := load(state))
                newest = shape.ending is None or state.endswith(shape.ending)
                if not newest or members not in shape.accepted or type(read) is not dict:
                    shape.accept(read, state)
            except (ValueError, TypeError, UnreadableEvent) as error:
                _bad_state(error, entry, begin)
            if position <= former or at < former_at:
                _disordered(entry, begin)
            add_position(former := position)
            add_time(former_at := at)
            before = lasts.get(aggregate)
            if before is None:
                firsts[aggregate] = version
            elif version != before + 1:
                gap(aggregate, before, version, entry.name, begin)
            lasts[aggregate] = version
            add_leaf(hashed(plain[begin + 4 : end]).digest())
            add_end(end)
            begin = end

    def rows(self, plain: bytes, entry: FileEntry) -> Iterator[EventRow]:
        """The rows of a body, taken apart. Raises BadArchive."""
        return _rows(plain, entry, self._texts)


class Shapes:
    """The members that states of a topic were found to have."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._seen: set[tuple[Any, ...]] = set()
        version = getattr(EVENTS[topic], "class_version", 1)
        self.ending = b',"class_version":%d}' % version if version > 1 else None
        self.accepted: set[tuple[str, ...]] = set()

    @cached_property
    def _reader(self) -> EventReader:
        # Made for a topic that is met: each takes some milliseconds.
        return EventReader(EVENTS[self._topic], self._topic)

    def accept(self, read: Any, state: bytes) -> None:
        """A state of members that were not seen yet is read as if to be worked with; what has the
        same ones after it, as JSON alone. Raises UnreadableEvent, TypeError."""
        if type(read) is not dict:
            raise UnreadableEvent("it is no JSON object")
        shape = (*read, read.get("class_version"))
        if shape in self._seen:
            return
        self._reader.read(state)
        if len(self._seen) < SHAPES_MAX:
            self._seen.add(shape)
            self.accepted.add(shape[:-1])


def _rows(plain: bytes, entry: FileEntry, texts: set[bytes]) -> Iterator[EventRow]:
    first_of, length_of = _FIRST.unpack_from, _LENGTH.unpack_from
    ids_of, last_of, end = _IDS.unpack_from, _LAST.unpack_from, len(plain)
    begin = at = 0
    try:
        while at < end:
            begin = at
            size, columns, a, position, b, aggregate, c, version, topic_size = first_of(plain, at)
            if columns != 12 or a != 8 or b != 16 or c != 8:
                _bad_row("Its first columns are others", entry, begin)
            about = at = begin + 54 + topic_size
            topic = plain[begin + 54 : at]
            at += 4 + length_of(plain, at)[0]
            at += 4 + length_of(plain, at)[0]
            if plain[about:at] not in texts:
                _accept_texts(plain, (about, at), entry, texts)
            a, b, causation_size = ids_of(plain, at)
            at += 44
            if causation_size != NULL:
                causation = plain[at : at + causation_size]
                if 0 in causation or not causation.isascii():
                    _check_text(plain, at, causation_size, entry)
                at += causation_size
            (trace_size,) = length_of(plain, at)
            at += 4
            if trace_size != NULL:
                _check_text(plain, at, trace_size, entry)
                at += trace_size
            c, recorded_at, state_size = last_of(plain, at)
            state_at = at + 16
            at = begin + 4 + size
            if a != 16 or b != 16 or c != 8 or state_at + state_size != at or at > end:
                _bad_row("Its columns are of other lengths", entry, begin)
            if state_size > STATE_BYTES_PLAIN:
                _check_size(plain[state_at:at], entry, state_at)
            yield at, position, aggregate, version, topic, recorded_at, plain[state_at:at]
    except struct.error:
        _bad_row("The last row is cut", entry, begin)


def _accept_texts(plain: bytes, part: tuple[int, int], entry: FileEntry, texts: set[bytes]) -> None:
    """Tenant and actor, with their lengths: there are few, so they are looked at once."""
    at, end = part
    for _ in range(2):
        size = _LENGTH.unpack_from(plain, at)[0]
        _check_text(plain, at + 4, size, entry)
        at += 4 + size
    if len(texts) < TEXTS_MAX:
        texts.add(plain[part[0] : end])


def gap(
    aggregate: bytes, before: int, version: int, file: str, byte: int | None = None
) -> NoReturn:
    """Raises BadArchive."""
    message = f"Version {version} of {aggregate.hex()} follows on {before}"
    raise BadArchive("versions_gap", message, file=file, byte=byte)


def _check_text(plain: bytes, at: int, size: int, entry: FileEntry) -> None:
    """PostgreSQL takes UTF-8 without zeros."""
    text = plain[at : at + size]
    if len(text) != size or 0 in text:
        _bad_row("A text is none", entry, at)
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            _bad_row("A text is not UTF-8", entry, at)


def _check_size(state: bytes, entry: FileEntry, at: int) -> None:
    """Of a large state: no JSON has more values than this."""
    if state.count(b",") + state.count(b"[") + state.count(b"{") > STATE_VALUES_MAX:
        message = f"A state holds more than {STATE_VALUES_MAX} values"
        raise BadArchive("bad_state", message, file=entry.name, byte=at)


def _bad_row(message: str, entry: FileEntry, at: int) -> NoReturn:
    raise BadArchive("bad_row", message, file=entry.name, byte=at)


def _bad_state(error: Exception, entry: FileEntry, at: int) -> NoReturn:
    message = f"A state is not that of its topic: {str(error)[:200]}"
    raise BadArchive("bad_state", message, file=entry.name, byte=at) from error


def _unknown_topic(topic: bytes, entry: FileEntry, at: int) -> NoReturn:
    message = f"There is no event {topic[:100]!r}"
    raise BadArchive("unknown_topic", message, file=entry.name, byte=at)


def _disordered(entry: FileEntry, at: int) -> NoReturn:
    message = "A position or time does not rise"
    raise BadArchive("positions_disordered", message, file=entry.name, byte=at)
