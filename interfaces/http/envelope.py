"""What is around every request: its id, headers for every answer, the last resort, the log line."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from application.ids import uuid7
from domain.errors import ControlPlaneError
from interfaces.http.endpoint import TEMPLATE
from interfaces.http.errors import InternalError, Overloaded
from interfaces.http.metrics import RequestMetrics
from interfaces.http.responses import Problem

REQUEST_ID = "musterroll.request_id"
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT", "TRACE"})
UNREAD_BYTES_MAX = 64 * 1024
REQUESTS_OPEN_MAX = 10_000
"""Long polls are most of them: a worker keeps one open."""
CLIENT_GONE = 499
"""No answer was sent because nobody was left to read it (nginx's number for it)."""

log = structlog.get_logger("http")


class Envelope:
    """ASGI middleware, the outermost of ours. Nothing that goes wrong inside gets past it."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answer = _Answer(scope, send)
        self._metrics.began()
        self._open += 1
        try:
            await self._guarded(scope, receive, answer)
        finally:
            self._open -= 1
            seconds = time.perf_counter() - began
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = scope.get(TEMPLATE, "unmatched")
            status = answer.status or CLIENT_GONE
            self._metrics.answered(method, route, status, seconds)
            # The template and no query: what a caller writes in them is not ours to keep.
            _write(
                log.info,
                "request",
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 1),
                request_id=answer.request_id,
            )

    async def _guarded(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            if self._open > REQUESTS_OPEN_MAX:
                await answer.refuse(Overloaded(), receive)
            else:
                await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            return
        except Exception:
            _write(log.exception, "request_failed", request_id=answer.request_id)
            if answer.status is not None:
                raise  # half an answer cannot be mended: the server cuts the connection
            await answer.refuse(InternalError(), receive)


def _write(line: Callable[..., Any], event: str, **facts: Any) -> None:
    # A log that nobody reads any more (a broken pipe) is no reason to fail a request.
    with suppress(OSError, ValueError):
        line(event, **facts)


class _Answer:
    """The answer on its way out."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.request_id = str(uuid7())
        self.status: int | None = None
        self._scope = scope
        self._send = send
        scope[REQUEST_ID] = self.request_id

    async def send(self, message: Message) -> None:
        """Add what every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers(message)]
        elif self._scope["method"] == "HEAD" and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)

    async def refuse(self, error: ControlPlaneError, receive: Receive) -> None:
        """Answer with a problem of the envelope's own."""
        problem = Problem(error, instance=self._scope["path"], request_id=self.request_id)
        await problem(self._scope, receive, self.send)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        present = {name for name, _ in message["headers"]}
        headers = [
            (b"x-request-id", self.request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
            (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
            (b"referrer-policy", b"no-referrer"),
        ]
        if message["status"] >= 400 and self._much_unread():
            headers.append((b"connection", b"close"))
        return [header for header in headers if header[0] not in present]

    def _much_unread(self) -> bool:
        """Whether a refused request may still send a lot that nobody wants."""
        headers: dict[bytes, Any] = dict(self._scope["headers"])
        length = headers.get(b"content-length", b"0")
        return b"transfer-encoding" in headers or len(length) > 5 or int(length) > UNREAD_BYTES_MAX
