"""Archive: a backup of the log as it was, from its order to its end. Read the state table in
README.md first."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Self, TypedDict
from uuid import UUID

from eventsourcing.domain import event

from domain.aggregate import Aggregate, FirstEvent
from domain.errors import ArchiveNotReady


class ArchiveType(StrEnum):
    """How an archive is made."""

    FULL = "full"
    INCREMENTAL = "incremental"
    SYNTHETIC = "synthetic"


class ArchiveStatus(StrEnum):
    """Where an archive stands."""

    RUNNING = "running"
    STORED = "stored"
    VERIFIED = "verified"
    FAILED = "failed"
    EXPIRED = "expired"


READY = frozenset({ArchiveStatus.STORED, ArchiveStatus.VERIFIED})
VERIFIED_LEVEL_MIN = 1
"""Below it no file was read, and an archive is as good as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFacts:
    """What the manifest of an archive says, as far as the log keeps it.

    `manifest` is its name in the repository and `sha256` that of its bytes (hexadecimal, as
    `root`). The archive holds the `size` events up to position `last`, recorded at `last_at`, in
    `segments` files of `bytes` together; `new_events` and `new_bytes` of them were written for it,
    the rest for those that it continues or is made of.
    """

    manifest: str
    sha256: str
    epoch: int
    last: int
    last_at: datetime
    size: int
    root: str
    new_events: int
    segments: int
    bytes: int
    new_bytes: int


class ArchiveSnapshot(TypedDict):
    """Everything that an Archive remembers, for snapshots."""

    _created_on: datetime
    _modified_on: datetime
    tenant: str
    type: str
    status: str
    manifest: str | None
    sha256: str | None
    level: int | None


