"""uvicorn's HTTP/1.1 protocol with what it lacks: bounds to how long and how large what surrounds
a body may be, no trailers, and no message that others would read differently.
"""

from asyncio import BaseTransport, TimerHandle, Transport
from enum import Enum, auto
from typing import Any, cast

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from interfaces.http.bodies import BODY_ARRIVED

HEAD_SECONDS_MAX = 10.0
"""How long a head may take, or the rest of a request that is answered already."""
HEAD_BYTES_MAX = 64 * 1024
TRAILER_BYTES_MAX = 8 * 1024
PIPELINED_MAX = 100
"""How many requests may wait for the answer to an earlier one of their connection."""

CONTINUE = b"HTTP/1.1 100 "
"""How the answer before the answer begins, for a client that asks before it sends a body."""


class BadHead(ValueError):
    """It can be parsed, but is none of a request that is served here."""


class Reading(Enum):
    """What of a request was read last."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class GuardedProtocol(HttpToolsProtocol):
    """Ends a connection whose request line and headers, or trailers, take too long or too much.

    httptools has no limit on either (uvicorn's own applies to h11 only), and uvicorn waits for ever
    for whatever was begun: a head, or the rest of a request that was answered before its end.
    Trailers are dropped; uvicorn would take them for headers.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading = Reading.NOTHING
        self._bytes_around_bodies = 0
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast("Transport", transport))
        self._begin_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # A packet counts whole, unless something in it sets the count back. Counting fields as they
        # are parsed would miss one that never ends, which httptools keeps to itself.
        self._bytes_around_bodies += len(data)
        super().data_received(data)
        if self.transport.get_protocol() is not self:
            # It is a WebSocket now; the two hold each other, and nobody needs them any more.
            self.parser = cast("Any", None)
            return
        if self._reading is Reading.BODY:
            if self._bytes_around_bodies > TRAILER_BYTES_MAX:
                detail = f"The trailers hold more than {TRAILER_BYTES_MAX} bytes."
                self._refuse(431, "head_too_large", detail)
        elif self._bytes_around_bodies > HEAD_BYTES_MAX:
            self._refuse(431, "head_too_large", f"The head holds more than {HEAD_BYTES_MAX} bytes.")
        if self._reading is Reading.HEAD or not self._answering():
            self._begin_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading = Reading.HEAD
        # The next one begins with the end of the packet; most heads end before that.
        self._end_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading is Reading.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        fault = fault_of(self.parser.get_http_version(), self.headers)
        if len(self.pipeline) >= PIPELINED_MAX:
            fault = f"More than {PIPELINED_MAX} requests wait."
        if fault is not None:
            self._refuse(400, "bad_http", fault)
            raise BadHead(fault)  # It ends the parsing of the packet.
        self._reading = Reading.BODY
        self._bytes_around_bodies = 0
        self._end_timer()
        former = self.cycle
        super().on_headers_complete()
        if self.cycle is not former and self.scope["method"] != "HEAD":
            self.cycle.transport = HeldHead(self.transport)

    def on_body(self, body: bytes) -> None:
        self._bytes_around_bodies = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._reading = Reading.NOTHING
        self._bytes_around_bodies = 0
        self._end_timer()
        self.scope[BODY_ARRIVED] = True  # type: ignore[literal-required]
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._reading is Reading.BODY and not self._answering():
            self._begin_timer()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "bad_http", msg)

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _begin_timer(self) -> None:
        """Unless it runs."""
        if self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEAD_SECONDS_MAX, self._takes_too_long)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _takes_too_long(self) -> None:
        if self._reading is Reading.HEAD:
            detail = f"The head did not arrive within {HEAD_SECONDS_MAX:g} s."
            self._refuse(408, "request_timeout", detail)
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """End the connection, with an answer if it cannot be taken for that to another request."""
        self._end_timer()
        if self.transport.is_closing():
            return
        if self._is_next_answer_to_what_is_read():
            self.transport.write(answer_to_no_request(status, code, detail))
        if self._answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _is_next_answer_to_what_is_read(self) -> bool:
        if self._reading is Reading.BODY:
            return self._answering() and not self.pipeline and not self.cycle.response_started
        return not self._answering()


class HeldHead(Transport):
    """What an answer is written to: its head waits for the first of its body, as ASGI wants it.

    uvicorn writes the two one by one, and a write is a system call, and a packet that wakes the
    client. Not for HEAD, where no body comes.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: Any) -> None:
        if self._head is None and not data.startswith(CONTINUE):
            self._head = data
        elif self._head:
            self._transport.write(self._head + data)
            self._head = b""
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


def fault_of(version: str, headers: list[tuple[bytes, bytes]]) -> str | None:
    """What is wrong with a head that httptools takes, by RFC 9112, 2.3, 3.2 and 6.1."""
    hosts, codings = 0, []
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            codings.append(value.strip().lower())
    if version not in {"1.0", "1.1"}:
        return "The version has to be HTTP/1.1."
    if hosts > 1 or (not hosts and version == "1.1"):
        return "A request has one Host."
    if codings and (version == "1.0" or codings != [b"chunked"]):
        return "The only Transfer-Encoding is chunked, in HTTP/1.1."
    return None


def answer_to_no_request(status: int, code: str, detail: str) -> bytes:
    """A whole answer, as it goes over the wire, to what is no request of HTTP."""
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
    return head.encode() + body


TITLES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}
