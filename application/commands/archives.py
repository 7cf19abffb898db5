"""What is asked of archives, and recorded of them, in lifecycle order."""

from dataclasses import dataclass
from uuid import UUID

from application.commands import Command
from application.control_plane import Work
from domain.archive import Archive, ArchiveFacts, ArchiveType


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveCommand(Command):
    """About one archive."""

    archive_id: UUID

    @property
    def needs(self) -> tuple[UUID, ...]:
        """The archive."""
        return (self.archive_id,)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartArchive(ArchiveCommand):
    """Order an archive. `requested_by` is an actor, or `schedule`."""

    type: ArchiveType
    requested_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFound(ArchiveCommand):
    """It lies in the repository, and the log knew nothing of it."""

    type: ArchiveType
    facts: ArchiveFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordStored(ArchiveCommand):
    """It is in the repository."""

    type: ArchiveType
    facts: ArchiveFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVerified(ArchiveCommand):
    """It was found sound, at a level of 0 to 3, by looking at so many events."""

    level: int
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordArchiveFailed(ArchiveCommand):
    """It came to nothing, or is not sound."""

    stage: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDrilled(ArchiveCommand):
    """It was restored aside, up to a position. `code` and `message` say what differed; None:
    nothing."""

    position: int
    events: int
    seconds: float
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireArchive(ArchiveCommand):
    """Let it go, for a reason in words."""

    reason: str


class ArchiveCommands:
    """Load, decide, record. All but the first two raise AggregateNotFound, VersionMismatch and
    ArchiveNotReady."""

    def start(self, command: StartArchive, work: Work) -> Archive:
        """A new one. Raises ConcurrentChange when its id is taken."""
        return work.add(
            Archive.start(
                command.archive_id,
                tenant=command.origin.tenant,
                type=command.type,
                requested_by=command.requested_by,
                now=work.now,
            )
        )

    def record_found(self, command: RecordFound, work: Work) -> Archive:
        """Once; after that nothing changes."""
        known = work.find(Archive, command.archive_id)
        if known is not None:
            return known
        return work.add(
            Archive.find(
                command.archive_id,
                tenant=command.origin.tenant,
                type=command.type,
                facts=command.facts,
                now=work.now,
            )
        )

    def record_stored(self, command: RecordStored, work: Work) -> Archive:
        """Once."""
        archive = work.load(Archive, command.archive_id)
        archive.store(command.type, command.facts, now=work.now)
        return archive

    def record_verified(self, command: RecordVerified, work: Work) -> Archive:
        """Again and again, at any level."""
        archive = work.load(Archive, command.archive_id)
        archive.verify(level=command.level, events=command.events, now=work.now)
        return archive

    def record_failed(self, command: RecordArchiveFailed, work: Work) -> Archive:
        """With where and why."""
        archive = work.load(Archive, command.archive_id)
        archive.fail(stage=command.stage, code=command.code, message=command.message, now=work.now)
        return archive

    def record_drilled(self, command: RecordDrilled, work: Work) -> Archive:
        """With what differed, if anything."""
        archive = work.load(Archive, command.archive_id)
        archive.drill(
            position=command.position,
            events=command.events,
            seconds=command.seconds,
            code=command.code,
            message=command.message,
            now=work.now,
        )
        return archive

    def expire(self, command: ExpireArchive, work: Work) -> Archive:
        """Once."""
        archive = work.load(Archive, command.archive_id)
        archive.expire(command.reason, now=work.now)
        return archive
