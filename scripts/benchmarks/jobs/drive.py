"""Everything that is measured of one system by a program that uses it; its worker is another.

Told `{"system", "url", "parts", "effort", "log"}`, it answers `{figure: value}`. Parts: `pickup`,
`tasks`, `status`, `submit`.
"""

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.effort import Effort
from benchmarks.jobs.job import answer
from benchmarks.payload import payload
from benchmarks.systems.system import BULK_TASKS, System, system
from benchmarks.timing import all_in_flight, bounded, percentile, rate_in_flight
from benchmarks.worker import Worker, a_worker

CHANCE = random.Random(1)  # noqa: S311 - moments and ids, no secrets
PICKUP_PAUSE_SECONDS = 0.04
IN_FLIGHT = 32
#: Some do best when they are not pressed; each is measured the way that suits it in the warm-up.
IN_FLIGHT_SINGLY = (4, IN_FLIGHT)
STATUS_JOBS = 500


class Drive:
    """One system, measured."""

    def __init__(self, driven: System, effort: Effort) -> None:
        self._system = driven
        self._effort = effort
        self._submitted = 0

    async def tasks(self, worker: Worker) -> dict[str, float]:
        """Tasks a second from the first submit call until the last is recorded as done."""
        warm_up_tasks = self._effort.warm_up_tasks
        ways = [partial(self._one_by_one, in_flight=few) for few in IN_FLIGHT_SINGLY]
        rates = [await self._run(worker, way, warm_up_tasks) for way in ways]
        best = rates.index(max(rates))
        bulk_rate = await self._run(worker, self._in_bulk, warm_up_tasks)
        return {
            "tasks_one": await self._run(worker, ways[best], self._enough(rates[best])),
            "tasks_bulk": await self._run(worker, self._in_bulk, self._enough(bulk_rate)),
        }

    async def pickup(self, worker: Worker) -> dict[str, float]:
        """From a submit call to the start of the handler, on a system that has nothing to do, ms.

        The tasks are sent at random moments, whether or not the last one was picked up, so that a
        system that polls is not met at the same place of its interval each time.
        """
        await self._run(worker, self._one_by_one, self._effort.warm_up_tasks)
        worker.take_waited_ms()
        for _ in range(self._effort.pickups):
            await asyncio.sleep(CHANCE.uniform(0.5, 1.5) * PICKUP_PAUSE_SECONDS)
            await self._system.submit(payload(time.monotonic_ns()))
        self._submitted += self._effort.pickups
        await self._until_done(worker)
        waited_ms = worker.take_waited_ms()
        assert len(waited_ms) == self._effort.pickups, "each has told how long it waited"
        return {
            "pickup_p50": percentile(waited_ms, 0.5),
            "pickup_p99": percentile(waited_ms, 0.99),
        }

    async def status(self) -> dict[str, float]:
        """Answers a second to where a task stands."""
        ids = [await self._system.submit(payload()) for _ in range(self._effort.warm_up_tasks)]
        ids = ids[:STATUS_JOBS]
        rate = await self._rate(lambda: self._system.status(CHANCE.choice(ids)), IN_FLIGHT)
        return {"status": rate}

    async def submit(self) -> dict[str, float]:
        """Tasks a second that are durably taken in, with nobody who does them."""
        batch = [payload()] * BULK_TASKS
        return {
            "submit_1": await self._rate(lambda: self._system.submit(payload()), 1),
            "submit_32": await self._rate(lambda: self._system.submit(payload()), IN_FLIGHT),
            "submit_bulk": BULK_TASKS
            * await self._rate(lambda: self._system.submit_many(batch), 1),
        }

    async def _rate(self, call: Any, in_flight: int) -> float:
        effort = self._effort
        await rate_in_flight(call, in_flight=in_flight, seconds=effort.warm_up_seconds)
        _, rate = await rate_in_flight(call, in_flight=in_flight, seconds=effort.seconds)
        return rate

    def _enough(self, rate: float) -> int:
        effort = self._effort
        return bounded(rate * effort.tasks_seconds, least=effort.tasks_min, most=effort.tasks_max)

    async def _run(self, worker: Worker, submit: Any, count: int) -> float:
        began = time.monotonic()
        await submit(count)
        self._submitted += count
        return count / (await self._until_done(worker) - began)

    async def _until_done(self, worker: Worker) -> float:
        loop = asyncio.get_running_loop()

        def unfinished() -> int:
            return asyncio.run_coroutine_threadsafe(self._system.unfinished(), loop).result()

        return await asyncio.to_thread(worker.wait_until_done, self._submitted, unfinished)

    async def _one_by_one(self, count: int, in_flight: int = IN_FLIGHT) -> None:
        calls = [partial(self._system.submit, payload())] * count
        await all_in_flight(calls, in_flight=in_flight)

    async def _in_bulk(self, count: int) -> None:
        for first in range(0, count, BULK_TASKS):
            await self._system.submit_many([payload()] * min(BULK_TASKS, count - first))


async def _measure(told: dict[str, Any]) -> dict[str, float]:
    driven = system(told["system"], told["url"])
    drive = Drive(driven, Effort(**told["effort"]))
    parts: Sequence[str] = told["parts"]
    figures: dict[str, float] = {}
    await driven.install()
    await driven.open()
    with a_worker(sys.executable, told["system"], told["url"], log=Path(told["log"])) as worker:
        if "pickup" in parts:
            figures |= await drive.pickup(worker)
        if "tasks" in parts:
            figures |= await drive.tasks(worker)
    if "status" in parts:
        figures |= await drive.status()
    if "submit" in parts:
        figures |= await drive.submit()
    await driven.close()
    return figures


def measure(told: dict[str, Any]) -> dict[str, float]:
    """All parts that are asked for: what needs a worker, then what needs none."""
    return uvloop.run(_measure(told))


if __name__ == "__main__":
    answer(measure)
