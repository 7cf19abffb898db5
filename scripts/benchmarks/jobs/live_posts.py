"""Commands of the load generator: POSTs over a few connections, without waiting for answers."""

import os
import re
import socket
from collections import deque
from itertools import count

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
HEAD_ENDS = b"\r\n\r\n"
READ_BYTES = 256 * 1024


class PostFailed(Exception):
    """An answer was not 2xx, or had an error in it, or none came."""


class Posts:
    """Connections that are kept alive, each with one request under way at most."""

    def __init__(self, address: tuple[str, int], token: str, *, connections: int) -> None:
        self._head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        self._run = os.urandom(8).hex()
        self._numbers = count()
        self._sockets = {}
        for _ in range(connections):
            opened = socket.create_connection(address)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[opened.fileno()] = opened
        self._free = deque(self._sockets)
        self._answers = dict.fromkeys(self._sockets, b"")

    @property
    def files(self) -> list[int]:
        """What is to be looked at: whenever one can be read, `take` it."""
        return list(self._sockets)

    @property
    def free(self) -> int:
        """How many requests can be sent now."""
        return len(self._free)

    def send(self, path: str, body: bytes) -> None:
        """Over a connection that is free; under an Idempotency-Key of its own, as the SDK's are."""
        key = f"{self._run}{next(self._numbers):016x}"
        head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Type: application/json\r\n"
        head += f"Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._sockets[self._free.popleft()].sendall(head.encode() + body)

    def take(self, file: int) -> None:
        """Read on. Raises PostFailed."""
        read = self._sockets[file].recv(READ_BYTES)
        answer = self._answers[file] + read
        head, ends, body = answer.partition(HEAD_ENDS)
        length = LENGTH.search(head)
        if not read or (ends and (head[9:10] != b"2" or length is None)):
            raise PostFailed(answer[:500].decode(errors="replace"))
        if length is None or len(body) < int(length[1]):
            self._answers[file] = answer
            return
        if b'"error":{' in body:
            raise PostFailed(body[-300:].decode(errors="replace"))
        self._answers[file] = b""
        self._free.append(file)

    def close(self) -> None:
        """End all connections."""
        for opened in self._sockets.values():
            opened.close()
