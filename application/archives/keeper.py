"""Takes the archives that were ordered: work of the leader, one archive at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from application.access import OPERATOR_TENANT
from application.archives.archives import KEEPER, Progress, says_unsound
from application.archives.listing import ARCHIVES, ArchiveList
from application.archives.ports import Archivist, JobFailed
from application.archives.unsound import Unsound
from application.commands import Command, Origin
from application.commands.archives import (
    RecordFound,
    RecordStored,
    RecordVerified,
)
from application.duties import cancelled
from application.ids import uuid7
from application.projections.archives import FOUND, ArchiveRow
from application.watermarks import Watermarks
from application.writer import Commands
from domain.archive import ArchiveFacts, ArchiveStatus, ArchiveType
from domain.errors import DatabaseUnavailable

LOOK_SECONDS = 1.0
"""Orders of other processes are found at least this often."""
FIRST_LOOK_SECONDS = 10.0
"""After it begins, and only then, what lies in the repository is compared with the log."""
TRIES_MAX = 3
PAUSE_SECONDS = 1.0
VERIFY_TRIES_MAX = 8
"""Of an archive that is stored and not verified, taken here or found, pauses doubled from
PAUSE_SECONDS on: some four minutes. What is left unverified then, the alarm tells of."""
TRIED_AGAIN = frozenset({"job_process_ended", "database_unavailable"})
"""Failures that say nothing of the next try: somebody killed the process, or PostgreSQL."""
BEHIND_SECONDS_MAX = 10.0
AT_ONCE = 100

log = structlog.get_logger("archives")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What every archive says of the log that it is of: `topics` with their class versions, and
    which `release` of the program took it."""

    store_id: UUID
    topics: Mapping[str, int]
    release: str


