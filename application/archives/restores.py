"""Restores: planned, done by the archivist, and undone. Read "The life of a restore" first."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from application.archives.faults import BadArchive
from application.archives.format import time_from, time_text
from application.archives.job_runner import Jobs
from application.archives.jobs import JobStatus
from application.archives.ports import Archivist, JobFailed, Told
from application.archives.restored import RestoreOrder, order_members
from application.cursor import Cursor
from application.ports import Store
from domain.errors import Conflict, ControlPlaneError, Invalid, Unavailable

TURN_SECONDS_MAX = 5.0
"""So long a plan waits for a backup that is under way."""


class BeyondArchive(Invalid):
    """The archive ends before that. `nearest` is its last position: no cursor, which would be of
    the epoch that it was taken in."""

    code = "beyond_archive"

    def __init__(self, what: str, last: int) -> None:
        super().__init__(f"{what} is beyond the archive, which ends at {last}.", nearest=last)


class BeforeHistory(Invalid):
    """Nothing was recorded by then. `nearest` is the position of the first event."""

    code = "before_history"

    def __init__(self, what: str, first: int) -> None:
        super().__init__(f"At {what} nothing had happened yet.", nearest=first)


class NothingToUndo(Conflict):
    """No store was put aside, or none is left."""

    code = "nothing_to_undo"


class NotEmpty(Conflict):
    """There is a store with events already: it is restored through its service."""

    code = "store_not_empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """What the live store has and the restored one will not: how many events, behind one cursor and
    up to another. `first` is the cursor of the first, of type `first_type`, recorded at
    `first_at`."""

    events: int
    after: str
    first: str
    first_type: str
    first_at: datetime
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a restore would do. `position` is that of the last event that is restored, recorded at
    `time`; `events` how many there are up to it; `bytes` what has to be read of the repository;
    `into` is `beside the live store` or `an empty database`."""

    archive_id: UUID
    position: int
    time: datetime
    events: int
    from_epoch: int
    to_epoch: int
    lost: Lost | None
    bytes: int
    estimate_seconds: float
    into: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredStore:
    """What began the present epoch; `archive_id` is None where a store came back."""

    at: datetime
    position: int
    from_epoch: int
    archive_id: UUID | None
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerStore:
    """A store that was put aside, and until when it is kept."""

    epoch: int
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """The store as it stands; `restored` is None in its first epoch."""

    store_id: UUID
    epoch: int
    cursor: str
    restored: RestoredStore | None
    former: tuple[FormerStore, ...]


class StoreSource(Protocol):
    """Looks at the store that serves. Everything raises DatabaseUnavailable."""

    async def head(self) -> int:
        """The newest position."""

    async def restored(self) -> RestoredStore | None:
        """What began this epoch."""

    async def former(self) -> tuple[FormerStore, ...]:
        """Stores that were put aside, newest first."""


class Restores:
    """Plans, restores and undoes, each in the archivist. For one event loop."""

    def __init__(self, archivist: Archivist, jobs: Jobs, source: StoreSource, store: Store) -> None:
        self._archivist = archivist
        self._jobs = jobs
        self._source = source
        self._store = store

    async def plan(
        self,
        archive_id: UUID,
        *,
        to_position: int | None = None,
        to_time: datetime | None = None,
    ) -> Plan:
        """What would be done; nothing is. With neither, the whole archive is restored.

        Raises BadArchive, BeyondArchive, BeforeHistory, RepositoryUnavailable,
        DatabaseUnavailable; JobUnderWay for a job, and for a backup that goes on for too long.
        """
        self._jobs.require_none()
        request = self._request(archive_id, to_position, to_time)
        try:
            found = await self._archivist.run(
                "plan", request, _told_nobody, wait_seconds=TURN_SECONDS_MAX
            )
        except JobFailed as failed:
            raise refusal_of(failed) from failed
        return plan_from(found)

    async def restore(
        self,
        archive_id: UUID,
        *,
        to_position: int | None = None,
        to_time: datetime | None = None,
        order: RestoreOrder,
    ) -> tuple[Plan, JobStatus]:
        """Begin what the plan says. When the job is done this process is of an epoch that has
        ended, and starts anew: the job is known no more then.

        Raises what `plan` raises.
        """
        plan = await self.plan(archive_id, to_position=to_position, to_time=to_time)
        request = self._request(archive_id, plan.position, None) | self._ordered(order)
        return plan, self._jobs.start("restore", archive_id, partial(self._run, "restore", request))

    def undo(self, order: RestoreOrder) -> JobStatus:
        """Begin to bring back the store that the last restore put aside. Raises JobUnderWay; the
        job fails with `nothing_to_undo`."""
        request = {"store_id": str(self._store.store_id)} | self._ordered(order)
        return self._jobs.start("undo", None, partial(self._run, "undo", request))

    async def store(self) -> StoreStatus:
        """Raises DatabaseUnavailable."""
        head = await self._source.head()
        return StoreStatus(
            store_id=self._store.store_id,
            epoch=self._store.epoch,
            cursor=str(Cursor(self._store.epoch, head)),
            restored=await self._source.restored(),
            former=await self._source.former(),
        )

    async def drop_former(self) -> None:
        """Drop stores that were put aside too long ago, and what a restore left that was killed.
        Raises JobFailed."""
        await self._archivist.run("drop_former", {}, _told_nobody)

    async def _run(self, kind: str, request: dict[str, Any], told: Told) -> dict[str, Any]:
        return await self._archivist.run(kind, request, told)

    def _ordered(self, order: RestoreOrder) -> dict[str, Any]:
        """By whom, and in which epoch: it is done in no other."""
        return {"order": order_members(order), "epoch": self._store.epoch}

    def _request(
        self, archive_id: UUID, to_position: int | None, to_time: datetime | None
    ) -> dict[str, Any]:
        return {
            "store_id": str(self._store.store_id),
            "archive_id": str(archive_id),
            "to_position": to_position,
            "to_time": to_time and time_text(to_time),
        }


def plan_members(plan: Plan) -> dict[str, Any]:
    """As JSON, between processes."""
    lost = plan.lost and {
        **{name: getattr(plan.lost, name) for name in Lost.__dataclass_fields__},
        "first_at": time_text(plan.lost.first_at),
    }
    members = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    return {
        **members,
        "archive_id": str(plan.archive_id),
        "time": time_text(plan.time),
        "lost": lost,
    }


def plan_from(members: dict[str, Any]) -> Plan:
    """What `plan_members` made."""
    lost = members["lost"]
    return Plan(
        **{
            **members,
            "archive_id": UUID(members["archive_id"]),
            "time": time_from(members["time"]),
            "lost": lost and Lost(**{**lost, "first_at": time_from(lost["first_at"])}),
        }
    )


def refusal_of(failed: JobFailed) -> ControlPlaneError:
    """The error of ours that a job failed with, with its facts."""
    waiting: list[type[ControlPlaneError]] = [ControlPlaneError]
    while waiting:
        kind = waiting.pop()
        if kind.code == failed.code:
            found = kind.recalled(failed.message)
            found.facts = dict(failed.facts)
            if isinstance(found, BadArchive):
                found.fault = str(failed.facts.get("fault"))
                found.file, found.byte = failed.facts.get("file"), failed.facts.get("byte")
            if isinstance(found, Unavailable):
                found.retry_after_seconds = 1
            return found
        waiting.extend(kind.__subclasses__())
    return Unavailable(failed.message)


def _told_nobody(stage: str, done: int, total: int) -> None:
    """A plan takes a moment."""
