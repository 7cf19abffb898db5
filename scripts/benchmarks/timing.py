"""Rates and spreads. Times are CLOCK_MONOTONIC, which all processes of a Linux share."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0..1) of the values do not exceed; nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


async def rate_in_flight(
    call: Callable[[], Awaitable[object]], *, in_flight: int, seconds: float
) -> tuple[int, float]:
    """How many calls were answered, and their rate a second, with so many under way at once."""
    began = time.monotonic()
    deadline = began + seconds
    answered = 0

    async def go_on() -> None:
        nonlocal answered
        while time.monotonic() < deadline:
            await call()
            answered += 1

    await asyncio.gather(*(go_on() for _ in range(in_flight)))
    return answered, answered / (time.monotonic() - began)


async def all_in_flight(
    calls: Sequence[Callable[[], Awaitable[object]]], *, in_flight: int
) -> None:
    """Make every call, so many at once."""
    remaining = iter(calls)

    async def go_on() -> None:
        for call in remaining:
            await call()

    await asyncio.gather(*(go_on() for _ in range(in_flight)))


def bounded(count: float, *, least: int, most: int) -> int:
    """A count within bounds."""
    return max(least, min(most, int(count)))
