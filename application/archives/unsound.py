"""Archives that turn out not to be sound, and all that hold the same files."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog

from application.access import OPERATOR_TENANT
from application.archives.listing import ARCHIVES, ArchiveList
from application.archives.ports import Archivist, JobFailed
from application.commands import Origin
from application.commands.archives import RecordArchiveFailed
from application.ids import uuid7
from application.watermarks import Watermarks
from application.writer import Commands
from domain.archive import READY
from domain.errors import ArchiveNotReady

CONTINUES_FAILED = "continues_failed"
BEHIND_SECONDS_MAX = 5.0

log = structlog.get_logger("archives")


class Unsound:
    """Writes down that archives failed. Belongs to the event loop."""

    def __init__(
        self,
        listing: ArchiveList,
        commands: Commands,
        watermarks: Watermarks,
        archivist: Archivist,
        *,
        store_id: UUID,
    ) -> None:
        self._list = listing
        self._commands = commands
        self._watermarks = watermarks
        self._archivist = archivist
        self._store_id = store_id

    async def record(
        self, archive_id: UUID, *, actor: str, stage: str, code: str, message: str
    ) -> None:
        """An archive failed. Nothing once it has expired. Raises DatabaseUnavailable."""
        log.error("archive_failed", archive_id=str(archive_id), stage=stage, code=code)
        command = RecordArchiveFailed(
            origin=Origin(tenant=OPERATOR_TENANT, actor=actor, command_id=uuid7()),
            archive_id=archive_id,
            stage=stage,
            code=code,
            message=message,
        )
        try:
            receipt = await self._commands.execute(command)
        except ArchiveNotReady:
            return
        await self._watermarks.reached(
            ARCHIVES, receipt.cursor.position, timeout_seconds=BEHIND_SECONDS_MAX
        )

    async def spread(
        self,
        archive_id: UUID,
        *,
        actor: str,
        stage: str,
        fault: Mapping[str, Any],
    ) -> None:
        """An archive failed for a `fault` (`code`, `message`, and perhaps the `file` that is not
        sound): so do those that are made of that file. Whose file it is fails as this one did, and
        who goes on from it because it does. Raises DatabaseUnavailable."""
        file = fault.get("file")
        request = {"store_id": str(self._store_id), "archive_id": str(archive_id), "file": file}
        try:
            result = await self._archivist.run("made_of", request, lambda *_: None)
        except JobFailed as error:
            # Nothing continues them all the same: what failed is in their chain.
            log.warning("archives_not_looked_through", code=error.code, reason=error.message)
            return
        for found in result["archives"]:
            row = await self._list.one(UUID(found["archive_id"]))
            if row is None or row.archive_id == archive_id or row.status not in READY:
                continue
            code, message = fault["code"], fault["message"]
            if not found["owns"]:
                message = f"It is made of what failed: {message}"
                code = CONTINUES_FAILED
            await self.record(row.archive_id, actor=actor, stage=stage, code=code, message=message)
