"""DBOS: durable workflows from a queue, submitted with its client; there is no bulk call.

The queue polls every 10 ms, with which it does best; the documented default is once a second, with
which it picks up after 600 ms in the middle and does less than half as much.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy
from dbos import DBOS, DBOSClient, DBOSConfig

from benchmarks.payload import KIND, Payload
from benchmarks.systems.system import WORKER_CONNECTIONS, Handled, System, submit_singly

QUEUE = "bench-queue"
VERSION = "bench"
POLL_SECONDS = 0.01
OPEN = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('PENDING', 'ENQUEUED')"


class DbosSystem:
    """See System."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def install(self) -> None:
        await asyncio.to_thread(self._install)

    def _install(self) -> None:
        self._launch(lambda _: None)
        DBOS.destroy()

    def _launch(self, handled: Handled) -> None:
        config: DBOSConfig = {
            "name": "bench",
            "system_database_url": self._url,
            "sys_db_pool_size": WORKER_CONNECTIONS,
            "application_version": VERSION,
            "executor_id": VERSION,
            "log_level": "ERROR",
        }
        DBOS(config=config)

        async def handle(payload: Payload) -> None:
            handled(payload)

        DBOS.workflow(name=KIND)(handle)
        DBOS.launch()
        DBOS.register_queue(QUEUE, polling_interval_sec=POLL_SECONDS)

    async def open(self) -> None:
        # One thread for each call under way, as its async calls run in threads.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(WORKER_CONNECTIONS))
        self._client = DBOSClient(
            system_database_url=self._url, system_database_pool_size=WORKER_CONNECTIONS
        )
        driver = self._url.replace("postgresql://", "postgresql+psycopg://", 1)
        self._engine = sqlalchemy.create_engine(driver)

    async def close(self) -> None:
        self._client.destroy()
        self._engine.dispose()

    async def submit(self, payload: Payload) -> str:
        handle = await self._client.enqueue_async(
            {"workflow_name": KIND, "queue_name": QUEUE, "app_version": VERSION}, payload
        )
        return str(handle.workflow_id)

    async def submit_many(self, payloads: Sequence[Payload]) -> None:
        await submit_singly(self.submit, payloads)

    async def status(self, job_id: str) -> str:
        handle = await self._client.retrieve_workflow_async(job_id)
        return str((await handle.get_status()).status)

    async def unfinished(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(sqlalchemy.text(OPEN)).scalar_one())

    async def work(self, handled: Handled, ready: Callable[[], None]) -> None:
        await asyncio.to_thread(self._launch, handled)
        ready()
        await asyncio.Event().wait()


def make(url: str) -> System:
    """DBOS in a PostgreSQL database."""
    return DbosSystem(url)
