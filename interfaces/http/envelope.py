"""What is around every request: its id, headers for every answer, what it says to a refusal, the
last resort, the log line.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from application.ids import uuid7
from domain.errors import ControlPlaneError
from interfaces.http.errors import InternalError, Overloaded
from interfaces.http.metrics import RequestMetrics
from interfaces.http.responses import Problem
from interfaces.http.scope import REQUEST_ID, TEMPLATE

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT", "TRACE"})
UNREAD_BYTES_MAX = 64 * 1024
REQUESTS_OPEN_MAX = 10_000
"""Long polls are most of them: a worker keeps one open."""
CLIENT_GONE = 499
"""No answer was sent because nobody was left to read it (nginx's number for it)."""
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
"""Of every answer that does not say otherwise."""

Refused = Callable[[Scope, ControlPlaneError], None]

LOG_GONE = (OSError, ValueError)
"""A log that nobody reads any more (a broken pipe) is no reason to fail a request."""


class Envelope:
    """The outermost ASGI application. Nothing that goes wrong inside gets past it.

    `app` answers requests; `live` serves WebSockets; `otherwise` gets what is neither, such as the
    lifespan. `refused` is told of every refusal.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: RequestMetrics,
        *,
        live: ASGIApp,
        otherwise: ASGIApp,
        refused: Refused,
    ) -> None:
        self._refused = refused
        self._app = app
        self._live = live
        self._metrics = metrics
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            other = self._live if scope["type"] == "websocket" else self._otherwise
            await other(scope, receive, send)
            return
        began = time.perf_counter()
        answer = _Answer(scope, send)
        scope[REQUEST_ID] = answer.request_id
        self._metrics.began()
        try:
            await self._guarded(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - began
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = scope.get(TEMPLATE, "unmatched")
            status = answer.status or CLIENT_GONE
            self._metrics.answered(method, route, status, seconds)
            # The template and no query: what a caller writes in them is not ours to keep.
            with suppress(*LOG_GONE):
                self._log.info(
                    "request",
                    method=method,
                    route=route,
                    status=status,
                    ms=round(seconds * 1000, 1),
                    request_id=answer.request_id,
                )

    @cached_property
    def _log(self) -> FilteringBoundLogger:
        # Bound once, which takes as long as to write a line; by then the logging is configured.
        bound: FilteringBoundLogger = structlog.get_logger("http").bind()
        return bound

    async def _guarded(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            if self._metrics.open > REQUESTS_OPEN_MAX:
                await answer.refuse(Overloaded(), receive)
            else:
                await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            return
        except Exception as error:
            refusal: ControlPlaneError = InternalError()
            if isinstance(error, ControlPlaneError) and answer.status is None:
                refusal = error
                self._refused(scope, error)
            else:
                with suppress(*LOG_GONE):
                    self._log.exception("request_failed", request_id=answer.request_id)
            if answer.status is not None:
                raise  # half an answer cannot be mended: the server cuts the connection
            await answer.refuse(refusal, receive)


class _Answer:
    """The answer on its way out."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.request_id = str(uuid7())
        self.status: int | None = None
        self._scope = scope
        self._send = send

    async def send(self, message: Message) -> None:
        """Add what every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers(message)]
        elif self._scope["method"] == "HEAD" and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)

    async def refuse(self, error: ControlPlaneError, receive: Receive) -> None:
        """Answer with a problem."""
        problem = Problem(error, instance=self._scope["path"], request_id=self.request_id)
        await problem(self._scope, receive, self.send)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        present = {name for name, _ in message["headers"]}
        headers = [header for header in HEADERS if header[0] not in present]
        headers.append((b"x-request-id", self.request_id.encode()))
        if message["status"] >= 400 and b"connection" not in present and self._much_unread():
            headers.append((b"connection", b"close"))
        return headers

    def _much_unread(self) -> bool:
        """Whether a refused request may still send a lot that nobody wants."""
        headers: dict[bytes, Any] = dict(self._scope["headers"])
        length = headers.get(b"content-length", b"0")
        return b"transfer-encoding" in headers or len(length) > 5 or int(length) > UNREAD_BYTES_MAX
