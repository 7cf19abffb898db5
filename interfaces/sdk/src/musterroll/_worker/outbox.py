"""Reports on their way to the service: at once when the way is free, else together.

While one request is under way the next reports gather, and go with the next. `started` is patient
and waits a moment for company. A report stays here until it is answered.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson

from musterroll._packing import packs
from musterroll._routes.work import AttemptRef, ReportOutcome
from musterroll._worker import results
from musterroll.errors import Invalid, MusterrollError

log = logging.getLogger("musterroll")

PATIENCE_SECONDS = 0.05
PROGRESS_SECONDS = 1.0
MESSAGE_BYTES_MAX = 2_000
# Results that the service has not taken yet. Beyond either there is no room for more work; the
# largest batch may be done while another one is on its way.
UNDELIVERED_MAX = 2_000
UNDELIVERED_BYTES_MAX = 64 * 1024 * 1024
LAST_TYPES = frozenset({"completed", "failed", "released"})

Deliver = Callable[[list[bytes]], Awaitable[list[ReportOutcome]]]


class Report(NamedTuple):
    ref: AttemptRef
    type: str
    encoded: bytes

    @property
    def is_last(self) -> bool:
        return self.type in LAST_TYPES


class Outbox:
    """Gathers reports and delivers them in order."""

    def __init__(self, deliver: Deliver, clock: Callable[[], float] = time.monotonic) -> None:
        """`deliver` sends one batch and insists until it is answered or refused."""
        self._deliver = deliver
        self._clock = clock
        self._waiting: list[Report] = []
        self._in_flight: list[Report] = []
        self._progress: dict[AttemptRef, Report] = {}
        self._progress_due_at: dict[AttemptRef, float] = {}
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._answered = asyncio.Event()
        self._undelivered = 0
        self._undelivered_bytes = 0

    @property
    def undelivered(self) -> list[AttemptRef]:
        """Attempts whose last report is not answered yet."""
        return [report.ref for report in (*self._in_flight, *self._waiting) if report.is_last]

    def started(self, ref: AttemptRef) -> None:
        self._put(_report(ref, {"type": "started"}))

    def progress(self, ref: AttemptRef, fraction: float, message: str | None) -> None:
        """The last word wins; one a second goes out."""
        text = None if message is None else results.bounded(message, MESSAGE_BYTES_MAX)
        members = {"type": "progress", "fraction": fraction, "message": text}
        self._progress[ref] = _report(ref, members)
        self._progress_due_at.setdefault(ref, self._clock())
        self._idle.clear()
        self._changed.set()

    def ended(self, ref: AttemptRef, members: dict[str, Any]) -> None:
        self.forget(ref)
        report = _report(ref, members)
        self._undelivered += 1
        self._undelivered_bytes += len(report.encoded)
        self._put(report)
        self._urgent.set()

    def forget(self, ref: AttemptRef) -> None:
        """Leave out progress that nobody needs any more."""
        self._progress.pop(ref, None)
        self._progress_due_at.pop(ref, None)

    async def run(self) -> None:
        """Deliver for ever.

        Raises Unauthorized, Forbidden, NotFound or Conflict when this agent may report no more.
        """
        while True:
            await self._company()
            for batch in self._take():
                await self._send(batch)
                self._settle(batch)
            if not self._waiting and not self._progress:
                self._idle.set()

    async def flush(self) -> None:
        """Return when all is delivered."""
        self._urgent.set()
        self._changed.set()
        await self._idle.wait()

    async def room(self) -> None:
        """Return when there is room for the results of more work."""
        while (
            self._undelivered >= UNDELIVERED_MAX or self._undelivered_bytes >= UNDELIVERED_BYTES_MAX
        ):
            self._answered.clear()
            await self._answered.wait()

    def _settle(self, batch: list[Report]) -> None:
        del self._in_flight[: len(batch)]
        answered = [len(report.encoded) for report in batch if report.is_last]
        self._undelivered -= len(answered)
        self._undelivered_bytes -= sum(answered)
        self._answered.set()

    def _put(self, report: Report) -> None:
        self._waiting.append(report)
        self._idle.clear()
        self._changed.set()

    async def _company(self) -> None:
        """Wait until there is something to send, and a moment longer if it has time."""
        while not self._urgent.is_set():
            seconds = self._seconds_to_go()
            if seconds <= 0:
                return
            self._changed.clear()
            waiter = self._urgent if self._waiting else self._changed
            try:
                async with asyncio.timeout(None if seconds == math.inf else seconds):
                    await waiter.wait()
            except TimeoutError:
                return
        self._urgent.clear()

    def _seconds_to_go(self) -> float:
        if self._waiting:
            return PATIENCE_SECONDS
        due = [self._progress_due_at.get(ref, 0.0) for ref in self._progress]
        return min(due) - self._clock() if due else math.inf

    def _take(self) -> list[list[Report]]:
        now = self._clock()
        for ref in [r for r in self._progress if self._progress_due_at.get(r, 0.0) <= now]:
            self._waiting.append(self._progress.pop(ref))
            self._progress_due_at[ref] = now + PROGRESS_SECONDS
        self._in_flight, self._waiting = self._waiting, []
        reports = iter(list(self._in_flight))
        return [[next(reports) for _ in pack] for pack in packs(r.encoded for r in self._in_flight)]

    async def _send(self, batch: list[Report]) -> None:
        try:
            outcomes = await self._deliver([report.encoded for report in batch])
        except Invalid as error:
            await self._send_singly(batch, error)
            return
        for report, outcome in zip(batch, outcomes, strict=False):
            if not outcome.accepted:
                _log_refusal(report, outcome)

    async def _send_singly(self, batch: list[Report], error: MusterrollError) -> None:
        """One bad report must not take its neighbours down with it; its task must not hang."""
        if len(batch) > 1:
            for report in batch:
                await self._send([report])
            return
        (report,) = batch
        log.error("task %s: report refused: %s", report.ref.task_id, error)
        if report.type == "completed":
            members = results.failed("report_refused", str(error), retryable=False)
            await self._send([_report(report.ref, members)])


def _report(ref: AttemptRef, members: dict[str, Any]) -> Report:
    encoded = orjson.dumps({"task_id": ref.task_id, "attempt": ref.attempt, **members})
    return Report(ref, members["type"], encoded)


def _log_refusal(report: Report, outcome: ReportOutcome) -> None:
    code = outcome.error.code if outcome.error else "refused"
    level = logging.WARNING if report.is_last else logging.DEBUG
    ref = report.ref
    log.log(
        level, "task %s, attempt %d: %s dropped: %s", ref.task_id, ref.attempt, report.type, code
    )
