"""Where an archive is cut: from a position or a time to the last event that is restored."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from application.archives.chain import Chain
from application.archives.faults import BadArchive
from application.archives.format import FILE_BYTES_MAX
from application.archives.manifest import FileEntry
from application.archives.ports import FileMissing, Repository
from application.archives.restores import BeforeHistory, BeyondArchive
from infrastructure.archives.encryption import DataKeys
from infrastructure.archives.event_rows import EventCheck, Events
from infrastructure.archives.head_rows import POSTGRES_EPOCH
from infrastructure.archives.segment import Opened, Segment, open_segment, read_segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The last event: its position, how many there are up to it, and when it was recorded."""

    position: int
    size: int
    at: datetime


class SegmentReader:
    """Segments of one store, checked as they come. Raises BadArchive, BadIdentity,
    RepositoryUnavailable."""

    def __init__(self, repository: Repository, keys: DataKeys, store_id: UUID) -> None:
        self.repository = repository
        self.keys = keys
        self.store_id = store_id
        self._check = EventCheck()

    def content(self, entry: FileEntry) -> bytes:
        """The file as it lies there."""
        limit = min(entry.size, FILE_BYTES_MAX)
        try:
            return self.repository.get(entry.name, bytes_max=limit)
        except FileMissing as error:
            raise BadArchive("file_missing", "It is not there", file=entry.name) from error

    def opened(self, entry: FileEntry) -> Opened:
        """Decrypted and decompressed; its rows were not looked at yet."""
        return open_segment(self.content(entry), entry, self.keys, store_id=self.store_id)

    def segment(self, entry: FileEntry) -> Segment:
        """With its rows, once their root was compared."""
        return read_segment(self.content(entry), entry, self.keys, store_id=self.store_id)

    def events(self, opened: Opened, entry: FileEntry) -> Events:
        """What its events tell of themselves, once each was looked at."""
        return self._check.look_at(opened.plain, entry)


def cut_of(
    chain: Chain, reader: SegmentReader, *, position: int | None, time: datetime | None
) -> Cut:
    """The last event up to a position or a time, or of the whole archive.

    Raises BeyondArchive, BeforeHistory, and what SegmentReader raises.
    """
    files, newest = chain.files("events"), chain.newest
    last_at = files[-1].last_at
    assert last_at is not None, "the manifest has it of events"
    whole = Cut(position=newest.last, size=newest.size, at=last_at)
    if position is not None:
        if position > newest.last:
            raise BeyondArchive(f"Position {position}", newest.last)
        if position < files[0].first:
            raise BeforeHistory(f"position {position}", files[0].first)
        return whole if position == newest.last else _by_position(files, reader, position)
    if time is None:
        return whole
    if time > newest.taken_at:
        raise BeyondArchive(time.isoformat(), newest.last)
    first_at = files[0].first_at
    if first_at is None or time < first_at:
        raise BeforeHistory(time.isoformat(), files[0].first)
    return whole if time >= last_at else _by_time(files, reader, time)


def _by_position(files: list[FileEntry], reader: SegmentReader, position: int) -> Cut:
    at = bisect_right([file.first for file in files], position) - 1
    events = reader.events(reader.opened(files[at]), files[at])
    return _cut(files, at, events, bisect_right(events.positions, position))


def _by_time(files: list[FileEntry], reader: SegmentReader, time: datetime) -> Cut:
    moment = (time.astimezone(UTC) - POSTGRES_EPOCH) // timedelta(microseconds=1)
    at = max(n for n, file in enumerate(files) if file.first_at and file.first_at <= time)
    events = reader.events(reader.opened(files[at]), files[at])
    return _cut(files, at, events, bisect_right(events.times, moment))


def _cut(files: list[FileEntry], at: int, events: Events, count: int) -> Cut:
    return Cut(
        position=events.positions[count - 1],
        size=sum(file.count for file in files[:at]) + count,
        at=POSTGRES_EPOCH + timedelta(microseconds=events.times[count - 1]),
    )
