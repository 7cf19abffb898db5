"""Server-sent events: the same feed as the WebSocket, over an answer that does not end."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from application.live.interest import Subscription
from application.live.ports import Ending
from application.live.stream import Order, Stream
from interfaces.http.disconnects import disconnected
from interfaces.http.live.formats import SSE
from interfaces.http.live.sinks import SendingSink
from interfaces.http.operation import Call

HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b":\n\n"
BEGINNING = b"retry: 1000\n\n"
END_SECONDS_MAX = 5.0


class EventStream(Response):
    """Sends events until the client leaves, the token ends, or the service stops."""

    media_type = "text/event-stream"

    def __init__(
        self, call: Call[None, Any], subscriptions: Sequence[Subscription], after: int
    ) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._call = call
        self._subscriptions = subscriptions
        self._after = after
        self._over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the stream."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

        async def send_frames(frames: bytes) -> None:
            await send({"type": "http.response.body", "body": frames, "more_body": True})

        async def end(_: Ending) -> None:
            self._over.set()

        await send_frames(BEGINNING)
        sink = SendingSink(SSE, send_frames, end)
        stream = Stream(self._call.process.hub, sink, self._call.tenant)
        sink.on_congestion(stream.congested)
        caught_up = partial(self._caught_up, sink)
        stream.subscribe(Order(self._subscriptions, self._after, _begin, caught_up))
        session = self._call.request.app.state.sessions.open(
            self._call.token, expiring=_nothing, ended=partial(sink.close, Ending.TOKEN_ENDED)
        )
        try:
            await self._until_over(sink)
        finally:
            session.close()
            stream.close()
            sink.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS_MAX):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _until_over(self, sink: SendingSink) -> None:
        request: Request = self._call.request
        ends = {
            asyncio.create_task(disconnected(request)),
            asyncio.create_task(request.app.state.stopping.wait()),
            asyncio.create_task(self._over.wait()),
        }
        try:
            while True:
                done, _ = await asyncio.wait(
                    ends, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    return
                if not sink.congested:
                    sink.write(HEARTBEAT)
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    def _caught_up(self, sink: SendingSink, position: int) -> None:
        cursor = self._call.process.hub.cursor(position)
        sink.write(SSE.message("caught_up", orjson.dumps({"cursor": cursor}), cursor))


async def _begin() -> bool:
    return True


def _nothing() -> None:
    """That a token is about to end cannot be told here: a new one takes a new request."""
