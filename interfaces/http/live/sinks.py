"""Where the frames of a connection go: straight to its socket, or through the server's `send`."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from application.live.ports import Ending, Format, Sink
from interfaces.http.live.close_codes import CLOSE_CODES

UNSENT_BYTES_MAX = 256 * 1024
UNSENT_BYTES_FEW = 64 * 1024
"""Once it had too much unsent, a reader gets more when only so much is left."""
END_SECONDS_MAX = 5.0

Send = Callable[[bytes], Awaitable[None]]
End = Callable[[Ending], Awaitable[None]]


class Wire(Protocol):
    """A connection of a server whose socket can be written to directly; see LiveProtocol."""

    @property
    def congested(self) -> bool:
        """Whether more than UNSENT_BYTES_MAX are unsent."""

    def on_congestion(self, call: Callable[[], None]) -> None:
        """Call that each time it becomes congested."""

    def put(self, frames: bytes) -> None:
        """Send whole frames, after everything before. Never waits."""

    async def drained(self) -> None:
        """Wait until it is congested no longer, or gone."""

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""

    def end(self, code: int, reason: str) -> None:
        """Send a close frame after everything before, and leave soon."""


class ConnectionSink(Sink, Protocol):
    """A sink that tells when it becomes congested."""

    def on_congestion(self, call: Callable[[], None]) -> None:
        """Call that each time."""


class WireSink:
    """Ready-made frames to the socket: one call for each write, and nothing is copied."""

    __slots__ = ("_wire", "format", "write")

    def __init__(self, form: Format, wire: Wire) -> None:
        self.format = form
        self.write = wire.put
        self._wire = wire

    @property
    def congested(self) -> bool:
        """As the wire tells."""
        return self._wire.congested

    async def drained(self) -> None:
        """As the wire tells."""
        await self._wire.drained()

    def on_congestion(self, call: Callable[[], None]) -> None:
        """As the wire tells."""
        self._wire.on_congestion(call)

    @property
    def unsent(self) -> int:
        """As the wire tells."""
        return self._wire.unsent

    def close(self, ending: Ending) -> None:
        """See Wire.end."""
        self._wire.end(CLOSE_CODES[ending], ending)


class SendingSink:
    """Frames through the server's own `send`, which waits as long as the client does not read.

    `end` is called after everything before it is sent, or when that takes too long; it must not
    wait for long itself.
    """

    def __init__(self, form: Format, send: Send, end: End) -> None:
        self.format = form
        self._send = send
        self._end = end
        self._on_congestion: Callable[[], None] | None = None
        self._pending: deque[bytes] = deque()
        self._unsent = 0
        self._room = asyncio.Event()
        self._room.set()
        self._sending: asyncio.Task[None] | None = None
        self._ending: Ending | None = None
        self._stopped = False

    @property
    def congested(self) -> bool:
        """Whether too much waits to be sent."""
        return not self._room.is_set()

    def on_congestion(self, call: Callable[[], None]) -> None:
        """Call that each time it becomes congested."""
        self._on_congestion = call

    def write(self, frames: bytes) -> None:
        """Add to what is sent, in order."""
        if not frames or self._ending is not None or self._stopped:
            return
        self._pending.append(frames)
        self._unsent += len(frames)
        self._go_on()
        if self._unsent > UNSENT_BYTES_MAX and self._room.is_set():
            self._room.clear()
            if self._on_congestion is not None:
                self._on_congestion()

    async def drained(self) -> None:
        """Wait until there is room."""
        await self._room.wait()

    @property
    def unsent(self) -> int:
        """As far as `send` has not come back for it."""
        return self._unsent

    def close(self, ending: Ending) -> None:
        """End it soon, whether the client reads or not."""
        if self._ending is not None or self._stopped:
            return
        self._ending = ending
        self._go_on()
        asyncio.get_running_loop().call_later(END_SECONDS_MAX, self._end_now)

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped = True
        self._break_off()
        self._room.set()

    def _end_now(self) -> None:
        if not self._stopped and self._sending is not None:
            self._break_off()
            self._go_on()

    def _break_off(self) -> None:
        sending, self._sending = self._sending, None
        self._pending.clear()
        if sending is not None:
            sending.cancel()

    def _go_on(self) -> None:
        if self._sending is None:
            self._sending = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._pending:
                frames = self._pending.popleft()
                await self._send(frames)
                self._unsent -= len(frames)
                if self._unsent <= UNSENT_BYTES_FEW:
                    self._room.set()
            if self._ending is not None and not self._stopped:
                self._stopped = True
                await self._end(self._ending)
        except (OSError, RuntimeError):
            # Nobody is left to read; uvloop calls a closed socket a programmer's error. Whoever
            # receives hears of it.
            self._room.set()
        finally:
            if self._sending is asyncio.current_task():
                self._sending = None
