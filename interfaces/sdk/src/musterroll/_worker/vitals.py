"""Signs of life: how busy the machine is, and whether the event loop still turns."""

import asyncio
import logging
import time
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

log = logging.getLogger("musterroll")

LOOK_SECONDS = 1.0
BLOCKED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Of the whole machine, in percent; None where psutil is missing or has no answer yet."""

    cpu: float | None
    memory: float | None


class Vitals:
    def __init__(self) -> None:
        self._psutil = _psutil()
        if self._psutil is not None:
            self._psutil.cpu_percent()  # the first answer means nothing, the next tells since when

    def read(self) -> Reading:
        if self._psutil is None:
            return Reading(None, None)
        cpu, memory = self._psutil.cpu_percent(), self._psutil.virtual_memory().percent
        return Reading(_percent(cpu), _percent(memory))


async def watch_loop(
    look_seconds: float = LOOK_SECONDS, blocked_seconds: float = BLOCKED_SECONDS
) -> None:
    """Warn when the loop was blocked: nothing, not even a heartbeat, leaves meanwhile."""
    while True:
        asleep_at = time.monotonic()
        await asyncio.sleep(look_seconds)
        late = time.monotonic() - asleep_at - look_seconds
        if late > blocked_seconds:
            log.warning(
                "the event loop was blocked for %.1f s: an async handler must not block; "
                "make it a plain function, and it runs in a thread",
                late,
            )


def _psutil() -> ModuleType | None:
    try:
        return import_module("psutil")
    except ImportError:
        return None


def _percent(value: float) -> float:
    return min(100.0, max(0.0, float(value)))
