"""One attempt: a handler at work under a lease, with its time limit and its end."""

import asyncio
import logging
from enum import Enum
from typing import Any, Protocol

from musterroll._routes.work import AttemptRef
from musterroll._worker import results
from musterroll._worker.handlers import Handlers
from musterroll.task import Task

log = logging.getLogger("musterroll")


class Desk(Protocol):
    """Where attempts are handed out and handed in, on the loop."""

    def report(self, attempt: "Attempt", members: dict[str, Any]) -> None:
        """Take the report of an attempt; called at most once for each."""

    def freed(self, attempt: "Attempt") -> None:
        """The handler has ended; called once for each attempt that was begun."""


class Verdict(Enum):
    """How an attempt ended."""

    DONE = "done"  # the handler returned or raised
    TIMED_OUT = "timed out"
    RELEASED = "released"  # given back
    UNWANTED = "unwanted"  # cancelled, or the lease was lost: there is nothing to report


class Attempt:
    """Runs a handler and reports its end exactly once, or never when nobody wants it."""

    __slots__ = ("_desk", "_limit", "_task", "_work", "ref", "verdict")

    def __init__(self, task: Task, desk: Desk) -> None:
        self.ref = AttemptRef(task.id, task.attempt)
        self.verdict: Verdict | None = None
        self._task = task
        self._desk = desk
        self._work: asyncio.Future[Any] | None = None
        self._limit: asyncio.TimerHandle | None = None

    def begin(self, handlers: Handlers) -> None:
        """Start the handler. It keeps its slot until it has ended, even if its report has long
        been made."""
        self._work = handlers.start(self._task)
        if self._work is None:
            kind = self._task.kind
            message = f"this worker has no handler for the kind {kind!r}"
            self._end(Verdict.DONE, results.failed("no_handler", message, retryable=True))
            self._desk.freed(self)
            return
        self._work.add_done_callback(self._on_end)
        loop = self._work.get_loop()
        self._limit = loop.call_later(self._task.timeout_seconds, self.time_out)

    def time_out(self) -> None:
        message = f"the handler took longer than {self._task.timeout_seconds:g} s"
        self._stop(Verdict.TIMED_OUT, results.failed("timeout", message, retryable=True))

    def release(self) -> None:
        self._stop(Verdict.RELEASED, {"type": "released"})

    def abandon(self) -> None:
        self._stop(Verdict.UNWANTED, None)

    def _stop(self, verdict: Verdict, report: dict[str, Any] | None) -> None:
        """End the attempt now; the handler is told, and may take its time to stop."""
        if self._end(verdict, report):
            self._task.cancelled = True
            if isinstance(self._work, asyncio.Task):
                self._work.cancel()

    def _end(self, verdict: Verdict, report: dict[str, Any] | None) -> bool:
        if self.verdict is not None:
            return False
        self.verdict = verdict
        if report is not None:
            self._desk.report(self, report)
        return True

    def _on_end(self, work: asyncio.Future[Any]) -> None:
        if self._limit is not None:
            self._limit.cancel()
        if work.cancelled():
            report = results.failed("cancelled_error", "the handler was cancelled", retryable=True)
        elif error := work.exception():
            report = results.raised(error)
            self._log_failure(error)
        else:
            report = results.completed(work.result())
        self._end(Verdict.DONE, report)
        self._desk.freed(self)

    def _log_failure(self, error: BaseException) -> None:
        if self.verdict is None:
            log.warning(
                "task %s (%s), attempt %d, failed",
                self._task.id,
                self._task.kind,
                self._task.attempt,
                exc_info=error,
            )
