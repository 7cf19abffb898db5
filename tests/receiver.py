"""Somebody who is posted webhooks: a real HTTP server on loopback, as well-behaved as a test
says."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

WAIT_SECONDS_MAX = 30


@dataclass(frozen=True)
class Received:
    """One delivery as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def cursor(self) -> str:
        return self.headers["webhook-id"]

    def is_signed_with(self, secret: str) -> bool:
        """Computed here from the text of Standard Webhooks, without any code of ours."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        stamp = self.headers["webhook-timestamp"]
        signed = f"{self.cursor}.{stamp}.".encode() + self.body
        digest = hmac.new(key, signed, hashlib.sha256).digest()
        wanted = "v1," + base64.b64encode(digest).decode()
        return wanted in self.headers["webhook-signature"].split(" ")


@dataclass
class Reply:
    """What a receiver answers."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Answering = Callable[[Received], Reply]


class Receiver:
    """Listens within the with statement. `answering` may be changed at any time."""

    def __init__(self, answering: Answering = lambda _: Reply()) -> None:
        self.answering = answering
        self.received: list[Received] = []
        self.taken: list[Received] = []
        self.at_once = 0
        self.at_once_max = 0
        self._told = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Looks whenever something comes, and now and then."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        with self._told:
            while not condition():
                assert time.monotonic() < deadline, f"it did not come, after {len(self.received)}"
                self._told.wait(0.05)

    def wait_for(self, count: int) -> list[Received]:
        """The first deliveries that were taken, once there are so many."""
        self.wait_until(lambda: len(self.taken) >= count)
        return self.taken[:count]

    def wait_for_posts(self, count: int) -> None:
        """Until it was posted to so often, whatever it answered."""
        self.wait_until(lambda: len(self.received) >= count)

    def take(self, received: Received) -> Reply:
        """What is answered to a delivery."""
        with self._told:
            self.received.append(received)
            self.at_once += 1
            self.at_once_max = max(self.at_once, self.at_once_max)
            self._told.notify_all()
        reply = self.answering(received)
        with self._told:
            self.at_once -= 1
            if 200 <= reply.status < 300:
                self.taken.append(received)
            self._told.notify_all()
        return reply


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.take(Received(self.path, headers, body))
            self.send_response(reply.status)
            for name, value in ({"Content-Length": str(len(reply.body))} | reply.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's
            """Say nothing."""

    return Handler
