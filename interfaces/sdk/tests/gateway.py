"""A WebSocket server of a test's own: each connection gets the next script."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from musterroll import AsyncClient

HELLO = {"type": "hello", "cursor": "1:7", "ping_seconds": 25}


def event(position: int, **members: Any) -> dict[str, Any]:
    """The frame of an event."""
    about = {"id": f"1:{position}", "type": "task.submitted", "subject": "task/a", "data": {}}
    return {"type": "event", "channel": "tasks", "event": about | members}


class Peer:
    """One connection, from the server's side."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.request = request
        self.socket = socket

    async def hear(self) -> dict[str, Any]:
        """The next message of the client. Raises ConnectionError when it has gone."""
        said = await self.socket.receive(10)
        if said.type is not WSMsgType.TEXT:
            raise ConnectionError(said)
        message: dict[str, Any] = orjson.loads(said.data)
        return message

    async def say(self, *frames: dict[str, Any]) -> None:
        for frame in frames:
            await self.socket.send_str(orjson.dumps(frame).decode())

    async def welcome(self) -> dict[str, Any]:
        """Sign the client in, and take its subscription."""
        assert (await self.hear())["type"] == "auth"
        await self.say(HELLO)
        subscription = await self.hear()
        assert subscription["type"] == "subscribe"
        await self.say({"type": "subscribed", "channels": [], "cursor": "1:0"})
        return subscription

    async def gone(self) -> None:
        """Return when the client has closed the connection."""
        while not self.socket.closed:
            await self.socket.receive(10)

    def break_off(self) -> None:
        """End the connection as a power failure would."""
        assert self.request.transport is not None
        self.request.transport.abort()


# What becomes of a connection; an answer refuses it.
Script = Callable[[Peer], Awaitable[object]] | web.Response


class Gateway:
    """Gives out tokens t1, t2, ..., and each connection to the next script; the last one stays."""

    def __init__(self, *scripts: Script) -> None:
        self.url = ""
        self.tokens = 0
        self.token_seconds = 600.0
        self.connections = 0
        self.subscriptions: list[dict[str, Any]] = []
        self.asked: list[web.Request] = []
        self._scripts = list(scripts)
        self.failures: list[BaseException] = []

    async def token(self, _: web.Request) -> web.Response:
        self.tokens += 1
        body = {"access_token": f"t{self.tokens}", "expires_in": self.token_seconds}
        return web.json_response(body)

    async def events(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.connections += 1
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        if isinstance(script, web.Response):
            return script
        socket = web.WebSocketResponse(protocols=("musterroll.v1",))
        await socket.prepare(request)
        try:
            await script(Peer(request, socket))
        except (ConnectionError, asyncio.CancelledError):
            return socket
        except Exception as failure:
            self.failures.append(failure)
            raise
        await socket.close()
        return socket

    def serves(
        self, *frames: dict[str, Any], code: int = 1012, hold: bool = False
    ) -> Callable[[Peer], Awaitable[object]]:
        """A script: welcome, say these, and close with a code, or hold until the client goes."""

        async def script(peer: Peer) -> None:
            self.subscriptions.append(await peer.welcome())
            await peer.say(*frames)
            if hold:
                await peer.gone()
            else:
                await peer.socket.close(code=code)

        return script

    def then(self, *scripts: Script) -> None:
        self._scripts += scripts


@asynccontextmanager
async def at_gateway(gateway: Gateway, **options: Any) -> AsyncIterator[AsyncClient]:
    """A client of a gateway that runs."""
    app = web.Application()
    app.router.add_post("/v1/oauth/token", gateway.token)
    app.router.add_get("/ws/v1/events", gateway.events)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    gateway.url = f"http://{host}:{port}"
    credentials = {} if "token" in options else {"username": "me", "password": "x"}
    try:
        async with AsyncClient(
            gateway.url, **{"retry_seconds": 5.0, **credentials, **options}
        ) as client:
            yield client
    finally:
        await runner.cleanup()
    assert gateway.failures == []
