"""What asyncio can do at most: WebSocket frames made once and given to every transport.

Told `{"frame_bytes"}`, it answers `{"port"}` and serves until its standard input ends. A client's
text frame `write 400 10` has 400 frames pushed to everybody, 10 a tick, one `write()` a frame;
`batch 400 10` the same with one `write()` a connection and tick. On uvloop, as our service, which
is a little faster. Nothing is authorized, resumed or committed: it is a bound.
"""

import asyncio
import json
import socket
import sys
from typing import Any

import uvloop

from benchmarks.jobs.job import take_stdout
from benchmarks.jobs.live_wire import accept, an_event, frame, from_client

BACKLOG = 4_096


class Crowd:
    """All connections, and whether one of them has more unsent than it should."""

    def __init__(self, frame_bytes: int) -> None:
        self.transports: list[Any] = []
        self.full = 0
        self.room = asyncio.Event()
        self._frame = frame(an_event(frame_bytes))
        self._pushing: asyncio.Task[None] | None = None

    def obey(self, text: str) -> None:
        """Begin to push, as a client asked."""
        how, events, each = text.split()
        pushing = self._push(int(events), int(each), batched=how == "batch")
        self._pushing = asyncio.get_running_loop().create_task(pushing)

    async def _push(self, events: int, each: int, *, batched: bool) -> None:
        for begun in range(0, events, each):
            count = min(each, events - begun)
            if batched:
                self._write(self._frame * count)
            else:
                for _ in range(count):
                    self._write(self._frame)
            await asyncio.sleep(0)
            while self.full:
                self.room.clear()
                await self.room.wait()

    def _write(self, frames: bytes) -> None:
        for transport in self.transports:
            transport.write(frames)


class Subscriber(asyncio.Protocol):
    """One connection: a handshake, and from then on one of the crowd."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._received = b""
        self._transport: Any = None
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._upgraded:
            self._crowd.transports.remove(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._upgraded:
            head, end, self._received = self._received.partition(b"\r\n\r\n")
            if not end:
                self._received = head
                return
            self._transport.write(accept(head))
            self._crowd.transports.append(self._transport)
            self._upgraded = True
        texts, self._received = from_client(self._received)
        for text in texts:
            self._crowd.obey(text)

    def pause_writing(self) -> None:
        self._crowd.full += 1

    def resume_writing(self) -> None:
        self._crowd.full -= 1
        if not self._crowd.full:
            self._crowd.room.set()


async def serve(told: dict[str, Any], listener: socket.socket) -> None:
    """Until our standard input ends."""
    crowd = Crowd(told["frame_bytes"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Subscriber(crowd), sock=listener, backlog=BACKLOG)
    async with server:
        await asyncio.to_thread(sys.stdin.read)
        for transport in list(crowd.transports):
            transport.abort()


def main() -> None:
    answers = take_stdout()
    told = json.loads(sys.stdin.readline())
    # Named in full: asyncio turns Nagle's algorithm off only for a socket that says TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    answers.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    uvloop.run(serve(told, listener))


if __name__ == "__main__":
    main()
