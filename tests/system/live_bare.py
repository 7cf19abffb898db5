"""A WebSocket with nothing between it and the socket, for clients that behave badly."""

import asyncio
import base64
import json
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

from benchmarks.jobs.live_wire import CLOSE, PING, PONG, TEXT, client_frame, frames

PATH = "/ws/v1/events"
READ_BYTES = 65_536
HEAD_ENDS = b"\r\n\r\n"
HELLO_SECONDS_MAX = 10


class Refused(Exception):
    """The service said no."""


class Closed(EOFError):
    """The service ended the connection; `code` is None where it did not say why."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class BareSocket:
    """One connection. Pings are answered by `receive`, unless `mute`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.mute = False
        self._stream = b""
        self._file: socket.socket | None = None

    @classmethod
    async def connect(cls, url: str, *, receive_buffer_bytes: int | None = None) -> Self:
        """A connection over which nothing was said yet. Raises OSError."""
        parts = urlsplit(url)
        connected = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connected.setblocking(False)
        try:
            if receive_buffer_bytes is not None:
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            address = (parts.hostname, parts.port)
            await asyncio.get_running_loop().sock_connect(connected, address)
        except BaseException:
            connected.close()
            raise
        return cls(*await asyncio.open_connection(sock=connected))

    @classmethod
    async def open(cls, url: str, *, receive_buffer_bytes: int | None = None) -> Self:
        """Connect and ask for the upgrade. Raises Refused, OSError, EOFError."""
        opened = await cls.connect(url, receive_buffer_bytes=receive_buffer_bytes)
        key = base64.b64encode(os.urandom(16)).decode()
        try:
            head = await opened.ask(
                f"GET {PATH} HTTP/1.1",
                "Upgrade: websocket",
                "Connection: Upgrade",
                f"Sec-WebSocket-Key: {key}",
                "Sec-WebSocket-Version: 13",
            )
        except BaseException:
            opened.abort()
            raise
        if not head.startswith(b"HTTP/1.1 101"):
            opened.abort()
            raise Refused(head.decode(errors="replace"))
        return opened

    async def ask(self, *lines: str) -> bytes:
        """Send the head of a request; the head of the answer. Raises OSError, EOFError."""
        self.writer.write("\r\n".join([*lines, "Host: 127.0.0.1", "", ""]).encode())
        return await self.reader.readuntil(HEAD_ENDS)

    def say(self, **message: Any) -> None:
        """Send a message."""
        self.writer.write(client_frame(json.dumps(message).encode()))

    async def receive(self) -> list[dict[str, Any]]:
        """The next messages, as many as one read brings, perhaps none. Raises Closed, OSError."""
        read = await self.reader.read(READ_BYTES)
        if not read:
            raise Closed(None)
        self._stream += read
        messages, length = [], 0
        for kind, payload, ends in frames(self._stream):
            length = ends
            if kind == TEXT:
                messages.append(json.loads(payload))
            elif kind == PING and not self.mute:
                self.writer.write(client_frame(payload, PONG))
            elif kind == CLOSE:
                raise Closed(int.from_bytes(payload[:2]) if payload else None)
        self._stream = self._stream[length:]
        return messages

    async def sign_in(self, token: str, channels: Iterable[str], after: str = "now") -> None:
        """Say who asks and what for, and wait until that stands."""
        self.say(type="auth", token=token)
        self.say(type="subscribe", channels=list(channels), after=after)
        async with asyncio.timeout(HELLO_SECONDS_MAX):
            while not any(one["type"] == "subscribed" for one in await self.receive()):
                pass

    def pause(self) -> None:
        """Read nothing until `resume`: the kernel takes what it can hold, and then no more."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Read again."""
        if not self.writer.transport.is_reading():  # type: ignore[attr-defined]
            self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    def take(self, count: int) -> None:
        """So many bytes from the kernel, while paused, if there are any. Raises Closed, OSError."""
        if self._file is None:
            self._file = self.writer.get_extra_info("socket").dup()
        with suppress(BlockingIOError):
            read = self._file.recv(count)
            if not read:
                raise Closed(None)
            self._stream += read

    def abort(self) -> None:
        """Break it, without a word."""
        if self._file is not None:
            self._file.close()
        self.writer.transport.abort()
