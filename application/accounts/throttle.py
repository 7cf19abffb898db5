"""Failed sign-ins, counted by name and address, in buckets of attempts that fill up again."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from application.accounts.account import TooManyAttempts

BUCKETS_MAX = 10_000
"""The one that was not touched for longest is forgotten first."""


@dataclass(slots=True)
class _Bucket:
    attempts: float
    filled_at: float


class Throttle:
    """At most `failures_max` failures of each key, and as many again every minute.

    Only failures count, so that many may sign in at once. Those that were on their way when the
    last attempt was used up leave a debt, so that it makes no difference to try many at once.
    """

    def __init__(self, failures_max: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures_max = failures_max
        self._clock = clock
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def require(self, key: Hashable) -> None:
        """Raises TooManyAttempts."""
        bucket = self._buckets.get(key)
        if bucket is not None and (attempts := self._filled(bucket)) < 1:
            raise TooManyAttempts(math.ceil((1 - attempts) * 60 / self._failures_max))

    def fail(self, key: Hashable) -> None:
        """An attempt failed."""
        bucket = self._buckets.setdefault(key, _Bucket(self._failures_max, self._clock()))
        self._buckets.move_to_end(key)
        bucket.attempts = self._filled(bucket) - 1
        bucket.filled_at = self._clock()
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)

    def _filled(self, bucket: _Bucket) -> float:
        gained = (self._clock() - bucket.filled_at) * self._failures_max / 60
        return min(self._failures_max, bucket.attempts + gained)
