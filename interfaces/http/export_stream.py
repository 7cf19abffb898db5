"""An export as an answer: sent as fast as it is taken, and cut off where it cannot be whole."""

import asyncio
from collections.abc import Collection
from contextlib import aclosing
from typing import Any
from uuid import UUID

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from application.stretch import Stretch
from interfaces.http.disconnects import disconnected
from interfaces.http.operation import Call

NDJSON = "application/x-ndjson"
TAKEN_SECONDS_MAX = 30.0
"""How long a client may take nothing."""


class ExportStream(Response):
    """Events, one a line. Whoever takes none of it for long, whose token is revoked, or whose
    service stops, gets no end: HTTP tells that from a whole one, and so does the signed line.
    """

    media_type = NDJSON

    def __init__(
        self, call: Call[None, Any], stretch: Stretch, *, sign: bool, of: Collection[UUID]
    ) -> None:
        super().__init__(headers={"Content-Disposition": 'attachment; filename="events.ndjson"'})
        del self.headers["content-length"]
        self._call = call
        self._stretch = stretch
        self._sign = sign
        self._of = of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the export. Raises TooManyExports before anything is sent."""
        with self._call.process.exports.under_way(self._call.tenant):
            await self._while_wanted(self._send_all(send))

    async def _send_all(self, send: Send) -> None:
        exports = self._call.process.exports
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(
            exports.lines(self._call.tenant, self._stretch, sign=self._sign, of=self._of)
        ) as lines:
            async for some in lines:
                await _taken(send, {"type": "http.response.body", "body": some, "more_body": True})
        await _taken(send, {"type": "http.response.body", "body": b"", "more_body": False})

    async def _while_wanted(self, work: Any) -> None:
        request, principals = self._call.request, self._call.process.accounts.principals
        working = asyncio.create_task(work)
        tasks: set[asyncio.Task[None]] = {
            working,
            asyncio.create_task(disconnected(request)),
            asyncio.create_task(request.app.state.stopping.wait()),
            asyncio.create_task(principals.until_ended(self._call.token)),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientDisconnect
            working.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _taken(send: Send, message: Any) -> None:
    try:
        async with asyncio.timeout(TAKEN_SECONDS_MAX):
            await send(message)
    except TimeoutError:
        raise ClientDisconnect from None
