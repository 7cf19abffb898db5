"""Backups: taken, verified, drilled, restored, let go."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from starlette.responses import Response

from application.archives.faults import (
    ArchiveLocked,
    BadArchive,
    RepositoryFull,
    RepositoryUnavailable,
)
from application.archives.jobs import JobNotFound, JobStatus, JobUnderWay
from application.archives.listing import ARCHIVES
from application.archives.restored import RestoreOrder
from application.archives.restores import BeforeHistory, BeyondArchive, NothingToUndo
from application.projections.archives import ArchiveRow
from domain.archive import READY
from domain.errors import ArchiveNotReady, VersionMismatch
from interfaces.http.audit import asked_in
from interfaces.http.operation import Call, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.recent_answers import RecentAnswers
from interfaces.http.responses import Json, answer, path_of, receipt_answer, repeated
from interfaces.http.schemas.backups import (
    BackupBody,
    BackupListParameters,
    BackupPage,
    BackupParameters,
    BackupReceipt,
    BackupShown,
    ExpireBody,
    JobParameters,
    JobShown,
    RestoreAnswer,
    RestoreBody,
    StoreShown,
    VerifyBody,
    backup_of,
    job_of,
    plan_of,
    store_of,
)
from interfaces.http.schemas.base import NoBody

LOOK_SECONDS = 0.2
SETTLED = frozenset({"verified", "failed", "expired"})
SCOPE = "backups:admin"
BEGUN = 202
"""The status of an answer that tells of a job."""

T = TypeVar("T")


async def create(call: Call[BackupBody, Parameters]) -> Response:
    """POST /v1/backups."""
    receipt = await call.process.archives.request(call.body.type, by=call.principal, key=call.key)
    call.concerns(backup_id=receipt.aggregate_id, type=call.body.type)
    location = path_of("backups", receipt.aggregate_id)
    return receipt_answer(receipt, "backup_id", 202, location=location)


async def list_(call: Call[None, BackupListParameters]) -> Response:
    """GET /v1/backups. One more than asked for tells whether there is another page."""
    limit, archives = call.parameters.limit, call.process.archives
    await _reach(call)
    found = await archives.listed(
        status=call.parameters.status, after=call.parameters.cursor, limit=limit + 1
    )
    items = [_shown(call, row) for row in found[:limit]]
    next_cursor = str(items[-1]["id"]) if len(found) > limit else None
    return answer({"items": items, "next_cursor": next_cursor})


async def show(call: Call[None, BackupParameters]) -> Response:
    """GET /v1/backups/{backup_id}."""
    archives, archive_id = call.process.archives, call.id_of("backup_id")
    await _reach(call)
    row = await _settled(
        lambda: archives.one(archive_id),
        lambda row: row.status in SETTLED,
        seconds=call.parameters.wait,
    )
    return answer(_shown(call, row), version=row.version)


async def verify(call: Call[VerifyBody, Parameters]) -> Response:
    """POST /v1/backups/{backup_id}/verify."""
    archives, archive_id = call.process.archives, call.id_of("backup_id")
    return await _begun(call, lambda: archives.verify(archive_id, call.body.level, call.principal))


async def drill(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/backups/{backup_id}/drill."""
    archives, archive_id = call.process.archives, call.id_of("backup_id")
    return await _begun(call, lambda: archives.drill(archive_id, call.principal))


async def expire(call: Call[ExpireBody, Parameters]) -> Response:
    """POST /v1/backups/expire."""
    archives = call.process.archives
    return await _begun(call, lambda: archives.expire(call.body.dry_run, call.principal))


async def restore(call: Call[RestoreBody, Parameters]) -> Response:
    """POST /v1/backups/{backup_id}/restore."""
    body, restores, archive_id = call.body, call.process.restores, call.id_of("backup_id")
    call.concerns(**_end_of(body), dry_run=body.dry_run)
    if kept := _recent(call).find(call.key):
        return repeated(kept, BEGUN)
    _require_epoch(call)
    await _require_ready(call, archive_id)
    if body.dry_run:
        plan = await restores.plan(archive_id, to_position=body.to_position, to_time=body.to_time)
        return answer({"plan": plan_of(plan), "job": None}, version=call.process.epoch)
    plan, job = await restores.restore(
        archive_id, to_position=body.to_position, to_time=body.to_time, order=_order(call)
    )
    call.concerns(job_id=job.job_id)
    return _kept(call, {"plan": plan_of(plan), "job": job_of(job)}, job)


