"""How often an event is tried again, and after which pauses."""

import random
from dataclasses import dataclass, field

PAUSES_SECONDS = (5.0, 30.0, 120.0, 600.0, 3_600.0, 10_800.0, 28_800.0)
"""Some 12 hours in all: a night in which nobody looks."""
JITTER = 0.2
"""So that what failed together is not tried together."""
RETRY_AFTER_SECONDS_MAX = 3_600.0


@dataclass(frozen=True, slots=True)
class Patience:
    """The pauses after the first, second ... failure, each a fifth longer or shorter."""

    pauses_seconds: tuple[float, ...] = PAUSES_SECONDS
    chance: random.Random = field(default_factory=random.SystemRandom)

    def pause_seconds(self, attempts: int, retry_after_seconds: float | None) -> float | None:
        """How long to wait after so many attempts; None when it is to be given up.

        A longer pause that the target asked for is kept to, up to an hour.
        """
        if attempts > len(self.pauses_seconds):
            return None
        pause = self.pauses_seconds[attempts - 1] * self.chance.uniform(1 - JITTER, 1 + JITTER)
        return max(pause, bounded(retry_after_seconds))


def bounded(retry_after_seconds: float | None) -> float:
    """What a target asked for, as far as it is heeded."""
    return min(max(retry_after_seconds or 0.0, 0.0), RETRY_AFTER_SECONDS_MAX)
