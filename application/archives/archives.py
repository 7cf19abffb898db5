"""Archives, for whoever asks for them: ordered, shown, verified, drilled, let go."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from application.access import OPERATOR_TENANT, Principal
from application.archives.faults import UNREADABLE_HERE, BadArchive
from application.archives.job_runner import Jobs
from application.archives.jobs import JobStatus
from application.archives.listing import ARCHIVES, ArchiveList
from application.archives.ports import Archivist, JobFailed, Told
from application.archives.unsound import Unsound
from application.commands import Command, Origin, RequestKey
from application.commands.archives import (
    ExpireArchive,
    RecordDrilled,
    RecordVerified,
    StartArchive,
)
from application.ids import uuid7
from application.projections.archives import ArchiveRow
from application.receipt import Receipt
from application.watermarks import LOG, Watermarks
from application.writer import Commands
from domain.archive import READY, ArchiveStatus, ArchiveType
from domain.errors import AggregateNotFound, ArchiveNotReady

KEEPER = "process/archives"
"""The actor of what is recorded of archives without anybody's asking."""
SCHEDULE = "schedule"
BEHIND_SECONDS_MAX = 5.0
ALL = 100_000
"""More archives than retention leaves of 300 years."""

log = structlog.get_logger("archives")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an archive that is being taken has come: `done` of `total` of its stage."""

    stage: str
    done: int
    total: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0


class Archives:
    """Belongs to the event loop. `under_way` tells how far an archive is that this process takes;
    `ordered` is told the position of each order."""

    def __init__(
        self,
        listing: ArchiveList,
        commands: Commands,
        watermarks: Watermarks,
        archivist: Archivist,
        jobs: Jobs,
        *,
        unsound: Unsound,
        store_id: UUID,
        epoch: int,
        under_way: Callable[[UUID], Progress | None],
        ordered: Callable[[int], None],
    ) -> None:
        self._list = listing
        self._commands = commands
        self._watermarks = watermarks
        self._archivist = archivist
        self._unsound = unsound
        self._store_id = store_id
        self._epoch = epoch
        self._under_way = under_way
        self._ordered = ordered
        self._ordering = asyncio.Lock()
        self.jobs = jobs

    # Taking.

    async def request(
        self,
        type: ArchiveType | str,  # noqa: A002
        by: Principal,
        key: RequestKey | None = None,
    ) -> Receipt:
        """Order an archive; the leader takes it. The first one of an epoch is full whatever was
        asked for.

        Raises DatabaseUnavailable, ConcurrentChange, IdempotencyKeyReused.
        """
        return await self._start(ArchiveType(type), by.subject, by.subject, key)

    async def order(self, type: ArchiveType) -> Receipt | None:  # noqa: A002
        """The same for the schedule; None where another one is under way."""
        async with self._ordering:
            if await self._list.listed(status=ArchiveStatus.RUNNING, before=None, limit=1):
                return None
            receipt = await self._start(type, KEEPER, SCHEDULE, None)
            await self._reach(receipt.cursor.position)
            return receipt

    async def _start(
        self,
        type: ArchiveType,  # noqa: A002
        actor: str,
        requested_by: str,
        key: RequestKey | None,
    ) -> Receipt:
        newest = await self._list.newest_verified()
        # Of another epoch it may hold what a restore took back.
        first = newest is None or newest.epoch != self._epoch
        command = StartArchive(
            origin=_origin(actor, key),
            archive_id=uuid7(),
            type=ArchiveType.FULL if first else type,
            requested_by=requested_by,
        )
        receipt = await self._commands.execute(command, key)
        self._ordered(receipt.cursor.position)
        return receipt

    # Showing.

    async def listed(
        self, *, status: ArchiveStatus | str | None, after: UUID | None, limit: int
    ) -> Sequence[ArchiveRow]:
        """Newest first, behind one of them. Raises DatabaseUnavailable."""
        wanted = None if status is None else ArchiveStatus(status)
        return await self._list.listed(status=wanted, before=after, limit=limit)

    async def one(self, archive_id: UUID) -> ArchiveRow:
        """One that was ordered this very moment may still be on its way. Raises AggregateNotFound,
        DatabaseUnavailable."""
        found = await self._list.one(archive_id)
        if found is None:
            await self._reach(self._watermarks.position(LOG))
            found = await self._list.one(archive_id)
        if found is None:
            raise AggregateNotFound("archive", archive_id)
        return found

    def progress(self, archive_id: UUID) -> Progress | None:
        """How far it is, where this process takes it."""
        return self._under_way(archive_id)

    def job(self, job_id: UUID) -> JobStatus:
        """Raises JobNotFound."""
        return self.jobs.one(job_id)

    # Jobs. Each is begun at once and says what came of it in the log.

    async def verify(self, archive_id: UUID, level: int, by: Principal) -> JobStatus:
        """Read it back at a level of 0 to 3; result `{"level", "events", ...}`.

        Raises AggregateNotFound, ArchiveNotReady, JobUnderWay, DatabaseUnavailable.
        """
        row = await self._ready(archive_id)

        async def work(told: Told) -> dict[str, Any]:
            result = await self._run("verify", {**self._named(row), "level": level}, told)
            events = int(result["events"])
            origin = _origin(by.subject)
            await self._record(
                RecordVerified(
                    origin=origin, archive_id=archive_id, level=result["level"], events=events
                )
            )
            return result

        return self.jobs.start("verify", archive_id, self._failing("verify", archive_id, by, work))

    async def drill(self, archive_id: UUID, by: Principal | None) -> JobStatus:
        """Restore it aside and compare; result `{"position", "events", "seconds", "equal", "code",
        "message", "file"}`. `by` None: the schedule.

        Raises AggregateNotFound, ArchiveNotReady, JobUnderWay, DatabaseUnavailable.
        """
        row = await self._ready(archive_id)

        async def work(told: Told) -> dict[str, Any]:
            result = await self._run("drill", self._named(row), told)
            if result["code"] in UNREADABLE_HERE:
                raise JobFailed(result["code"], result["message"])
            await self._record(
                RecordDrilled(
                    origin=_origin(KEEPER if by is None else by.subject),
                    archive_id=archive_id,
                    position=result["position"],
                    events=result["events"],
                    seconds=result["seconds"],
                    code=result["code"],
                    message=result["message"],
                )
            )
            if result["code"] is not None:
                actor = KEEPER if by is None else by.subject
                await self._unsound.spread(archive_id, actor=actor, stage="drill", fault=result)
            return result

        return self.jobs.start("drill", archive_id, self._failing("drill", archive_id, by, work))

    async def expire(self, dry_run: bool, by: Principal) -> JobStatus:
        """Let go what no rule keeps; the result tells what, and why. Raises JobUnderWay."""

        async def work(told: Told) -> dict[str, Any]:
            return await self._expire(dry_run, by.subject, told)

        return self.jobs.start("expire", None, work)

    async def expire_by_time(self) -> None:
        """The same for the schedule, beside what people ask for. Raises DatabaseUnavailable."""
        try:
            await self._expire(False, KEEPER, lambda *_: None)
        except JobFailed as error:
            log.warning("archives_not_expired", code=error.code, reason=error.message)

    async def _expire(self, dry_run: bool, actor: str, told: Told) -> dict[str, Any]:
        request = {"store_id": str(self._store_id), "dry_run": dry_run}
        result = await self._run("expire", request, told)
        rows = await self._list.listed(status=None, before=None, limit=ALL)
        known = {row.archive_id for row in rows if row.status != ArchiveStatus.EXPIRED}
        for archive in [] if dry_run else result["archives"]:
            # What lay in the repository and nobody here knew of goes without a word.
            if (archive_id := UUID(archive["id"])) in known:
                await self._record(
                    ExpireArchive(
                        origin=_origin(actor), archive_id=archive_id, reason=archive["reason"]
                    )
                )
        return result

    def _failing(
        self,
        stage: str,
        archive_id: UUID,
        by: Principal | None,
        work: Callable[[Told], Awaitable[dict[str, Any]]],
    ) -> Callable[[Told], Awaitable[dict[str, Any]]]:
        """The work; where it finds that the archive is not sound, the log says so."""

        async def recording(told: Told) -> dict[str, Any]:
            try:
                return await work(told)
            except JobFailed as error:
                if says_unsound(error):
                    actor = KEEPER if by is None else by.subject
                    code, message = str(error.facts["fault"]), error.message
                    await self._unsound.record(
                        archive_id, actor=actor, stage=stage, code=code, message=message
                    )
                    fault = {"code": code, "message": message, "file": error.facts.get("file")}
                    await self._unsound.spread(archive_id, actor=actor, stage=stage, fault=fault)
                raise

        return recording

    async def _ready(self, archive_id: UUID) -> ArchiveRow:
        row = await self.one(archive_id)
        if row.status not in READY:
            raise ArchiveNotReady(archive_id, row.status)
        return row

    def _named(self, row: ArchiveRow) -> dict[str, Any]:
        """How a job finds an archive, and knows that it is the one which the log means."""
        return {
            "store_id": str(self._store_id),
            "archive_id": str(row.archive_id),
            "sha256": row.sha256,
        }

    async def _run(self, kind: str, request: dict[str, Any], told: Told) -> dict[str, Any]:
        return await self._archivist.run(kind, request, told)

    async def _record(self, command: Command) -> None:
        receipt = await self._commands.execute(command)
        await self._reach(receipt.cursor.position)

    async def _reach(self, position: int) -> None:
        """So that whoever looks next sees it. Raises DatabaseUnavailable."""
        await self._watermarks.reached(ARCHIVES, position, timeout_seconds=BEHIND_SECONDS_MAX)


def says_unsound(error: JobFailed) -> bool:
    """Whether a job failed by what the archive is, and not for want of a key, a disk or a
    network."""
    return error.code == BadArchive.code and error.facts.get("fault") not in UNREADABLE_HERE


def _origin(actor: str, key: RequestKey | None = None) -> Origin:
    return Origin(
        tenant=OPERATOR_TENANT,
        actor=actor,
        command_id=uuid7() if key is None else key.command_id,
    )