class Archive(Aggregate):
    """A backup of the log as it was at a position."""

    TOPIC = "archive"
    SNAPSHOT: ClassVar[Any] = ArchiveSnapshot

    # Events. TOPIC is the name in the log: it never changes.

    class Started(FirstEvent):
        """Somebody (`user/alice`) or the `schedule` asked for it; the leader takes it."""

        TOPIC = "archive.started"
        tenant: str
        type: str
        requested_by: str

    class Found(FirstEvent):
        """It lies in the repository, and this log knew nothing of it: a restore went back before
        it was taken."""

        TOPIC = "archive.found"
        tenant: str
        type: str
        manifest: str
        sha256: str
        epoch: int
        last: int
        last_at: datetime
        size: int
        root: str
        new_events: int
        segments: int
        bytes: int
        new_bytes: int

        def mutate(self, aggregate: Any) -> Any:
            """An archive that begins as stored."""
            archive = super().mutate(aggregate)
            archive._keep(self.type, self.manifest, self.sha256)
            return archive

    class Stored(Aggregate.Event):
        """It is in the repository, whole. `type` is what it became: where there was nothing sound
        to continue, an incremental one is `full`."""

        TOPIC = "archive.stored"
        type: str
        manifest: str
        sha256: str
        epoch: int
        last: int
        last_at: datetime
        size: int
        root: str
        new_events: int
        segments: int
        bytes: int
        new_bytes: int

    class Verified(Aggregate.Event):
        """It was looked at as a stranger's, and is what was signed; at level 0 so far as its files
        are there. `events` were looked at."""

        TOPIC = "archive.verified"
        level: int
        events: int

    class Failed(Aggregate.Event):
        """It could not be taken, or is not sound: nothing will be restored from it or continue
        it."""

        TOPIC = "archive.failed"
        stage: str
        code: str
        message: str

    class Drilled(Aggregate.Event):
        """It was restored aside, up to a position; `equal` when nothing differed from what was."""

        TOPIC = "archive.drilled"
        position: int
        events: int
        equal: bool
        seconds: float
        code: str | None
        message: str | None

    class Expired(Aggregate.Event):
        """It was let go, with what no other archive names."""

        TOPIC = "archive.expired"
        reason: str

    # Decisions: check, then record.

    @classmethod
    def start(
        cls,
        archive_id: UUID,
        *,
        tenant: str,
        type: ArchiveType,  # noqa: A002 - as the API calls it
        requested_by: str,
        now: datetime,
    ) -> Self:
        """Order one."""
        return cls._create(
            cls.Started,
            id=archive_id,
            timestamp=now,
            tenant=tenant,
            type=type.value,
            requested_by=requested_by,
        )

    @classmethod
    def find(
        cls,
        archive_id: UUID,
        *,
        tenant: str,
        type: ArchiveType,  # noqa: A002
        facts: ArchiveFacts,
        now: datetime,
    ) -> Self:
        """Know of one that lies there."""
        return cls._create(
            cls.Found,
            id=archive_id,
            timestamp=now,
            tenant=tenant,
            type=type.value,
            **_members(facts),
        )

    def store(self, type: ArchiveType, facts: ArchiveFacts, *, now: datetime) -> None:  # noqa: A002
        """It is in the repository. Nothing when that is known. Raises ArchiveNotReady."""
        if self.status in READY:
            return
        if self.status != ArchiveStatus.RUNNING:
            raise ArchiveNotReady(self.id, self.status)
        self.trigger_event(self.Stored, type=type.value, **_members(facts), timestamp=now)

    def verify(self, *, level: int, events: int, now: datetime) -> None:
        """It was found sound at a level. Raises ArchiveNotReady."""
        self._require_ready()
        self.trigger_event(self.Verified, level=level, events=events, timestamp=now)

    def fail(self, *, stage: str, code: str, message: str, now: datetime) -> None:
        """It came to nothing, or is not sound. Raises ArchiveNotReady once it has expired."""
        if self.status == ArchiveStatus.EXPIRED:
            raise ArchiveNotReady(self.id, self.status)
        self.trigger_event(self.Failed, stage=stage, code=code, message=message, timestamp=now)

    def drill(
        self,
        *,
        position: int,
        events: int,
        seconds: float,
        code: str | None = None,
        message: str | None = None,
        now: datetime,
    ) -> None:
        """It was restored aside; `code` and `message` say what differed. Raises
        ArchiveNotReady."""
        self._require_ready()
        self.trigger_event(
            self.Drilled,
            position=position,
            events=events,
            equal=code is None,
            seconds=seconds,
            code=code,
            message=message,
            timestamp=now,
        )

    def expire(self, reason: str, *, now: datetime) -> None:
        """Let it go. Nothing when it went before. Raises ArchiveNotReady while it is taken."""
        if self.status == ArchiveStatus.EXPIRED:
            return
        if self.status == ArchiveStatus.RUNNING:
            raise ArchiveNotReady(self.id, self.status)
        self.trigger_event(self.Expired, reason=reason, timestamp=now)

    def _require_ready(self) -> None:
        if self.status not in READY:
            raise ArchiveNotReady(self.id, self.status)

    # Evolution: what an event makes of the archive.

    @event(Started)
    def __init__(self, tenant: str, type: str) -> None:  # noqa: A002
        self.tenant = tenant
        self.type = type
        self.status: str = ArchiveStatus.RUNNING
        self.manifest: str | None = None
        self.sha256: str | None = None
        self.level: int | None = None

    @event(Stored)
    def _on_stored(self, type: str, manifest: str, sha256: str) -> None:  # noqa: A002
        self._keep(type, manifest, sha256)

    @event(Verified)
    def _on_verified(self, level: int) -> None:
        if level >= VERIFIED_LEVEL_MIN:
            self.status = ArchiveStatus.VERIFIED
        self.level = max(level, self.level or 0)

    @event(Failed)
    def _on_failed(self) -> None:
        self.status = ArchiveStatus.FAILED

    @event(Drilled)
    def _on_drilled(self, equal: bool) -> None:
        if not equal:
            self.status = ArchiveStatus.FAILED

    @event(Expired)
    def _on_expired(self) -> None:
        self.status = ArchiveStatus.EXPIRED

    def _keep(self, type: str, manifest: str, sha256: str) -> None:  # noqa: A002
        self.status = ArchiveStatus.STORED
        self.type, self.manifest, self.sha256 = type, manifest, sha256


def _members(facts: ArchiveFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in ArchiveFacts.__dataclass_fields__}
