"""When archives are taken and drilled: work of the leader.

What was last is read from the log, so that what fell into a time in which nobody led is made up for
at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from application.archives.archives import Archives
from application.archives.jobs import JobUnderWay
from application.archives.listing import ArchiveList
from application.ports import Clock
from domain.archive import ArchiveType
from domain.errors import ControlPlaneError

FIRST_SECONDS = 1.0
"""After the process begins to lead."""
AGAIN_SECONDS = 30.0
"""After something that could not be done, or not be looked up."""
DRILLED_AGAIN = timedelta(hours=1)
"""After a drill was begun: one that came to nothing left no trace in the log."""

log = structlog.get_logger("archives")


class Timetable(Protocol):
    """Does work at a time."""

    def start(self) -> None:
        """Begin to look at the time."""

    def stop(self) -> None:
        """Begin nothing more."""

    def at(self, name: str, moment: datetime, work: Callable[[], Awaitable[None]]) -> None:
        """Do it then, at once where that time has gone by; in place of what was to be done under
        this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """`incremental` after an event is in an archive, `full` from one archive that stands alone to
    the next, `drill` from one drill to the next; None: never."""

    incremental: timedelta
    full: timedelta
    drill: timedelta | None


class ArchiveSchedule:
    """Orders archives and drills when they are due. Each looks up when that is, and comes back
    then."""

    def __init__(
        self,
        archives: Archives,
        listing: ArchiveList,
        clock: Clock,
        timetable: Timetable,
        intervals: Intervals,
    ) -> None:
        self._archives = archives
        self._list = listing
        self._clock = clock
        self._timetable = timetable
        self._intervals = intervals

    async def run(self) -> None:
        """Until cancelled."""
        self._timetable.start()
        try:
            self._come_back("incremental", self.look_at_events, FIRST_SECONDS)
            self._come_back("full", self.look_at_full, FIRST_SECONDS)
            if self._intervals.drill is not None:
                self._come_back("drill", self.look_at_drill, FIRST_SECONDS)
            await asyncio.Event().wait()
        finally:
            self._timetable.stop()

    async def look_at_events(self) -> datetime:
        """Order an archive when an event has been in none for too long; when to look again."""
        since, wanted = (await self._list.marks()).unarchived_since, self._intervals.incremental
        now = self._clock()
        if since is None:
            return now + wanted
        if since + wanted > now:
            return since + wanted
        await self._archives.order(ArchiveType.INCREMENTAL)
        return now + wanted

    async def look_at_full(self) -> datetime:
        """Order an archive that stands alone when the last is too old; when to look again. The
        very first comes with the first events."""
        whole_at, now = (await self._list.marks()).whole_at, self._clock()
        soon = now + self._intervals.incremental
        if whole_at is None:
            return soon
        due = whole_at + self._intervals.full
        if due > now:
            return due
        await self._archives.order(ArchiveType.FULL)
        return soon

    async def look_at_drill(self) -> datetime:
        """Drill the newest verified archive when the last drill was too long ago; when to look
        again."""
        assert self._intervals.drill is not None, "nothing is drilled"
        marks, now = await self._list.marks(), self._clock()
        last = marks.drilled_at or marks.first_verified_at
        if last is None:
            return now + self._intervals.incremental
        due = last + self._intervals.drill
        if due > now:
            return due
        newest = await self._list.newest_verified()
        if newest is not None:
            try:
                await self._archives.drill(newest.archive_id, by=None)
            except JobUnderWay:
                return now + timedelta(seconds=AGAIN_SECONDS)
        return now + DRILLED_AGAIN

    def _come_back(
        self, name: str, look: Callable[[], Awaitable[datetime]], seconds: float
    ) -> None:
        async def work() -> None:
            moment = self._clock() + timedelta(seconds=AGAIN_SECONDS)
            try:
                moment = await look()
            except ControlPlaneError as error:
                log.warning("schedule_failed", what=name, code=error.code, reason=error.message)
            finally:
                self._timetable.at(name, moment, work)

        self._timetable.at(name, self._clock() + timedelta(seconds=seconds), work)
