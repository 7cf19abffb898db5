"""Backups: who orders, takes, keeps and watches over archives."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from application.archives.alarm import BackupAlarm
from application.archives.archives import Archives
from application.archives.job_runner import Jobs
from application.archives.keeper import ArchiveKeeper, Kind
from application.archives.schedule import ArchiveSchedule, Intervals
from application.archives.unsound import Unsound
from application.duties import Duty
from application.seals.ports import Signer
from application.writer import Commands
from domain.archive import ArchiveType
from domain.catalogue import EVENTS
from infrastructure.archives.child import ArchivistProcess
from infrastructure.postgres.archives import PostgresArchiveList
from infrastructure.postgres.seals import PostgresSealReader
from infrastructure.scheduling.timetable import ApTimetable
from infrastructure.settings import Settings
from interfaces.bootstrap.ground import Ground
from interfaces.bootstrap.views import Views

NOT_FOR_JOBS = frozenset({"admin_password", "database_url", "database_owner_url"})
"""Settings that a job is not told, or that are told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """`leading` is the work of the leader, `watching` that of every process."""

    archives: Archives
    archivist: ArchivistProcess
    keeper: ArchiveKeeper
    jobs: Jobs
    alarm: BackupAlarm
    leading: Sequence[Duty]
    watching: Duty


def wire_archives(
    ground: Ground,
    views: Views,
    commands: Commands,
    signer: Signer,
    settings: Settings,
    *,
    owner_url: str,
    opened: AsyncExitStack,
) -> Backups:
    """Does no I/O; `opened` ends a job that is under way."""
    listing = PostgresArchiveList(ground.async_pool)
    archivist = archivist_of(ground, signer, settings, owner_url=owner_url)
    jobs = Jobs(ground.clock)
    opened.push_async_callback(jobs.stop)

    async def after(kind: ArchiveType) -> None:
        if kind != ArchiveType.INCREMENTAL and settings.backup_seconds:
            await archives.expire_by_time()

    store, marks = ground.store, views.watermarks
    unsound = Unsound(listing, commands, marks, archivist, store_id=store.store_id)
    keeper = ArchiveKeeper(
        *(listing, archivist, commands, marks, kind_of(ground)),
        unsound=unsound,
        epoch=store.epoch,
        then=after,
    )
    archives = Archives(
        *(listing, commands, marks, archivist, jobs),
        unsound=unsound,
        store_id=store.store_id,
        epoch=store.epoch,
        under_way=keeper.progress,
        ordered=keeper.wake,
    )
    leading = [Duty("archives", keeper.run)]
    intervals = intervals_of(settings) if settings.backup_seconds else None
    if intervals is not None:
        leading.append(_schedule(archives, listing, ground, intervals))
    alarm = BackupAlarm(listing, ground.clock, None if intervals is None else intervals.incremental)
    return Backups(
        archives=archives,
        archivist=archivist,
        keeper=keeper,
        jobs=jobs,
        alarm=alarm,
        leading=leading,
        watching=Duty("backup_alarm", alarm.run),
    )


def _schedule(
    archives: Archives, listing: PostgresArchiveList, ground: Ground, intervals: Intervals
) -> Duty:
    timetable = ApTimetable(ground.clock)
    schedule = ArchiveSchedule(archives, listing, ground.clock, timetable, intervals)
    return Duty("backup_schedule", schedule.run)


def kind_of(ground: Ground) -> Kind:
    """What every archive of this log says of it."""
    return Kind(
        store_id=ground.store.store_id,
        topics={topic: getattr(event, "class_version", 1) for topic, event in EVENTS.items()},
        release=version("musterroll-service"),
    )


def intervals_of(settings: Settings) -> Intervals:
    """As the schedule takes them. What cannot be read here is not drilled here."""
    unreadable = settings.backup_recipients and settings.backup_identity_file is None
    days = 0 if unreadable else settings.backup_drill_days
    return Intervals(
        incremental=timedelta(seconds=settings.backup_seconds),
        full=timedelta(hours=settings.backup_full_hours),
        drill=timedelta(days=days) if days else None,
    )


def archivist_of(
    ground: Ground, signer: Signer, settings: Settings, *, owner_url: str
) -> ArchivistProcess:
    """Whose jobs trust archives that were signed with a key of this log's seals."""
    keys = PostgresSealReader(ground.async_pool)

    async def told() -> dict[str, Any]:
        trusted = {signer.key_id, *await keys.keys()}
        return {
            **job_settings(settings),
            "database_url": ground.url,
            "owner_url": owner_url,
            "trusted_keys": sorted(trusted),
        }

    return ArchivistProcess(told)


def job_settings(settings: Settings) -> dict[str, Any]:
    """What JobContext is made of, but for where the database is and whom to trust."""
    return {"settings": settings.model_dump(mode="json", exclude=set(NOT_FOR_JOBS))}
