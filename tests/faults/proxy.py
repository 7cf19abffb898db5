"""A TCP proxy of our own in front of PostgreSQL, that cuts connections when it is told to."""

import select
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

CHUNK_BYTES = 65_536
SYNC = b"S\x00\x00\x00\x04"
"""The end of a request in PostgreSQL's extended protocol."""


@dataclass
class CuttingProxy:
    """Forwards bytes between a client and PostgreSQL's Unix socket.

    `cut_after(text)`: when the client next sends this text, it still reaches PostgreSQL, which
    does what it says; but no answer comes back, and the client's connection is reset.
    `cut_before(text)`: the text never gets there.
    """

    url: str
    cuts: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _after: bytes | None = None
    _before: bytes | None = None

    def __post_init__(self) -> None:
        parts = conninfo_to_dict(self.url)
        self._target = Path(str(parts["host"])) / f".s.PGSQL.{parts.get('port') or 5432}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def client_url(self) -> str:
        """Where clients connect to."""
        port = self._listener.getsockname()[1]
        return make_conninfo(self.url, host="127.0.0.1", port=port)

    def cut_after(self, text: bytes) -> None:
        """Cut once the next such text has been passed on."""
        with self._lock:
            self._after = text

    def cut_before(self, text: bytes) -> None:
        """Cut instead of passing the next such text on."""
        with self._lock:
            self._before = text

    def close(self) -> None:
        """Accept no more."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(self._target))
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if server in readable and not _pass_on(server, client):
                    return
                if client in readable and not self._pass_request_on(client, server):
                    return

    def _pass_request_on(self, client: socket.socket, server: socket.socket) -> bool:
        chunk = _receive(client)
        before, after = self._due(chunk)
        if before:
            _reset(client)
        if not chunk or before:
            return False
        server.sendall(chunk)
        if not after:
            return True
        while not chunk.endswith(SYNC):
            chunk = _receive(client)
            server.sendall(chunk)
        _reset(client)
        # PostgreSQL answers when it has committed; nobody gets the answer.
        _receive(server)
        return False

    def _due(self, chunk: bytes) -> tuple[bool, bool]:
        with self._lock:
            before = self._before is not None and self._before in chunk
            after = not before and self._after is not None and self._after in chunk
            if before:
                self._before = None
            if after:
                self._after = None
            self.cuts += before or after
        return before, after


def _pass_on(source: socket.socket, target: socket.socket) -> bool:
    chunk = _receive(source)
    if not chunk:
        return False
    target.sendall(chunk)
    return True


def _receive(source: socket.socket) -> bytes:
    try:
        return source.recv(CHUNK_BYTES)
    except OSError:
        return b""


def _reset(client: socket.socket) -> None:
    # With a linger of 0 the close is a reset, as when a machine or a firewall in between dies.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    client.close()
