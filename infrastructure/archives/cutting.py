"""Where an archive is cut: from a position or a time to the last event that is restored."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from application.archives.chain import Chain
from application.archives.manifest import FileEntry
from application.archives.restores import BeforeHistory, BeyondArchive
from infrastructure.archives.event_rows import Events
from infrastructure.archives.files import Files
from infrastructure.archives.head_rows import POSTGRES_EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The last event: its position, how many there are up to it, and when it was recorded."""

    position: int
    size: int
    at: datetime


def cut_of(chain: Chain, files: Files, *, position: int | None, time: datetime | None) -> Cut:
    """The last event up to a position or a time, or of the whole archive.

    Raises BeyondArchive, BeforeHistory, BadArchive, BadIdentity, RepositoryUnavailable.
    """
    entries, newest = chain.files("events"), chain.newest
    last_at = entries[-1].last_at
    assert last_at is not None, "the manifest has it of events"
    whole = Cut(position=newest.last, size=newest.size, at=last_at)
    if position is not None:
        if position > newest.last:
            raise BeyondArchive(f"Position {position}", newest.last)
        if position < entries[0].first:
            raise BeforeHistory(f"position {position}", entries[0].first)
        return whole if position == newest.last else _by_position(files, entries, position)
    if time is None:
        return whole
    if time > newest.taken_at:
        raise BeyondArchive(time.isoformat(), newest.last)
    first_at = entries[0].first_at
    if first_at is None or time < first_at:
        raise BeforeHistory(time.isoformat(), entries[0].first)
    return whole if time >= last_at else _by_time(files, entries, time)


def _by_position(files: Files, entries: Sequence[FileEntry], position: int) -> Cut:
    at = bisect_right([entry.first for entry in entries], position) - 1
    events = files.events(entries[at])
    return _cut(entries, at, events, bisect_right(events.positions, position))


def _by_time(files: Files, entries: Sequence[FileEntry], time: datetime) -> Cut:
    moment = (time.astimezone(UTC) - POSTGRES_EPOCH) // timedelta(microseconds=1)
    at = max(n for n, entry in enumerate(entries) if entry.first_at and entry.first_at <= time)
    events = files.events(entries[at])
    return _cut(entries, at, events, bisect_right(events.times, moment))


def _cut(entries: Sequence[FileEntry], at: int, events: Events, count: int) -> Cut:
    return Cut(
        position=events.positions[count - 1],
        size=sum(entry.count for entry in entries[:at]) + count,
        at=POSTGRES_EPOCH + timedelta(microseconds=events.times[count - 1]),
    )
