"""taskiq on Redis streams, with results in Redis; Redis syncs its log before it answers a write.

There is no bulk call. A task is done when its result is stored and it is acknowledged.
"""

import asyncio
from collections.abc import Callable, Sequence

from redis.asyncio import Redis
from taskiq.api import run_receiver_task
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.payload import KIND, Payload
from benchmarks.systems.system import WORKER_CONNECTIONS, Handled, System, submit_singly

WORKER_TASKS = 100


class TaskiqSystem:
    """See System."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url)
        self._handled: Handled = lambda _: None
        self._results = RedisAsyncResultBackend[None](
            url, max_connection_pool_size=WORKER_CONNECTIONS
        )
        self._broker = RedisStreamBroker(
            url, queue_name=KIND, consumer_id="0", max_connection_pool_size=2 * WORKER_CONNECTIONS
        ).with_result_backend(self._results)

        async def handle(payload: Payload) -> None:
            self._handled(payload)

        self._task = self._broker.task(task_name=KIND)(handle)

    async def install(self) -> None:
        await self._broker.startup()

    async def open(self) -> None:
        await self._broker.startup()

    async def close(self) -> None:
        await self._broker.shutdown()
        await self._redis.aclose()

    async def submit(self, payload: Payload) -> str:
        return str((await self._task.kiq(payload)).task_id)

    async def submit_many(self, payloads: Sequence[Payload]) -> None:
        await submit_singly(self.submit, payloads)

    async def status(self, job_id: str) -> str:
        return "done" if await self._results.is_result_ready(job_id) else "open"

    async def unfinished(self) -> int:
        [group] = await self._redis.xinfo_groups(KIND)
        return int(group["pending"]) + int(group["lag"] or 0)

    async def work(self, handled: Handled, ready: Callable[[], None]) -> None:
        self._handled = handled
        self._broker.is_worker_process = True
        await self._broker.startup()
        asyncio.get_running_loop().call_later(0.5, ready)
        await run_receiver_task(self._broker, max_async_tasks=WORKER_TASKS, validate_params=False)


def make(url: str) -> System:
    """taskiq on a Redis server."""
    return TaskiqSystem(url)
