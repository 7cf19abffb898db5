"""A stand-in for foreign systems (webhooks, model endpoints): a real HTTP server on loopback."""

import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest


@dataclass
class Asked:
    """One request that the foreign system got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Says:
    """One answer that it gives: `chunks` are written one by one; `hang` keeps it silent after."""

    status: int = 200
    chunks: Sequence[bytes] = ()
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False


class Foreign:
    """Gives its answers in order, the last one again and again, and remembers what it was asked."""

    def __init__(self, *answers: dict[str, Any], tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.was_asked = threading.Event()
        self.may_go_on = threading.Event()
        self._answers = [Says(**answer) for answer in answers]
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.may_go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, asked: Asked) -> Says:
        self.asked.append(asked)
        self.was_asked.set()
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        foreign = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): text for name, text in self.headers.items()}
                says = foreign.answer(Asked(self.path, headers, body))
                self.send_response(says.status)
                for name, text in says.headers.items():
                    self.send_header(name, text)
                self.end_headers()
                try:
                    for chunk in says.chunks:
                        self.wfile.write(chunk)
                        self.wfile.flush()
                    if says.hang:
                        foreign.may_go_on.wait()
                except OSError:
                    self.close_connection = True  # the asker has gone

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def foreign() -> Iterator[Callable[..., Foreign]]:
    """`foreign({"status": 200, "chunks": [b"{}"]}, ...)` starts a system that answers so."""
    started: list[Foreign] = []

    def start(*answers: dict[str, Any], **options: Any) -> Foreign:
        started.append(Foreign(*answers, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()
