"""Our command path, in one process and without HTTP.

Told `{"owner", "application", "data_dir", "parts", "effort"}`, it answers `{figure: value}`. Parts:
`alone` (for when another process leads), `append` (its 256 in flight only), `whole` (this process
projects and dispatches as well), `aggregate`. With `standby`, we see to it that another leads.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import ours
from benchmarks.effort import Effort
from benchmarks.jobs.job import answer
from benchmarks.timing import percentile, rate_in_flight

IN_FLIGHT = 256


async def _events_a_second(urls: ours.Urls, execute: Any, in_flight: int, effort: Effort) -> float:
    """Durable events a second; the commands that were answered are all in the log, or it fails."""

    async def submit() -> None:
        await execute(ours.submit_task())

    await rate_in_flight(submit, in_flight=in_flight, seconds=effort.warm_up_seconds)
    before = ours.count_events(urls)
    answered, rate = await rate_in_flight(submit, in_flight=in_flight, seconds=effort.seconds)
    events = ours.count_events(urls) - before
    assert events >= answered, f"{answered} commands were answered, {events} events are there"
    return rate * events / answered


async def _alone(urls: ours.Urls, data_dir: Path, effort: Effort) -> dict[str, float]:
    async with ours.a_process(urls, data_dir) as process:
        execute = process.commands.execute
        return {
            "append_1": await _events_a_second(urls, execute, 1, effort),
            "append_256": await _events_a_second(urls, execute, IN_FLIGHT, effort),
        }


async def _append(urls: ours.Urls, data_dir: Path, effort: Effort) -> dict[str, float]:
    async with ours.a_process(urls, data_dir) as process:
        execute = process.commands.execute
        return {"append_256": await _events_a_second(urls, execute, IN_FLIGHT, effort)}


async def _whole(urls: ours.Urls, data_dir: Path, effort: Effort) -> dict[str, float]:
    async with ours.a_process(urls, data_dir) as process:
        await ours.until_leading(process)
        execute = process.commands.execute
        return {"append_256_whole": await _events_a_second(urls, execute, IN_FLIGHT, effort)}


async def _aggregate(urls: ours.Urls, data_dir: Path, effort: Effort) -> dict[str, float]:
    """The aggregate's last events are as far from its last snapshot as they can be."""
    aggregate_id, commands = ours.agent_of_many_events(effort.aggregate_events)
    async with ours.a_process(urls, data_dir) as process:
        await asyncio.gather(*(process.commands.execute(command) for command in commands))
    took = ours.load_ms(
        urls, aggregate_id, events=effort.aggregate_events, times=effort.aggregate_loads
    )
    return {"aggregate_load_p50": percentile(took, 0.5)}


async def _measure(told: dict[str, Any]) -> dict[str, float]:
    urls = ours.Urls(told["owner"], told["application"])
    effort, data_dir = Effort(**told["effort"]), Path(told["data_dir"])
    figures: dict[str, float] = {}
    parts: dict[str, Callable[..., Awaitable[dict[str, float]]]] = {
        "alone": _alone,
        "append": _append,
        "whole": _whole,
        "aggregate": _aggregate,
    }
    for part in told["parts"]:
        elsewhere = ours.somebody_else_leads(urls) if told["standby"] else nullcontext()
        with elsewhere:
            figures |= await parts[part](urls, data_dir, effort)
    return figures


def measure(told: dict[str, Any]) -> dict[str, float]:
    """The parts that are asked for, one after another."""
    return uvloop.run(_measure(told))


if __name__ == "__main__":
    answer(measure)