class ArchiveKeeper:
    """What was begun and not recorded is begun again: the job finds what is there already.

    `then` is called with each archive that was taken here and verified. In an `epoch` behind the
    first, archives may lie there that the log knows nothing of: they are looked for at once.
    """

    def __init__(
        self,
        listing: ArchiveList,
        archivist: Archivist,
        commands: Commands,
        watermarks: Watermarks,
        kind: Kind,
        *,
        unsound: Unsound,
        epoch: int,
        then: Callable[[ArchiveType], Awaitable[None]],
    ) -> None:
        self._list = listing
        self._archivist = archivist
        self._commands = commands
        self._watermarks = watermarks
        self._kind = kind
        self._unsound = unsound
        self._then = then
        self._first_look_seconds = FIRST_LOOK_SECONDS if epoch == 1 else 0.0
        self._tried: dict[UUID, tuple[int, float]] = {}
        self._ordered = asyncio.Event()
        self._ordered_at = 0
        self._under_way: tuple[UUID, Progress] | None = None
        self._looks_at = 0.0

    def wake(self, position: int) -> None:
        """Something was ordered, at a position."""
        self._ordered_at = position
        self._ordered.set()

    def progress(self, archive_id: UUID) -> Progress | None:
        """How far it is, while it is taken here."""
        if self._under_way is None or self._under_way[0] != archive_id:
            return None
        return self._under_way[1]

    async def run(self) -> None:
        """Until cancelled."""
        self._looks_at = time.monotonic() + self._first_look_seconds
        while not cancelled():
            try:
                await self._work()
            except DatabaseUnavailable as error:
                log.warning("archives_wait", reason=error.message)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _work(self) -> None:
        """One archive, or a wait for one. Raises DatabaseUnavailable."""
        self._ordered.clear()
        if (row := await self._next()) is not None:
            await self._take(row)
            return
        if time.monotonic() >= self._looks_at:
            await self.look()
            self._looks_at = float("inf")
        if (stored := await self._next_unverified()) is not None:
            await self._verify(stored)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._ordered.wait()
                await self._watermarks.reached(
                    ARCHIVES, self._ordered_at, timeout_seconds=LOOK_SECONDS
                )

    async def look(self) -> None:
        """Know of what lies in the repository and the log says nothing of. Raises
        DatabaseUnavailable."""
        after: str | None = ""
        while after is not None:
            after = await self._look(after)

    async def _look(self, after: str) -> str | None:
        """At some of it, behind a name; the name behind which there is more."""
        known = [str(archive_id) for archive_id in await self._list.known()]
        request = {"store_id": str(self._kind.store_id), "known": known, "after": after}
        try:
            result = await self._archivist.run("look", request, lambda *_: None)
        except JobFailed as error:
            log.warning("repository_not_read", code=error.code, reason=error.message)
            return None
        for found in result["found"]:
            await self._record(
                RecordFound(
                    origin=_origin(),
                    archive_id=UUID(found["archive_id"]),
                    type=ArchiveType(found["type"]),
                    facts=facts_from(found["facts"]),
                )
            )
        if result["found"] or result["broken"]:
            log.info("archives_found", found=len(result["found"]), broken=result["broken"])
        more: str | None = result["more"]
        return more

    async def _next(self) -> ArchiveRow | None:
        """The oldest order."""
        return next(iter(await self._oldest_first(ArchiveStatus.RUNNING)), None)

    async def _oldest_first(self, status: ArchiveStatus) -> list[ArchiveRow]:
        found: list[ArchiveRow] = []
        before: UUID | None = None
        while rows := await self._list.listed(status=status, before=before, limit=AT_ONCE):
            found.extend(rows)
            before = rows[-1].archive_id
        return found[::-1]

    async def _take(self, row: ArchiveRow) -> None:
        log.info("archive_started", archive_id=str(row.archive_id), type=row.type)
        began = time.monotonic()
        try:
            result = await self._patiently(row)
        except JobFailed as error:
            await self._fail(row, self._stage(), error.code, error.message, error.facts)
            return
        finally:
            self._under_way = None
        await self._record_taken(row, result)
        log.info(
            "archive_taken",
            archive_id=str(row.archive_id),
            type=result["type"],
            because=result["because"],
            new_events=result["facts"]["new_events"],
            seconds=round(time.monotonic() - began, 3),
        )

    async def _patiently(self, row: ArchiveRow) -> dict[str, Any]:
        """Raises JobFailed, DatabaseUnavailable."""
        for tries in range(1, TRIES_MAX + 1):
            try:
                return await self._run(row)
            except JobFailed as error:
                if error.code not in TRIED_AGAIN or tries == TRIES_MAX:
                    raise
                log.warning("archive_begun_again", archive_id=str(row.archive_id), code=error.code)
                await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError("the last try is answered or raises")

    async def _run(self, row: ArchiveRow) -> dict[str, Any]:
        newest = await self._list.newest_verified()
        request = {
            "store_id": str(self._kind.store_id),
            "archive_id": str(row.archive_id),
            "type": row.type,
            "ordered_at": row.position,
            "newest": newest and {"archive_id": str(newest.archive_id), "sha256": newest.sha256},
            "verified": [str(archive_id) for archive_id in await self._list.verified()],
            "topics": dict(self._kind.topics),
            "release": self._kind.release,
        }

        def told(stage: str, done: int, total: int) -> None:
            progress = Progress(stage=stage, done=done, total=total)
            self._under_way = row.archive_id, progress

        told("context", 0, 0)
        return await self._archivist.run("backup", request, told)

    async def _record_taken(self, row: ArchiveRow, result: dict[str, Any]) -> None:
        kind = ArchiveType(result["type"])
        await self._record(
            RecordStored(
                origin=_origin(),
                archive_id=row.archive_id,
                type=kind,
                facts=facts_from(result["facts"]),
            )
        )
        fault = result["fault"]
        if fault is None:
            verified = result["verified"]
            await self._record(
                RecordVerified(
                    origin=_origin(),
                    archive_id=row.archive_id,
                    level=verified["level"],
                    events=verified["events"],
                )
            )
            await self._then(kind)
        elif fault["unsound"]:
            await self._fail(row, "verify", fault["code"], fault["message"], fault)
            await self._spread(row, fault)
        else:
            log.warning("archive_not_verified", archive_id=str(row.archive_id), **fault)

    async def _next_unverified(self) -> ArchiveRow | None:
        """The oldest that is stored and due: it was found here, or could not be verified."""
        for row in await self._oldest_first(ArchiveStatus.STORED):
            tries, due = self._tried.get(row.archive_id, (0, 0.0))
            if tries < VERIFY_TRIES_MAX and time.monotonic() >= due:
                pause = PAUSE_SECONDS * (1 << tries)
                self._tried[row.archive_id] = tries + 1, time.monotonic() + pause
                return row
        return None

    async def _verify(self, row: ArchiveRow) -> None:
        """What an archive adds, at the level of the settings, as when it was taken."""
        request = {
            "store_id": str(self._kind.store_id),
            "archive_id": str(row.archive_id),
            "sha256": row.sha256,
            "level": None,
            "whole": False,
        }
        try:
            result = await self._archivist.run("verify", request, lambda *_: None)
        except JobFailed as error:
            if not says_unsound(error):
                reason = error.message
                log.warning("archive_not_verified", archive_id=str(row.archive_id), reason=reason)
                return
            code, message = str(error.facts["fault"]), error.message
            await self._fail(row, "verify", code, message, {})
            fault = {"code": code, "message": message, "file": error.facts.get("file")}
            await self._spread(row, fault)
            return
        await self._record(
            RecordVerified(
                origin=_origin(),
                archive_id=row.archive_id,
                level=result["level"],
                events=result["events"],
            )
        )
        if row.requested_by != FOUND:
            await self._then(ArchiveType(row.type))

    async def _spread(self, row: ArchiveRow, fault: Mapping[str, Any]) -> None:
        await self._unsound.spread(row.archive_id, actor=KEEPER, stage="verify", fault=fault)

    def _stage(self) -> str:
        return "context" if self._under_way is None else self._under_way[1].stage

    async def _fail(
        self, row: ArchiveRow, stage: str, code: str, message: str, facts: Mapping[str, Any]
    ) -> None:
        code = str(facts.get("fault", code))
        await self._unsound.record(
            row.archive_id, actor=KEEPER, stage=stage, code=code, message=message
        )

    async def _record(self, command: Command) -> None:
        """And wait until it is seen, or it would be done twice. Raises DatabaseUnavailable,
        ArchiveNotReady."""
        receipt = await self._commands.execute(command)
        await self._watermarks.reached(
            ARCHIVES, receipt.cursor.position, timeout_seconds=BEHIND_SECONDS_MAX
        )


def facts_from(members: Mapping[str, Any]) -> ArchiveFacts:
    """As a job tells them."""
    return ArchiveFacts(**{**members, "last_at": datetime.fromisoformat(members["last_at"])})


def _origin() -> Origin:
    return Origin(tenant=OPERATOR_TENANT, actor=KEEPER, command_id=uuid7())
