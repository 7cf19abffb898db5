"""Work that is due at a time, by APScheduler on the event loop."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from application.ports import Clock


class ApTimetable:
    """Implements `application.archives.schedule.Timetable`. What was missed, be it because the
    machine slept, is made up for at once, and once; of one name, one at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 2, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """From within the event loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """Nothing more is begun."""
        self._scheduler.shutdown(wait=False)

    def at(self, name: str, moment: datetime, work: Callable[[], Awaitable[None]]) -> None:
        """The time that decides is PostgreSQL's; the machine's may differ."""
        left = max(moment - self._clock(), timedelta())
        trigger = DateTrigger(datetime.now(UTC) + left)
        self._scheduler.add_job(work, trigger, id=name, name=name, replace_existing=True)
