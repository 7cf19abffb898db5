"""The WebSocket `/ws/v1/events`: who may open it, and the conversation that follows."""

import asyncio
import time
from contextlib import suppress
from urllib.parse import parse_qs

import structlog
from starlette.types import Message, Receive, Scope, Send

from application.access import Principal
from application.accounts.account import Claims
from application.ids import uuid7
from application.live.ports import Ending
from domain.errors import ControlPlaneError, Forbidden
from interfaces.http.audit import record_refusal
from interfaces.http.credentials import bearer_token
from interfaces.http.envelope import LOG_GONE
from interfaces.http.errors import (
    BadCredentials,
    BadRequest,
    InternalError,
    NoSuchPath,
    Overloaded,
    UpgradeRequired,
)
from interfaces.http.headers import RequestHeaders
from interfaces.http.live.close_codes import CLOSE_CODES
from interfaces.http.live.conversation import Conversation
from interfaces.http.live.formats import WEBSOCKET, payloads_of
from interfaces.http.live.protocol import WIRE
from interfaces.http.live.sinks import ConnectionSink, SendingSink, WireSink
from interfaces.http.ports import ControlPlane
from interfaces.http.responses import Problem
from interfaces.http.scope import CLAIMS, REQUEST_ID, TEMPLATE

PATH = "/ws/v1/events"
SUBPROTOCOL = "musterroll.v1"
CONNECTIONS_MAX = 10_000
STRANGERS_MAX = 1_000
"""How many of them may not have said yet who they are."""
CLOSE_SECONDS = 1.0

log = structlog.get_logger("live")


class ForbiddenOrigin(Forbidden):
    """A page from elsewhere may not speak for the one who looks at it."""

    code = "forbidden_origin"

    def __init__(self) -> None:
        super().__init__("Pages of this origin may not connect; see the setting allowed_origins.")


class BadSubprotocol(BadRequest):
    """None of the subprotocols that were offered is spoken here."""

    code = "bad_subprotocol"

    def __init__(self) -> None:
        super().__init__(f"The subprotocol is {SUBPROTOCOL}.")


class LiveEvents:
    """An ASGI application for WebSockets."""

    def __init__(self, process: ControlPlane) -> None:
        self._process = process
        self._open = 0
        self._strangers: set[Conversation] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, from its handshake to its end."""
        began, request_id = time.monotonic(), str(uuid7())
        scope[TEMPLATE], scope[REQUEST_ID] = PATH, request_id
        await receive()
        status = 101
        self._open += 1
        try:
            signed_in = await self._admitted(scope, request_id)
        except ControlPlaneError as error:
            record_refusal(self._process, scope, error)
            refusal = Problem(error, instance=PATH, request_id=request_id)
            status = refusal.status_code
            await refusal(scope, receive, send)
        else:
            await self._serve(signed_in, scope, receive, send)
        finally:
            self._open -= 1
        with suppress(*LOG_GONE):
            log.info(
                "connection",
                route=PATH,
                status=status,
                seconds=round(time.monotonic() - began, 3),
                request_id=request_id,
            )

    async def _serve(
        self,
        signed_in: tuple[Principal, Claims] | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        subprotocol = SUBPROTOCOL if scope.get("subprotocols") else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        sink, receive = _sink_of(scope, receive, send)
        conversation = Conversation(self._process, scope["app"].state.sessions, sink, scope)
        self._strangers.add(conversation)
        try:
            if signed_in is not None:
                conversation.welcome(*signed_in)
            await self._converse(conversation, receive)
        except Exception:  # the runner: one connection must not end silently, nor others with it
            log.exception("conversation_failed")
            sink.close(Ending.FAILED)
        finally:
            self._strangers.discard(conversation)
            conversation.close()
            if isinstance(sink, SendingSink):
                sink.stop()

    async def _converse(self, conversation: Conversation, receive: Receive) -> None:
        while True:
            if conversation.signed_in:
                self._strangers.discard(conversation)
            await conversation.ready()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            await conversation.hear(message.get("text"))

    async def _admitted(self, scope: Scope, request_id: str) -> tuple[Principal, Claims] | None:
        try:
            return await self._admit(scope)
        except ControlPlaneError:
            raise
        except Exception as error:  # the runner: the server's own log would not tell of it
            with suppress(*LOG_GONE):
                log.exception("admission_failed", request_id=request_id)
            raise InternalError from error

    async def _admit(self, scope: Scope) -> tuple[Principal, Claims] | None:
        """Who asks, where the handshake tells. Raises what keeps them out."""
        if scope["path"].removeprefix(scope.get("root_path", "")) != PATH:
            raise NoSuchPath
        headers = RequestHeaders(scope["headers"])
        self._require_origin(headers)
        if scope.get("subprotocols") and SUBPROTOCOL not in scope["subprotocols"]:
            raise BadSubprotocol
        if self._open > CONNECTIONS_MAX:
            raise Overloaded
        claims = await self._said_by(headers, scope["query_string"])
        if claims is None:
            if len(self._strangers) >= STRANGERS_MAX:
                raise Overloaded
            return None
        scope[CLAIMS] = claims
        return await self._process.accounts.principals.of(claims), claims

    def _require_origin(self, headers: RequestHeaders) -> None:
        """Only browsers tell an origin, and there a page of any origin may open a WebSocket."""
        origin = headers.single(b"origin")
        if origin is None or origin in self._process.settings.allowed_origins:
            return
        host = headers.first(b"host")
        if origin not in {f"http://{host}", f"https://{host}"}:
            raise ForbiddenOrigin

    async def _said_by(self, headers: RequestHeaders, query: bytes) -> Claims | None:
        parameters = parse_qs(query.decode("latin-1"), keep_blank_values=True)
        if parameters.keys() - {"ticket"} or len(parameters.get("ticket", [])) > 1:
            raise BadCredentials("The only parameter is one ticket; a token has no place in a URL.")
        if headers.every(b"authorization"):
            if parameters:
                raise BadCredentials("Either a header or a ticket tells who asks.")
            return self._process.tokens.verify(bearer_token(headers, query))
        if parameters:
            return await self._process.tickets.redeem(parameters["ticket"][0])
        return None


async def not_upgraded(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """What is served under the path over plain HTTP: nothing. Raises UpgradeRequired."""
    raise UpgradeRequired


def _sink_of(scope: Scope, receive: Receive, send: Send) -> tuple[ConnectionSink, Receive]:
    """The wire of our own server; with any other, its `send`."""
    wire = scope.get("extensions", {}).pop(WIRE, None)
    if wire is not None:
        return WireSink(WEBSOCKET, wire), receive
    ended = asyncio.Event()

    async def send_frames(frames: bytes) -> None:
        for payload in payloads_of(frames):
            await send({"type": "websocket.send", "text": payload.decode()})

    async def end(ending: Ending) -> None:
        code = CLOSE_CODES[ending]
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await send({"type": "websocket.close", "code": code, "reason": str(ending)})
        ended.set()

    return SendingSink(WEBSOCKET, send_frames, end), _until(ended, receive)


def _until(ended: asyncio.Event, receive: Receive) -> Receive:
    """What is received, until it has ended by ourselves."""

    async def next_message() -> Message:
        receiving = asyncio.ensure_future(receive())
        ending = asyncio.create_task(ended.wait())
        await asyncio.wait({receiving, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if receiving.done():
            return receiving.result()
        receiving.cancel()
        return {"type": "websocket.disconnect", "code": 1006}

    return next_message
