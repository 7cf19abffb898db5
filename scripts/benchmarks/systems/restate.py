"""Restate: a server of its own with a durable journal, reached over HTTP, here through aiohttp.

`url` is the ingress, with the port of its administration as `?admin=`. There is no bulk call. The
handler is an ASGI app on hypercorn, as its documentation shows, and the server calls it.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config

from benchmarks.payload import KIND, Payload
from benchmarks.systems.system import WORKER_CONNECTIONS, Handled, System, submit_singly

HANDLER = "handle"
SUBMIT_PATH = f"/{KIND}/{HANDLER}/send"
OPEN = "SELECT count(*) AS open FROM sys_invocation WHERE status != 'completed'"
DONE_OR_NOT = frozenset({200, 470})


class RestateSystem:
    """See System."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._ingress = f"http://{parts.netloc}"
        self._admin = f"http://{parts.hostname}:{parse_qs(parts.query)['admin'][0]}"

    async def install(self) -> None:
        """The server makes what it needs."""

    async def open(self) -> None:
        connections = aiohttp.TCPConnector(limit=WORKER_CONNECTIONS)
        self._http = aiohttp.ClientSession(connector=connections)

    async def close(self) -> None:
        await self._http.close()

    async def submit(self, payload: Payload) -> str:
        async with self._http.post(self._ingress + SUBMIT_PATH, json=payload) as answer:
            answer.raise_for_status()
            return str((await answer.json())["invocationId"])

    async def submit_many(self, payloads: Sequence[Payload]) -> None:
        await submit_singly(self.submit, payloads)

    async def status(self, job_id: str) -> str:
        url = f"{self._ingress}/restate/invocation/{job_id}/output"
        async with self._http.get(url) as answer:
            assert answer.status in DONE_OR_NOT, await answer.text()
            return "done" if answer.ok else "open"

    async def unfinished(self) -> int:
        return int((await self._ask("/query", {"query": OPEN}))["rows"][0]["open"])

    async def work(self, handled: Handled, ready: Callable[[], None]) -> None:
        service = restate.Service(KIND)

        async def handle(_: restate.Context, payload: Payload) -> None:
            handled(payload)

        service.handler(HANDLER)(handle)
        listener = socket.create_server(("127.0.0.1", 0))
        config = Config()
        config.bind = [f"fd://{listener.fileno()}"]
        serving = asyncio.create_task(serve(restate.app([service]), config))
        await self.open()
        port = listener.getsockname()[1]
        await self._ask("/deployments", {"uri": f"http://127.0.0.1:{port}", "force": True})
        ready()
        await serving

    async def _ask(self, path: str, body: dict[str, Any]) -> Any:
        json = {"Accept": "application/json"}
        async with self._http.post(self._admin + path, json=body, headers=json) as answer:
            assert answer.ok, await answer.text()
            return await answer.json()


def make(url: str) -> System:
    """Restate's server with that ingress."""
    return RestateSystem(url)
