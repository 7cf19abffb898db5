"""When a failed attempt is tried again."""

from datetime import timedelta

BACKOFF_FIRST = timedelta(seconds=1)
BACKOFF_MAX = timedelta(minutes=5)


def backoff(failures: int, *, jitter: float) -> timedelta:
    """How long to wait after so many failures (1 or more): 1, 2, 4 ... seconds, at most 5 minutes.

    `jitter` in 0..1 takes up to half of it away ("equal jitter"), so that tasks which failed
    together do not come back together.
    """
    doublings = min(failures - 1, 20)
    full = min(BACKOFF_FIRST * (1 << doublings), BACKOFF_MAX)
    return timedelta(seconds=full.total_seconds() * (1 - jitter / 2))
