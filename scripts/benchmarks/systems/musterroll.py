"""Musterroll itself: a worker of its SDK, and single tasks through its SDK's client.

The load on its HTTP API comes from jobs/http_load.py. `url` is the service's, with the
administrator's password in it.
"""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from benchmarks.payload import KIND, Payload
from benchmarks.systems.system import Handled, System
from musterroll import AsyncClient, Worker

SLOTS = 500


class Musterroll:
    """See System."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = f"http://{parts.hostname}:{parts.port}"
        self._username, self._password = parts.username, parts.password
        self._client = AsyncClient(self._url, username=self._username, password=self._password)

    async def install(self) -> None:
        """The service has done so."""

    async def open(self) -> None:
        """The client connects when it is first used."""

    async def close(self) -> None:
        await self._client.aclose()

    async def submit(self, payload: Payload) -> str:
        return (await self._client.tasks.submit(KIND, dict(payload))).id

    async def submit_many(self, payloads: Sequence[Payload]) -> None:
        await self._client.tasks.submit_many(
            {"kind": KIND, "input": dict(payload)} for payload in payloads
        )

    async def status(self, job_id: str) -> str:
        return str((await self._client.tasks.status(job_id)).status)

    async def unfinished(self) -> int:
        counts = (await self._client.tasks.counts()).counts
        return sum(counts.values()) - counts["completed"]

    async def work(self, handled: Handled, ready: Callable[[], None]) -> None:
        worker = Worker(
            self._url,
            name="bench",
            slots=SLOTS,
            username=self._username,
            password=self._password,
        )

        @worker.task(KIND)
        async def handle(task: Any) -> None:
            handled(task.input)

        ready()
        await worker.serve()


def make(url: str) -> System:
    """Musterroll's service at that URL."""
    return Musterroll(url)
