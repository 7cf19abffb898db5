"""Tells when events have been in no verified archive for too long."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import structlog

from application.archives.listing import ArchiveList, Marks
from application.duties import cancelled
from application.ports import Clock
from domain.errors import DatabaseUnavailable

LOOK_SECONDS = 5.0
INTERVALS_MAX = 2
"""So many times as old as an event may become before an archive is ordered."""

log = structlog.get_logger("archives")


class BackupAlarm:
    """Looks every 5 s, in every process. `interval` is how soon an event is to be in an archive;
    None: nobody takes any by the time, and nothing is too old."""

    def __init__(self, listing: ArchiveList, clock: Clock, interval: timedelta | None) -> None:
        self._list = listing
        self._clock = clock
        self._interval = interval
        self._marks: Marks | None = None
        self._told = False

    async def run(self) -> None:
        """Until cancelled. While the database is away, what was seen last gets older."""
        while not cancelled():
            with suppress(DatabaseUnavailable):
                await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """See how things stand; a warning where they are wrong, once. Raises
        DatabaseUnavailable."""
        self._marks = await self._list.marks()
        if self.ringing and not self._told:
            verified_at = self.verified_at
            log.warning(
                "backups_late",
                unprotected_seconds=round(self.unprotected_seconds),
                last_verified_at=verified_at and verified_at.isoformat(),
            )
        self._told = self.ringing

    @property
    def verified_at(self) -> datetime | None:
        """When an archive was last found sound."""
        return None if self._marks is None else self._marks.verified_at

    @property
    def age_seconds(self) -> float:
        """How long that is ago; 0 where it never was."""
        at = self.verified_at
        return 0.0 if at is None else max((self._clock() - at).total_seconds(), 0.0)

    @property
    def unprotected_seconds(self) -> float:
        """For how long an event has been in no verified archive; 0: all are in one."""
        since = None if self._marks is None else self._marks.unprotected_since
        return 0.0 if since is None else max((self._clock() - since).total_seconds(), 0.0)

    @property
    def ringing(self) -> bool:
        """Whether that is too long."""
        if self._interval is None:
            return False
        return self.unprotected_seconds > INTERVALS_MAX * self._interval.total_seconds()

    def readiness(self, *, failing: bool) -> dict[str, Any]:
        """What `/readyz` shows; `failing`: the work itself is."""
        at = self.verified_at
        return {
            "ok": not self.ringing and not failing,
            "last_verified_at": at and at.isoformat(),
            "unprotected_seconds": round(self.unprotected_seconds, 1),
            "failing": failing,
        }
