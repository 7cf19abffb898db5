"""One attempt: a handler at work under a lease, with its time limit and its end."""

import asyncio
import contextvars
import inspect
import logging
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

from musterroll._routes.work import AttemptRef
from musterroll._worker import results
from musterroll.models import Lease
from musterroll.task import Task

log = logging.getLogger("musterroll")

Handler = Callable[[Task], Any]
# Takes a report's members; called at most once an attempt, on the loop.
Report = Callable[[dict[str, Any]], None]


class Verdict(Enum):
    """How an attempt ended."""

    DONE = "done"  # the handler returned or raised
    TIMED_OUT = "timed out"
    RELEASED = "released"  # given back
    UNWANTED = "unwanted"  # cancelled, or the lease was lost: there is nothing to report


class Attempt:
    """Runs a handler and reports its end exactly once, or never when nobody wants it."""

    def __init__(
        self,
        lease: Lease,
        handler: Handler | None,
        *,
        report: Report,
        tell: Callable[[float, str | None], None],
    ) -> None:
        self.ref = AttemptRef(lease.task_id, lease.attempt)
        self.verdict: Verdict | None = None
        self._handler = handler
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._task = Task(
            kind=lease.kind,
            input=lease.input,
            id=lease.task_id,
            attempt=lease.attempt,
            labels=lease.labels,
            lessons=lease.lessons,
            timeout_seconds=lease.timeout_seconds,
            collaboration_id=lease.collaboration_id,
            _tell=tell,
        )
        self._work: asyncio.Future[Any] | None = None

    async def run(self) -> None:
        """Return when the handler has ended: until then it keeps its slot, even if its report has
        long been made."""
        if self.verdict is not None:
            return
        if self._handler is None:
            kind = self._task.kind
            message = f"this worker has no handler for the kind {kind!r}"
            self._end(Verdict.DONE, results.failed("no_handler", message, retryable=True))
            return
        seconds = self._task.timeout_seconds
        self._work = self._start(self._handler)
        limit = self._loop.call_later(seconds, self.time_out)
        try:
            await asyncio.wait([self._work])
        finally:
            limit.cancel()
            self._work.cancel()
        if self._work.cancelled():
            report = results.failed("cancelled_error", "the handler was cancelled", retryable=True)
        elif error := self._work.exception():
            report = results.raised(error)
            self._log_failure(error)
        else:
            report = results.completed(self._work.result())
        self._end(Verdict.DONE, report)

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
            self._report(report)
        return True

    def _start(self, handler: Handler) -> asyncio.Future[Any]:
        if is_async(handler):
            return self._loop.create_task(handler(self._task), name=f"task {self.ref.task_id}")
        return _in_thread(self._loop, handler, self._task)

    def _log_failure(self, error: BaseException) -> None:
        if self.verdict is None:
            log.warning(
                "task %s (%s), attempt %d, failed",
                self._task.id,
                self._task.kind,
                self._task.attempt,
                exc_info=error,
            )


def is_async(handler: Handler) -> bool:
    call = getattr(handler, "__call__", None)  # noqa: B004  an object with an async __call__
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def _in_thread(
    loop: asyncio.AbstractEventLoop, handler: Handler, task: Task
) -> asyncio.Future[Any]:
    """Run a handler in a thread of its own.

    Not in a pool: its threads are joined when the interpreter exits, so that one handler that
    hangs would keep a stopped worker alive for ever.
    """
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def work() -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = context.run(handler, task)
        except StopIteration as error:  # a future refuses to hold one
            failure = RuntimeError(f"the handler raised {error!r}")
            failure.__cause__ = error
        except BaseException as error:  # noqa: BLE001  a user's handler: whatever it raises is its report
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:
            log.debug("task %s ended after its worker", task.id)

    threading.Thread(target=work, name=f"task {task.id}", daemon=True).start()
    return future
