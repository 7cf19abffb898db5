"""Jobs on archives that somebody asked this process for, and what became of them."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog

from application.archives.jobs import JobNotFound, JobStatus, JobUnderWay
from application.archives.ports import JobFailed, Told
from application.ids import uuid7
from application.ports import Clock
from domain.errors import ControlPlaneError

JOBS_KEPT_MAX = 100
Work = Callable[[Told], Awaitable[dict[str, Any]]]
"""What a job does; its result as JSON has it. Raises JobFailed, ControlPlaneError."""

log = structlog.get_logger("archives")


class Jobs:
    """One job at a time in this process; the last 100 are remembered. Belongs to the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[UUID, JobStatus] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> JobStatus | None:
        """The one that is under way."""
        newest = next(reversed(self._known.values()), None)
        return newest if newest is not None and newest.state == "running" else None

    def require_none(self) -> None:
        """Raises JobUnderWay."""
        if (busy := self.running) is not None:
            raise JobUnderWay(
                f"A job ({busy.kind}) has been running since {busy.began_at:%H:%M:%S} UTC.",
                job_id=str(busy.job_id),
            )

    def start(self, kind: str, archive_id: UUID | None, work: Work) -> JobStatus:
        """Begin, and answer at once. Raises JobUnderWay."""
        self.require_none()
        status = JobStatus(
            job_id=uuid7(),
            kind=kind,
            archive_id=archive_id,
            state="running",
            stage="context",
            done=0,
            total=0,
            result=None,
            error=None,
            began_at=self._clock(),
        )
        self._known[status.job_id] = status
        if len(self._known) > JOBS_KEPT_MAX:
            self._known.popitem(last=False)
        self._task = asyncio.create_task(self._run(status.job_id, work))
        return status

    def one(self, job_id: UUID) -> JobStatus:
        """As it stands. Raises JobNotFound."""
        try:
            return self._known[job_id]
        except KeyError:
            raise JobNotFound(f"There is no job {job_id}.") from None

    async def finished(self, job_id: UUID) -> JobStatus:
        """Once it has ended. Raises JobNotFound."""
        status = self.one(job_id)
        if status.state == "running" and self._task is not None:
            await asyncio.wait([self._task])
        return self.one(job_id)

    async def stop(self) -> None:
        """End the one that is under way."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, job_id: UUID, work: Work) -> None:
        def told(stage: str, done: int, total: int) -> None:
            self._change(job_id, stage=stage, done=done, total=total)

        try:
            result = await work(told)
        except asyncio.CancelledError:
            self._fail(job_id, "job_cancelled", "The service was stopped.", {})
            raise
        except (JobFailed, ControlPlaneError) as error:
            kind = self._known[job_id].kind
            log.warning("job_failed", kind=kind, code=error.code, reason=error.message)
            self._fail(job_id, error.code, error.message, error.facts)
        except Exception:  # the runner: a bug in a job must not leave it running for ever
            log.exception("job_failed", kind=self._known[job_id].kind)
            self._fail(job_id, "job_failed", "The job failed: the service's log says why.", {})
        else:
            self._change(job_id, state="done", result=result)

    def _fail(self, job_id: UUID, code: str, message: str, facts: dict[str, Any]) -> None:
        self._change(job_id, state="failed", error={**facts, "code": code, "message": message})

    def _change(self, job_id: UUID, **changes: Any) -> None:
        self._known[job_id] = replace(self._known[job_id], **changes)
