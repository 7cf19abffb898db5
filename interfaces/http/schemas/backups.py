"""Backups: which are to be taken, verified, restored, and how they are shown."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self, cast
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from application.archives.archives import Progress
from application.archives.jobs import JobState, JobStatus
from application.archives.restores import Plan, StoreStatus
from application.cursor import Cursor
from application.projections.archives import ArchiveRow
from domain.archive import ArchiveStatus
from interfaces.http.fields import WHOLE, Id, Moment
from interfaces.http.parameters import ListParameters, Parameters, QueryParameters, Wait
from interfaces.http.schemas.base import Body, CursorOut, documented

POSITION_MAX = 10**18 - 1
LEVEL_MAX = 3
BackupType = Literal["full", "incremental", "synthetic"]
BackupStatus = Literal["running", "stored", "verified", "failed", "expired"]
Level = Annotated[int, Field(ge=0, le=LEVEL_MAX), WHOLE]
Position = Annotated[int, Field(ge=1, le=POSITION_MAX), WHOLE]


class BackupBody(Body):
    """Which kind of backup is to be taken."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "full"}]})

    type: BackupType = "incremental"
    """`full`: written whole; `incremental`: goes on from the newest; `synthetic`: stands alone like
    a full one, and is made of what the others wrote. The first one of an epoch is always full."""


class VerifyBody(Body):
    """How thoroughly."""

    level: Level = 2
    """0: the signed manifests, their chain, and that every file is there; 1: every file as it was
    written; 2: every event in it read, and the root over all; 3: every task and agent folded."""


