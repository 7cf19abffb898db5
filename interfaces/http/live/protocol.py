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
from websockets.frames import Frame
from websockets.http11 import Request

from application.live.ports import Ending
from interfaces.http.live.close_codes import CLOSE_CODES
from interfaces.http.live.sinks import UNSENT_BYTES_FEW, UNSENT_BYTES_MAX
from interfaces.http.protocol import answer_to_no_request

WIRE = "musterroll.wire"
"""Where the application finds the wire, among the extensions of its scope."""
FRAMES_A_SECOND_MAX = 200
BYTES_A_SECOND_MAX = 1024 * 1024
PIECE_BYTES = 4096
FRAGMENTS_MAX = 1_000
HANDSHAKE_SECONDS_MAX = 10.0
SEND_BUFFER_BYTES = 128 * 1024
CLOSE_SECONDS = 5.0
"""How long a peer may take to answer a close frame."""
CLOSE_UNREAD_SECONDS = 30.0
"""The same for one that has to read what it left unread first, to learn why it is sent away."""
UNREAD_MILLISECONDS_MAX = 90_000
"""When the kernel ends it; later than we do, since it tells no reason."""


class LiveProtocol(WebSocketsSansIOProtocol):
    """A connection that the application may write ready-made frames to. Implements Wire.

    What a peer sends is read in small pieces, and only so much of it a second: uvicorn would read,
    parse and answer megabytes of empty frames before anybody else gets their turn.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._on_congestion: Callable[[], None] | None = None
        self._queued = 0
        self._second = 0.0
        self._frames_read = self._bytes_read = 0
        self._held = b""
        self._handshake_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX, low=UNSENT_BYTES_FEW)
        # The kernel would keep megabytes for each of those who read slowly.
        opened: socket.socket = transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            option = socket.TCP_USER_TIMEOUT
            opened.setsockopt(socket.IPPROTO_TCP, option, UNREAD_MILLISECONDS_MAX)
        self._handshake_timer = self.loop.call_later(HANDSHAKE_SECONDS_MAX, self.transport.abort)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.handshake_complete:
            # The application's task is made, and has not run yet.
            extensions: dict[str, Any] = cast("Any", self.scope["extensions"])
            extensions[WIRE] = self

    def start_keepalive(self) -> None:
        self._end_handshake_timer()
        super().start_keepalive()
        self._take()

    def shutdown(self) -> None:
        # One that is in no state for it must not keep the others from being told.
        try:
            super().shutdown()
        except (AssertionError, AttributeError, InvalidState):
            self.transport.abort()

    # What comes in.

    def data_received(self, data: bytes) -> None:
        self._held += data
        self._take()

    async def receive(self) -> Any:
        message = await self.queue.get()
        self._read_on()
        return message

    def handle_events(self) -> None:
        self._frames_read += len(self.conn.events)
        super().handle_events()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= FRAGMENTS_MAX:
            self.end(CLOSE_CODES[Ending.TOO_LARGE], Ending.TOO_LARGE)
        else:
            super().handle_cont(event)

    def _refuse_handshake(self) -> None:
        """The library has its reasons, and leaves it at that; so does uvicorn."""
        self.close_sent = self.handshake_initiated = self.handshake_complete = True
        self.transport.write(answer_to_no_request(400, "bad_http", "That is no handshake."))
        self.transport.close()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._take()

    def _take(self) -> None:
        """Read what is held, as far as it may be read now; the rest when its time has come."""
        while self._held and not self.disconnected:
            if self._has_read_enough():
                self.loop.call_later(1.0, self._take)
                self._read_no_more()
                return
            if self.congested or (self.handshake_initiated and not self.handshake_complete):
                self._read_no_more()
                return
            piece, self._held = self._held[:PIECE_BYTES], self._held[PIECE_BYTES:]
            self._bytes_read += len(piece)
            super().data_received(piece)
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                self._refuse_handshake()
        self._read_on()

    def _has_read_enough(self) -> bool:
        """For this second."""
        second = self.loop.time() // 1
        if second != self._second:
            self._second, self._frames_read, self._bytes_read = second, 0, 0
        return self._frames_read >= FRAMES_A_SECOND_MAX or self._bytes_read >= BYTES_A_SECOND_MAX

    def _read_no_more(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _read_on(self) -> None:
        if self.read_paused and not (self._held or self.disconnected) and self.queue.empty():
            self.read_paused = False
            self.transport.resume_reading()

    def _end_handshake_timer(self) -> None:
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
            self._handshake_timer = None

    # What goes out.

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._on_congestion is not None:
            self._on_congestion()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_congestion = None
        self._held = b""
        self._end_handshake_timer()
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
        seconds = CLOSE_UNREAD_SECONDS if self.congested else CLOSE_SECONDS
        self.close_timer = self.loop.call_later(seconds, self.transport.abort)
