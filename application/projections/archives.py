"""The archives, as the log knows them: one row an archive."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.ports import Record
from domain.archive import READY, VERIFIED_LEVEL_MIN, Archive, ArchiveStatus


@dataclass(slots=True, kw_only=True)
class ArchiveRow:
    """An archive. `position` and `version` are those of the newest event about it; `last` is where
    the archive itself ends, `last_at` when the event there was recorded, `size` how many events it
    holds from the first of the log on, `new_events` how many of them in files of its own.

    What is not known yet is None. `level` is the highest that it was verified at; `drilled_at` and
    `drilled_equal` are of the last drill, whatever came of it.
    """

    archive_id: UUID
    tenant: str
    type: str
    status: str
    requested_by: str
    started_at: datetime
    version: int
    position: int
    stored_at: datetime | None = None
    verified_at: datetime | None = None
    level: int | None = None
    drilled_at: datetime | None = None
    drilled_equal: bool | None = None
    expired_at: datetime | None = None
    expired_because: str | None = None
    manifest: str | None = None
    sha256: str | None = None
    epoch: int | None = None
    last: int | None = None
    last_at: datetime | None = None
    size: int | None = None
    root: str | None = None
    new_events: int | None = None
    segments: int | None = None
    bytes: int | None = None
    new_bytes: int | None = None
    error_stage: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class ArchivesProjection:
    """Keeps the list of archives up to date. Safe to rebuild from position 0."""

    name = "archives"

    def key(self, record: Record, event: AggregateEvent) -> UUID | None:
        """The archive."""
        return event.originator_id if record.topic.startswith("archive.") else None

    def begins(self, event: AggregateEvent) -> bool:
        """An order, or one that lay there."""
        return isinstance(event, Archive.Started | Archive.Found)

    def is_open(self, row: ArchiveRow) -> bool:
        """Until it has failed or expired."""
        return row.status == ArchiveStatus.RUNNING or row.status in READY

    def evolve(
        self, row: ArchiveRow | None, record: Record, event: AggregateEvent
    ) -> ArchiveRow | None:
        """The row after the event."""
        if isinstance(event, Archive.Started | Archive.Found):
            row = _begun(record, event)
        assert row is not None, f"{record.topic} at {record.position} before its archive"
        _apply(row, event)
        row.version, row.position = record.version, record.position
        return row


def _begun(record: Record, event: Archive.Started | Archive.Found) -> ArchiveRow:
    return ArchiveRow(
        archive_id=event.originator_id,
        tenant=event.tenant,
        type=event.type,
        status=ArchiveStatus.RUNNING,
        requested_by=event.requested_by if isinstance(event, Archive.Started) else FOUND,
        started_at=event.timestamp,
        version=record.version,
        position=record.position,
    )


FOUND = "found"
"""Nobody asked for it here: it lay in the repository."""
_FACTS = (
    *("type", "manifest", "sha256", "epoch", "last", "last_at", "size", "root"),
    *("new_events", "segments", "bytes", "new_bytes"),
)


def _apply(row: ArchiveRow, event: AggregateEvent) -> None:
    match event:
        case Archive.Stored() | Archive.Found():
            row.status, row.stored_at = ArchiveStatus.STORED, event.timestamp
            for name in _FACTS:
                setattr(row, name, getattr(event, name))
        case Archive.Verified():
            if event.level >= VERIFIED_LEVEL_MIN:
                row.status, row.verified_at = ArchiveStatus.VERIFIED, event.timestamp
            row.level = max(event.level, row.level or 0)
        case Archive.Failed():
            _failed(row, event.stage, event.code, event.message)
        case Archive.Drilled():
            row.drilled_at, row.drilled_equal = event.timestamp, event.equal
            if not event.equal:
                _failed(row, "drill", event.code, event.message)
        case Archive.Expired():
            row.status, row.expired_at = ArchiveStatus.EXPIRED, event.timestamp
            row.expired_because = event.reason


def _failed(row: ArchiveRow, stage: str, code: str | None, message: str | None) -> None:
    row.status = ArchiveStatus.FAILED
    row.error_stage, row.error_code, row.error_message = stage, code, message