class RestoreBody(Body):
    """Up to where; without either, all that the backup holds."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"to_position": 4711, "dry_run": True}],
            "not": {"required": ["to_position", "to_time"]},
        }
    )

    to_position: Position | None = None
    """The event at this position is the last one."""
    to_time: Moment | None = None
    """What was recorded up to this time."""
    dry_run: bool = False
    """Only tell the plan."""

    @model_validator(mode="after")
    def require_one_end(self) -> Self:
        """Two ends would be two restores."""
        if {"to_position", "to_time"} <= self.model_fields_set:
            raise ValueError("must name to_position or to_time, not both")
        return self


class ExpireBody(Body):
    """Whether it is meant."""

    dry_run: bool = False
    """Only tell what would go, and why."""


class BackupListParameters(ListParameters):
    """Which backups, and which page of them."""

    status: BackupStatus | None = None
    cursor: Id | None = None
    """The `next_cursor` of the page before."""


class BackupParameters(QueryParameters):
    """How long to wait for its end."""

    wait: Wait = 0
    """Answer when it is verified, has failed or has expired, or after so many seconds."""


class JobParameters(Parameters):
    """How long to wait for its end."""

    wait: Wait = 0
    """Answer when it has ended, or after so many seconds."""


@documented
class BackupReceipt(TypedDict):
    """The command is in the log; the backup is taken by the process that leads."""

    backup_id: UUID
    version: int
    cursor: CursorOut


class BackupFailure(TypedDict):
    """Why it failed; `code` is stable."""

    code: str
    message: str


@documented
class BackupShown(TypedDict):
    """A backup."""

    id: UUID
    type: BackupType
    status: BackupStatus
    """`verified`: everything in it was read back and is as it was signed."""
    stage: str | None
    """`context`, `collect`, `package`, `store` or `verify`, while it is taken; null where this
    process does not know."""
    progress: float
    """Of its stage, 0 to 1."""
    requested_by: str
    started_at: datetime
    stored_at: datetime | None
    verified_at: datetime | None
    level: int | None
    """How thoroughly it was verified."""
    drilled_at: datetime | None
    """When it was last restored into a database of its own, and found equal."""
    position: int | None
    """Of the last event in it."""
    time: datetime | None
    """When that was recorded: it restores to any moment up to there."""
    events: int | None
    """How many it restores to."""
    new_events: int | None
    """How many of them it wrote itself."""
    segments: int | None
    """Files that it needs, with those of the backups that it continues."""
    bytes: int | None
    """What they take."""
    new_bytes: int | None
    """What it added."""
    error: BackupFailure | None
    version: int
    cursor: CursorOut


@documented
class BackupPage(TypedDict):
    """Backups, newest first."""

    items: list[BackupShown]
    next_cursor: str | None


@documented
class JobShown(TypedDict):
    """Something that takes longer than a request."""

    job_id: UUID
    kind: str
    """`verify`, `drill`, `restore`, `undo` or `expire`."""
    backup_id: UUID | None
    state: JobState
    stage: str
    """What it is at."""
    progress: float
    """Of its stage, 0 to 1."""
    result: dict[str, Any] | None
    """What it came to, once it is `done`."""
    error: dict[str, Any] | None
    """`code`, `message` and what else is known, once it has `failed`."""
    began_at: datetime


def backup_of(row: ArchiveRow, progress: Progress | None, epoch: int) -> BackupShown:
    """A backup as the log knows it, and how far it is where that is known."""
    error: BackupFailure | None = None
    if row.error_code is not None:
        error = {"code": row.error_code, "message": row.error_message or ""}
    unfinished = row.status in {ArchiveStatus.RUNNING, ArchiveStatus.FAILED}
    return {
        "id": row.archive_id,
        "type": cast("BackupType", row.type),
        "status": cast("BackupStatus", row.status),
        "stage": progress.stage if progress else None,
        "progress": round(progress.share, 4) if progress else 0.0 if unfinished else 1.0,
        "requested_by": row.requested_by,
        "started_at": row.started_at,
        "stored_at": row.stored_at,
        "verified_at": row.verified_at,
        "level": row.level,
        "drilled_at": row.drilled_at,
        "position": row.last,
        "time": row.last_at,
        "events": row.size,
        "new_events": row.new_events,
        "segments": row.segments,
        "bytes": row.bytes,
        "new_bytes": row.new_bytes,
        "error": error,
        "version": row.version,
        "cursor": str(Cursor(epoch, row.position)),
    }


def job_of(job: JobStatus) -> JobShown:
    """A job as it stands."""
    return {
        "job_id": job.job_id,
        "kind": job.kind,
        "backup_id": job.archive_id,
        "state": job.state,
        "stage": job.stage,
        "progress": round(job.progress, 4),
        "result": job.result,
        "error": job.error,
        "began_at": job.began_at,
    }


@documented
class Loss(TypedDict):
    """What is in the log now, and will not be in it then."""

    events: int
    after: CursorOut
    """The first one that is lost comes after this."""
    first: CursorOut
    first_type: str
    first_at: datetime
    """When the first that is lost was recorded."""
    until: CursorOut
    """The last one that is lost."""


@documented
class PlanShown(TypedDict):
    """What a restore does."""

    archive_id: UUID
    position: int
    """Of the last event that will be there."""
    time: datetime
    """When that was recorded."""
    events: int
    """How many there will be."""
    from_epoch: int
    to_epoch: int
    lost: Loss | None
    bytes: int
    """How much is read."""
    estimate_seconds: float
    into: str
    """Where the new store is made."""


@documented
class RestoreAnswer(TypedDict):
    """What is going to happen, and the job that does it."""

    plan: PlanShown
    job: JobShown | None
    """Null when only the plan was asked for."""


@documented
class Restored(TypedDict):
    """How an epoch began."""

    at: datetime
    position: int
    """Of the last event that was taken over."""
    from_epoch: int
    archive_id: UUID | None
    """Null where a restore was undone."""
    actor: str


class FormerStore(TypedDict):
    """What a restore put aside, and until when it is kept."""

    epoch: int
    until: datetime


@documented
class StoreShown(TypedDict):
    """The store that serves."""

    store_id: UUID
    epoch: int
    cursor: CursorOut
    """Where the log ends."""
    restored: Restored | None
    """Null in the first epoch."""
    former: list[FormerStore]


def plan_of(plan: Plan) -> PlanShown:
    """What a restore does."""
    lost: Loss | None = None
    if plan.lost is not None:
        lost = {
            "events": plan.lost.events,
            "after": plan.lost.after,
            "first": plan.lost.first,
            "first_type": plan.lost.first_type,
            "first_at": plan.lost.first_at,
            "until": plan.lost.until,
        }
    return {
        "archive_id": plan.archive_id,
        "position": plan.position,
        "time": plan.time,
        "events": plan.events,
        "from_epoch": plan.from_epoch,
        "to_epoch": plan.to_epoch,
        "lost": lost,
        "bytes": plan.bytes,
        "estimate_seconds": round(plan.estimate_seconds, 1),
        "into": plan.into,
    }


def store_of(store: StoreStatus) -> StoreShown:
    """The store that serves."""
    restored: Restored | None = None
    if store.restored is not None:
        restored = {
            "at": store.restored.at,
            "position": store.restored.position,
            "from_epoch": store.restored.from_epoch,
            "archive_id": store.restored.archive_id,
            "actor": store.restored.actor,
        }
    return {
        "store_id": store.store_id,
        "epoch": store.epoch,
        "cursor": store.cursor,
        "restored": restored,
        "former": [{"epoch": one.epoch, "until": one.until} for one in store.former],
    }
