"""Procrastinate: psycopg's async pool, jobs as rows that stay, a row for each change of status.

Bulk is `batch_defer_async`. The worker has a concurrency of 10, which measured best of 1, 10, 30
and 100 from end to end; picking up is by LISTEN and NOTIFY.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from procrastinate import App, PsycopgConnector

from benchmarks.payload import KIND, Payload
from benchmarks.systems.system import WORKER_CONNECTIONS, Handled, System

WORKER_CONCURRENCY = 10
UNFINISHED = frozenset({"todo", "doing"})


class ProcrastinateSystem:
    """See System."""

    def __init__(self, url: str) -> None:
        connector = PsycopgConnector(conninfo=url, min_size=4, max_size=WORKER_CONNECTIONS)
        self._app = App(connector=connector)
        self._handled: Handled = lambda _: None
        self._task = self._app.task(name=KIND, queue=KIND)(self._handle)

    async def _handle(self, **payload: Any) -> None:
        self._handled({"sent_ns": payload["sent_ns"], "text": payload["text"]})

    async def install(self) -> None:
        async with self._app.open_async():
            await self._app.schema_manager.apply_schema_async()

    async def open(self) -> None:
        await self._app.open_async().__aenter__()

    async def close(self) -> None:
        await self._app.close_async()

    async def submit(self, payload: Payload) -> str:
        return str(await self._task.defer_async(**payload))

    async def submit_many(self, payloads: Sequence[Payload]) -> None:
        await self._task.batch_defer_async(*(dict(payload) for payload in payloads))

    async def status(self, job_id: str) -> str:
        return str(await self._app.job_manager.get_job_status_async(int(job_id)))

    async def unfinished(self) -> int:
        queues = await self._app.job_manager.list_queues_async()
        return sum(int(queue[status]) for queue in queues for status in UNFINISHED)

    async def work(self, handled: Handled, ready: Callable[[], None]) -> None:
        self._handled = handled
        async with self._app.open_async():
            asyncio.get_running_loop().call_later(0.5, ready)
            await self._app.run_worker_async(
                queues=[KIND], concurrency=WORKER_CONCURRENCY, install_signal_handlers=False
            )


def make(url: str) -> System:
    """Procrastinate in a PostgreSQL database."""
    return ProcrastinateSystem(url)
