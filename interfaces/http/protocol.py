"""uvicorn's HTTP/1.1 protocol with the bounds that it lacks: how long and how large a head may
be.
"""

from asyncio import BaseTransport, TimerHandle, Transport
from typing import Any, cast

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS_MAX = 10.0
HEAD_BYTES_MAX = 64 * 1024


class GuardedProtocol(HttpToolsProtocol):
    """Ends a connection whose request line and headers take too long or too much.

    httptools has no limit on either (uvicorn's own applies to h11 only), and uvicorn waits for ever
    for a head that was begun.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes: int | None = None
        self._head_timer: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast("Transport", transport))
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes is not None and self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(431, "head_too_large", f"The head holds more than {HEAD_BYTES_MAX} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_bytes is None:
            self._begin_head()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "bad_http", msg)

    def _begin_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS_MAX, self._head_takes_too_long)

    def _end_head(self) -> None:
        self._head_bytes = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_takes_too_long(self) -> None:
        if self._head_bytes:
            detail = f"The head did not arrive within {HEAD_SECONDS_MAX:g} s."
            self._refuse(408, "request_timeout", detail)
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer what is no request of HTTP, and end the connection."""
        self._end_head()
        if self.transport.is_closing():
            return
        problem = {
            "type": f"/problems/{code}",
            "title": TITLES[status],
            "status": status,
            "detail": detail,
            "code": code,
        }
        body = orjson.dumps(problem)
        head = (
            f"HTTP/1.1 {status} {TITLES[status]}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


TITLES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}