async def undo(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/backups/undo-restore."""
    restores = call.process.restores
    if kept := _recent(call).find(call.key):
        return repeated(kept, BEGUN)
    _require_epoch(call)
    if not (await restores.store()).former:
        raise NothingToUndo("No store was put aside, or none is left.")
    return await _begun(call, lambda: _at_once(restores.undo(_order(call))))


async def show_job(call: Call[None, JobParameters]) -> Response:
    """GET /v1/backups/jobs/{job_id}."""
    job_id = call.id_of("job_id")
    found = await _settled(
        lambda: _at_once(call.process.archives.job(job_id)),
        lambda job: job.state != "running",
        seconds=call.parameters.wait,
    )
    return answer(job_of(found))


async def show_store(call: Call[None, Parameters]) -> Response:
    """GET /v1/store."""
    return answer(store_of(await call.process.restores.store()), version=call.process.epoch)


async def _settled(
    look: Callable[[], Awaitable[T]], is_settled: Callable[[T], bool], *, seconds: float
) -> T:
    """What is looked at once it is settled, or as it stands when the wait is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        found = await look()
        left = deadline - loop.time()
        if is_settled(found) or left <= 0:
            return found
        await asyncio.sleep(min(left, LOOK_SECONDS))


async def _reach(call: Call[Any, Any]) -> None:
    """Show nothing older than what the caller has seen. Raises EpochEnded, ReadModelBehind."""
    await call.process.queries.reach(ARCHIVES, call.seen)


async def _require_ready(call: Call[Any, Parameters], archive_id: UUID) -> None:
    """Nothing is restored from what failed, expired, or is not there yet. Raises AggregateNotFound,
    ArchiveNotReady."""
    row = await call.process.archives.one(archive_id)
    if row.status not in READY:
        raise ArchiveNotReady(archive_id, row.status)


async def _at_once(found: T) -> T:
    return found


def _shown(call: Call[Any, Any], row: ArchiveRow) -> BackupShown:
    return backup_of(row, call.process.archives.progress(row.archive_id), call.process.epoch)


async def _begun(
    call: Call[Any, Parameters], begin: Callable[[], Awaitable[JobStatus]]
) -> Response:
    """A job that was begun, now or by the first of these requests."""
    if kept := _recent(call).find(call.key):
        return repeated(kept, BEGUN)
    job = await begin()
    call.concerns(job_id=job.job_id)
    return _kept(call, job_of(job), job)


def _kept(call: Call[Any, Parameters], content: Any, job: JobStatus) -> Response:
    """Kept for a repetition, as a job is: in this process."""
    location = f"/v1/backups/jobs/{job.job_id}"
    response = answer(content, BEGUN, version=call.process.epoch, location=location)
    assert isinstance(response, Json), "it was rendered"
    _recent(call).keep(call.key, bytes(response.body))
    return response


def _recent(call: Call[Any, Parameters]) -> RecentAnswers:
    recent: RecentAnswers = call.request.app.state.recent_answers
    return recent


def _require_epoch(call: Call[Any, Parameters]) -> None:
    """Raises VersionMismatch where the caller looked at the store in another epoch."""
    process = call.process
    if call.version is not None and call.version != process.epoch:
        raise VersionMismatch(process.store_id, expected=call.version, found=process.epoch)


def _order(call: Call[Any, Parameters]) -> RestoreOrder:
    """This request, for the audit trail of the store that it brings: what this one's tells of it is
    put aside with it."""
    return RestoreOrder(origin=call.origin(), asked=asked_in(call.request.scope), status=BEGUN)


def _end_of(body: RestoreBody) -> dict[str, object]:
    """Where a restore is to end, for the audit trail."""
    ends = {"to_position": body.to_position, "to_time": body.to_time}
    return {name: end for name, end in ends.items() if end is not None}


READING = (BadArchive, RepositoryUnavailable)
WORKING = (*READING, JobUnderWay, ArchiveNotReady)
LOCATION = {"Location": "Where the job is served."}
JOB_TEXT = (
    "It takes longer than a request: the answer is a job, to be followed at its `Location`. One "
    "job at a time; only the process that was asked knows it, until it ends."
)

OPERATIONS = [
    Operation(
        method="POST",
        path="/v1/backups",
        handler=create,
        scope=SCOPE,
        summary="Take a backup",
        description=(
            "The process that leads takes it, reads it back, and says so in the log; nobody who "
            "appends waits for it. A backup is of all tenants."
        ),
        body=BackupBody,
        body_optional=True,
        status=202,
        answer=BackupReceipt,
        headers={"Location": "Where the backup is served."},
    ),
    Operation(
        method="GET",
        path="/v1/backups",
        handler=list_,
        scope=SCOPE,
        summary="List backups, newest first",
        parameters=BackupListParameters,
        answer=BackupPage,
    ),
    Operation(
        method="GET",
        path="/v1/backups/{backup_id}",
        handler=show,
        scope=SCOPE,
        summary="Show a backup, or how far it is",
        parameters=BackupParameters,
        answer=BackupShown,
    ),
    Operation(
        method="POST",
        path="/v1/backups/{backup_id}/verify",
        handler=verify,
        scope=SCOPE,
        summary="Verify a backup",
        description=f"Everything in it is read back as if a stranger had written it. {JOB_TEXT}",
        body=VerifyBody,
        body_optional=True,
        status=202,
        answer=JobShown,
        headers=LOCATION,
        errors=WORKING,
    ),
    Operation(
        method="POST",
        path="/v1/backups/{backup_id}/drill",
        handler=drill,
        scope=SCOPE,
        summary="Restore a backup aside, and compare it",
        description=(
            "Into a database of its own, which is dropped again; what is shown is folded from it "
            f"and compared with what was shown live. {JOB_TEXT}"
        ),
        body=NoBody,
        body_optional=True,
        status=202,
        answer=JobShown,
        headers=LOCATION,
        errors=WORKING,
    ),
    Operation(
        method="POST",
        path="/v1/backups/{backup_id}/restore",
        handler=restore,
        scope=SCOPE,
        summary="Restore a backup, or tell what that would do",
        description=(
            "A new store is made of it beside the one that serves, checked, and put in its place "
            "in one step, which begins a new epoch: cursors of the one before get 410, workers "
            "lose what they held, webhooks are paused. What is newer than where the restore ends "
            "is lost to everybody but `undo-restore`, for 7 days. With `dry_run` the answer is the "
            "plan, with status 200, and nothing happens. If-Match takes the epoch that was seen: "
            "a repetition in the next one is refused then, while the key of a request is forgotten "
            f"with the process. {JOB_TEXT}"
        ),
        body=RestoreBody,
        status=202,
        or_status=200,
        answer=RestoreAnswer,
        headers=LOCATION,
        versioned=True,
        errors=(*WORKING, BeyondArchive, BeforeHistory),
    ),
    Operation(
        method="POST",
        path="/v1/backups/undo-restore",
        handler=undo,
        scope=SCOPE,
        summary="Put back what the last restore put aside",
        description=(
            "The former store serves again, in an epoch of its own; what happened since the "
            "restore is put aside in its place. If-Match takes the epoch that was seen, so that "
            f"it is not undone twice. {JOB_TEXT}"
        ),
        body=NoBody,
        body_optional=True,
        status=202,
        answer=JobShown,
        headers=LOCATION,
        versioned=True,
        errors=(NothingToUndo, JobUnderWay),
    ),
    Operation(
        method="POST",
        path="/v1/backups/expire",
        handler=expire,
        scope=SCOPE,
        summary="Let backups go that need not be kept",
        description=(
            "As the settings `backup_keep_*` say; with `dry_run` the job only tells what would go, "
            f"and why. {JOB_TEXT}"
        ),
        body=ExpireBody,
        body_optional=True,
        status=202,
        answer=JobShown,
        headers=LOCATION,
        errors=(*READING, RepositoryFull, ArchiveLocked, JobUnderWay),
    ),
    Operation(
        method="GET",
        path="/v1/backups/jobs/{job_id}",
        handler=show_job,
        scope=SCOPE,
        summary="Show how a job fares",
        parameters=JobParameters,
        answer=JobShown,
        errors=(JobNotFound,),
    ),
    Operation(
        method="GET",
        path="/v1/store",
        handler=show_store,
        scope=SCOPE,
        summary="Show which store serves, and since when",
        answer=StoreShown,
    ),
]
