"""uvicorn's WebSocket protocol with what it lacks: frames written straight to the socket, a bound
to what is unsent, and an end for those who do not read.

Encoding a frame once and writing it once a connection is ten times as fast as a `send` for each
(`shared/reference/realtime.md`). An application that is served by something else finds no wire in
its scope, and uses `send`.
"""

import asyncio
import fcntl
import socket
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

from interfaces.http.live.sinks import UNSENT_BYTES_FEW, UNSENT_BYTES_MAX

WIRE = "musterroll.wire"
"""Where the application finds the wire, among the extensions of its scope."""
SEND_BUFFER_BYTES = 128 * 1024
CLOSE_SECONDS = 5.0
"""How long a peer may take to answer a close frame."""


class LiveProtocol(WebSocketsSansIOProtocol):
    """A connection that the application may write ready-made frames to. Implements Wire."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._on_congestion: Callable[[], None] | None = None
        self._queued = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX, low=UNSENT_BYTES_FEW)
        # The kernel would keep megabytes for each of those who read slowly.
        opened: socket.socket = transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.handshake_complete:
            # The application's task is made, and has not run yet.
            extensions: dict[str, Any] = cast("Any", self.scope["extensions"])
            extensions[WIRE] = self

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._on_congestion is not None:
            self._on_congestion()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_congestion = None
        super().connection_lost(exc)
        # Its parser is a generator that holds it, and would be left to the collector of garbage:
        # those who come and go all the time cost the others their turn.
        with suppress(InvalidState, EOFError):
            self.conn.receive_eof()

    # What a peer that reads slowly has not read yet, it cannot answer: as long as it reads on, it
    # lives, and who reads nothing more is the stream's to send away.

    def send_keepalive_ping(self) -> None:
        self._queued = self._in_queue()
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        former, self._queued = self._queued, self._in_queue()
        if self.ping_timeout is not None and (self.congested or 0 < self._queued < former):
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
        else:
            super().keepalive_timeout()

    def _in_queue(self) -> int:
        """Bytes that the peer has not taken, here or in the kernel."""
        held = bytearray(4)
        with suppress(OSError):
            fcntl.ioctl(self.transport.get_extra_info("socket"), termios.TIOCOUTQ, held)
        return self.unsent + int.from_bytes(held, sys.byteorder)

    # The wire.

    @property
    def congested(self) -> bool:
        return not self.writable.is_set()

    def on_congestion(self, call: Callable[[], None]) -> None:
        self._on_congestion = call

    def put(self, frames: bytes) -> None:
        if not (self.close_sent or self.disconnected):
            self.transport.write(frames)

    async def drained(self) -> None:
        await self.writable.wait()

    @property
    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def end(self, code: int, reason: str) -> None:
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            return  # The peer was faster.
        self.stop_keepalive()
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
