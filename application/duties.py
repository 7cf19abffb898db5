"""What a process does for ever: begun again when it fails, and never silently gone."""

import asyncio
import time
from collections.abc import Callable, Coroutine

import structlog

from domain.errors import DatabaseUnavailable

PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.1, 5.0
"""Between a failure and the next beginning: doubled with each failure in a row."""
STEADY_SECONDS = 5.0
"""Work that goes on for so long after a failure has got over it."""
FAILURES_MAX = 2
"""In a row; what fails more often keeps failing."""

Work = Callable[[], Coroutine[None, None, None]]

log = structlog.get_logger("duties")


class Duty:
    """Work that has no end, such as following the log.

    `work` is called anew after each failure, and so has to go on from where it stands.
    """

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self._work = work
        self._failures = 0
        self._began_at: float | None = None

    @property
    def failing(self) -> bool:
        """Whether it keeps failing, and has not got over it."""
        return self._failures > FAILURES_MAX and not self._steady

    async def run(self) -> None:
        """Until cancelled. Raises nothing else, whatever the work does when it is."""
        try:
            while True:
                await self._attempt()
                if cancelled():
                    return
                self._failures = 1 if self._steady else self._failures + 1
                self._began_at = None
                await asyncio.sleep(_pause_seconds(self._failures))
        finally:
            self._failures = 0

    async def _attempt(self) -> None:
        self._began_at = time.monotonic()
        try:
            # A task of its own: on Python 3.11 a group that failed leaves its task looking
            # cancelled.
            await asyncio.create_task(self._work())
            # What asks whether it was cancelled ends by itself then, as it should.
            if not cancelled():
                log.error("duty_ended", duty=self.name)
        except asyncio.CancelledError:
            # Something that the work waited for was cancelled, and not we.
            if cancelled():
                raise
            log.exception("duty_failed", duty=self.name)
        except Exception as error:  # the runner: it must neither end the work nor the shutdown
            if (away := _away(error)) is None:
                log.exception("duty_failed", duty=self.name)
            else:
                log.info("duty_waits", duty=self.name, reason=away.message)

    @property
    def _steady(self) -> bool:
        began_at = self._began_at
        return began_at is not None and time.monotonic() - began_at >= STEADY_SECONDS


def cancelled() -> bool:
    """Whether the running task was cancelled. Whoever catches what a wait raises has to ask: on
    Python 3.11 `asyncio.wait_for`, by which connections are waited for, drops a cancellation that
    comes together with the failure."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _away(error: Exception) -> DatabaseUnavailable | None:
    """Why it failed, where that is no fault: the database is away, as in each switch to a restored
    store."""
    if isinstance(error, ExceptionGroup):
        away, others = error.split(DatabaseUnavailable)
        return None if away is None or others is not None else _away(away.exceptions[0])
    return error if isinstance(error, DatabaseUnavailable) else None


def _pause_seconds(failures: int) -> float:
    doublings = min(failures - 1, 16)
    return min(PAUSE_SECONDS * (1 << doublings), PAUSE_SECONDS_MAX)
