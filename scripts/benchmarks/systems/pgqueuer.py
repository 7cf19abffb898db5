"""PgQueuer: asyncpg, jobs as rows that are deleted when done, with a log table beside them.

Bulk is `enqueue` with lists. The worker takes jobs in batches of 100, which measured best of 10,
100, 500 and 1,000 from end to end (the default is 10); picking up is by LISTEN and NOTIFY.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer, Queries
from pgqueuer.models import Job
from pgqueuer.types import JobId

from benchmarks.payload import KIND, Payload
from benchmarks.systems.system import WORKER_CONNECTIONS, Handled, System

WORKER_BATCH_JOBS = 100


class PgQueuerSystem:
    """See System."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def install(self) -> None:
        connection = await asyncpg.connect(self._url)
        await Queries.from_asyncpg_connection(connection).install()
        await connection.close()

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(self._url, min_size=4, max_size=WORKER_CONNECTIONS)
        self._queries = Queries.from_asyncpg_pool(self._pool)

    async def close(self) -> None:
        await self._pool.close()

    async def submit(self, payload: Payload) -> str:
        ids = await self._queries.enqueue(KIND, json.dumps(payload).encode())
        return str(ids[0])

    async def submit_many(self, payloads: Sequence[Payload]) -> None:
        count = len(payloads)
        encoded: list[bytes | None] = [json.dumps(payload).encode() for payload in payloads]
        await self._queries.enqueue([KIND] * count, encoded, [0] * count)

    async def status(self, job_id: str) -> str:
        [(_, status)] = await self._queries.job_status([JobId(int(job_id))])
        return str(status)

    async def unfinished(self) -> int:
        return sum(one.count for one in await self._queries.queue_size())

    async def work(self, handled: Handled, ready: Callable[[], None]) -> None:
        connection = await asyncpg.connect(self._url)
        worker = PgQueuer.from_asyncpg_connection(connection)

        async def handle(job: Job) -> None:
            handled(json.loads(job.payload or b""))

        worker.entrypoint(KIND)(handle)
        asyncio.get_running_loop().call_later(0.5, ready)
        await worker.run(dequeue_timeout=timedelta(seconds=30), batch_size=WORKER_BATCH_JOBS)


def make(url: str) -> System:
    """PgQueuer in a PostgreSQL database."""
    return PgQueuerSystem(url)
