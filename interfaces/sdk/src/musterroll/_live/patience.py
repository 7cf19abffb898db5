"""How long a service that is away is waited for, and what is said of it."""

import logging
import time
from collections.abc import Callable

from musterroll import _retry
from musterroll.errors import Unavailable

log = logging.getLogger("musterroll.live")

# A connection that lasted so long has nothing to do with the failures before it.
STEADY_SECONDS = 5.0
RETRY_AFTER_SECONDS_MAX = 60.0


class Patience:
    """Limited until the service was reached once; from then on without end, as a stream that has
    begun must not leave anything out."""

    def __init__(
        self, budget_seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget_seconds = budget_seconds
        self._clock = clock
        self._began_at = clock()
        self._was_reached = False
        self._connected_at: float | None = None
        self._failures = 0
        self._is_told = False

    def pause(self, error: Unavailable) -> float:
        """The seconds to wait before the next try. Raises the error when patience has ended."""
        if error.code == "unexpected_answer":
            raise error  # nothing to wait for: it would come again
        now = self._clock()
        if self._connected_at is not None and now - self._connected_at > STEADY_SECONDS:
            self._failures = 0
        self._connected_at = None
        self._failures += 1
        asked = _retry.retry_after_seconds(error.extra.get("retry_after"))
        seconds = max(_retry.pause(self._failures), min(asked or 0.0, RETRY_AFTER_SECONDS_MAX))
        if not self._was_reached and now - self._began_at + seconds > self._budget_seconds:
            raise error
        self._tell(error)
        log.debug("%s; trying again in %.1f s", error, seconds)
        return seconds

    def reached(self) -> None:
        """The service answers."""
        self._was_reached = True
        self._connected_at = self._clock()
        if self._is_told:
            log.info("the service answers again")
            self._is_told = False

    def progressed(self) -> None:
        """Something new came: the next failure is the first."""
        self._failures = 0

    def _tell(self, error: Unavailable) -> None:
        # A connection that breaks and is made again at once is not worth a line.
        if self._failures == 2 and not self._is_told:
            log.warning("%s; waiting for it", error)
            self._is_told = True
