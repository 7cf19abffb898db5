"""When to try again, and how long to wait before."""

import random
from collections.abc import Callable
from datetime import UTC, datetime

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
FIRST_PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 5.0


def pause(attempt: int, *, draw: Callable[[], float] = random.random) -> float:
    """How many seconds to wait after the given attempt (1, 2, ...): doubling, and spread over
    the upper half, so that clients that failed together do not return together."""
    longest = min(PAUSE_SECONDS_MAX, FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, 30))
    return longest * (0.5 + draw() / 2)


def next_pause(
    attempt: int, *, elapsed_seconds: float, budget_seconds: float, retry_after: str | None = None
) -> float | None:
    """The seconds to wait before the next try, or None when it would come after the budget."""
    asked = retry_after_seconds(retry_after)
    seconds = pause(attempt) if asked is None else max(asked, FIRST_PAUSE_SECONDS)
    return seconds if elapsed_seconds + seconds <= budget_seconds else None


def retry_after_seconds(value: str | None, *, now: datetime | None = None) -> float | None:
    """The seconds of a Retry-After header: a number or a date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - slow to import, rarely needed

    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
