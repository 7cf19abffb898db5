"""One subscriber of the load generator: a socket, a handshake, and a count of events."""

import base64
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from benchmarks.jobs.live_wire import (
    MARK,
    PING,
    PONG,
    SHORT_BYTES_MAX,
    TEXT,
    client_frame,
    frames,
)

OVERLAP = len(MARK) - 1
"""A mark may lie across two reads: the end of the last one stands before the next."""
READ_BYTES = 256 * 1024
BUFFER = bytearray(OVERLAP + READ_BYTES)
ROOM = memoryview(BUFFER)[OVERLAP:]
NOTHING = bytearray(OVERLAP)
CAUGHT_UP = b'"caught_up"'
REFUSALS = (b'"type":"error"', b'"type":"resync"')
HEAD_ENDS = b"\r\n\r\n"


class Refused(Exception):
    """The server took no connection, or ended one."""


class Subscriber:
    """A WebSocket that is opened without waiting; `take` whenever it can be read.

    Without `subscribe` it is ready once it is open, else when the server says `caught_up`.
    `kept`: every read, with its time.monotonic_ns(), where somebody wants to look at it later.
    """

    __slots__ = (
        "_head", "_rest", "_subscribe", "_tail", "_take", "_upgraded", "events", "kept", "ready",
        "socket",
    )  # fmt: skip

    def __init__(self, address: tuple[str, int], subscribe: dict[str, Any] | None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.connect_ex(address)
        self.events = 0
        self.ready = False
        self.kept: list[tuple[int, bytes]] | None = None
        self._subscribe = subscribe
        self._upgraded = False
        self._head = b""
        self._tail = NOTHING
        self._rest = b""
        self._take: Callable[..., int] = self.socket.recv_into

    def ask(self, path: str, token: str | None) -> None:
        """Ask for the upgrade. Raises Refused when there is nobody."""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        try:
            self.socket.send("\r\n".join([*lines, "", ""]).encode())
        except OSError as error:
            raise Refused(f"the server takes no connection: {error}") from error

    def say(self, text: str) -> None:
        """A text frame."""
        self.socket.send(client_frame(text.encode()))

    def take(self) -> int:
        """Read once; how many events came. Raises Refused."""
        try:
            count = self._take(ROOM)
        except OSError as error:
            raise Refused(f"a connection was ended: {error}") from error
        if not count:
            raise Refused(f"a connection was ended, after {bytes(self._tail)!r}")
        if not self.ready:
            return self._begin(count)
        return self._note(count)

    def texts(self) -> Iterator[Any]:
        """What all text frames say that were kept."""
        for kind, text, _ in frames(b"".join(chunk for _, chunk in self.kept or ())):
            if kind == TEXT:
                yield orjson.loads(text)

    def ids(self) -> list[str]:
        """The ids of all events that were kept, in their order."""
        return [said["event"]["id"] for said in self.texts() if said["type"] == "event"]

    def _note(self, count: int) -> int:
        end = OVERLAP + count
        BUFFER[:OVERLAP] = self._tail
        events = BUFFER.count(MARK, 0, end)
        self._tail = BUFFER[count:end]
        if self.kept is not None:
            self.kept.append((time.monotonic_ns(), bytes(ROOM[:count])))
        # No text that we get holds this byte. A length may, and an answer too many does no harm.
        if self._rest or BUFFER.find(PING, OVERLAP, end) >= 0:
            self._answer_ping(bytes(ROOM[:count]))
        self.events += events
        return events

    def _begin(self, count: int) -> int:
        if not self._upgraded:
            head, ends, rest = (self._head + ROOM[:count]).partition(HEAD_ENDS)
            if not ends:
                self._head = head
                return 0
            if not head.startswith(b"HTTP/1.1 101"):
                raise Refused((head + rest)[:500].decode(errors="replace"))
            self._upgraded = True
            if self._subscribe is None:
                self.ready = True
            else:
                self.say(orjson.dumps({"type": "subscribe"} | self._subscribe).decode())
            count = len(rest)
            ROOM[:count] = rest
        events = self._note(count)
        end = OVERLAP + count
        if any(BUFFER.find(refusal, OVERLAP, end) >= 0 for refusal in REFUSALS):
            raise Refused(bytes(ROOM[:count])[:500].decode(errors="replace"))
        self.ready = self.ready or BUFFER.find(CAUGHT_UP, 0, end) >= 0
        return events

    def _answer_ping(self, read: bytes) -> None:
        read = self._rest + read
        at = read.find(PING)
        while at >= 0:
            length = read[at + 1] if at + 1 < len(read) else SHORT_BYTES_MAX
            end = at + 2 + length
            if length <= SHORT_BYTES_MAX and end > len(read) and len(read) - at < SHORT_BYTES_MAX:
                self._rest = read[at:]
                return
            if length <= SHORT_BYTES_MAX and end <= len(read):
                self.socket.send(client_frame(read[at + 2 : end], PONG))
            at = read.find(PING, at + 1)
        self._rest = b""
