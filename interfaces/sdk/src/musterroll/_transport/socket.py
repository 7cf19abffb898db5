"""A WebSocket of an event loop, with aiohttp: JSON objects in text frames."""

from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from yarl import URL

from musterroll._live.frames import Frame, frame_in
from musterroll.errors import Invalid, MusterrollError, Unauthorized, Unavailable, from_problem

PROTOCOL = "musterroll.v1"
# The largest event holds an input or a result of 256 KiB.
FRAME_BYTES_MAX = 4 * 1024 * 1024
CLOSE_SECONDS_MAX = 1.0

TOKEN_ENDED = 4401
# What another connection would not change: the frame that was sent cannot be taken.
REFUSING_CODES = frozenset({1002, 1003, 1007, 1008, 1009})
NO_CODE = 1006


class Response(aiohttp.ClientWebSocketResponse):
    """What the session of WebSockets makes: it tells whether a redirect led to it."""

    def __init__(
        self,
        reader: Any,
        writer: Any,
        protocol: Any,
        response: aiohttp.ClientResponse,
        *rest: Any,
        **options: Any,
    ) -> None:
        super().__init__(reader, writer, protocol, response, *rest, **options)
        self.was_redirected = bool(response.history)


class Socket:
    """One connection. Its owner sends and receives; `close` ends it."""

    def __init__(self, response: aiohttp.ClientWebSocketResponse) -> None:
        self._response = response

    async def send(self, message: Frame) -> None:
        """Raises Unavailable when the connection has ended."""
        try:
            await self._response.send_str(orjson.dumps(message).decode())
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ended(self._response.close_code or NO_CODE, str(error)) from error

    async def receive(self, seconds: float) -> tuple[Frame, int]:
        """The next frame and its size.

        Raises TimeoutError when none comes for so long, Unauthorized when the token has ended,
        Invalid when what was sent is refused for good, and Unavailable when the connection has
        ended for any other reason.
        """
        said = await self._response.receive(seconds)
        if said.type is aiohttp.WSMsgType.TEXT:
            return frame_in(said.data), len(said.data)
        if said.type is aiohttp.WSMsgType.CLOSE:
            raise ended(said.data or NO_CODE, said.extra or "")
        raise ended(self._response.close_code or NO_CODE, str(said.data or ""))

    async def close(self) -> None:
        await self._response.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


async def connect(session: aiohttp.ClientSession, url: str) -> Socket:
    """Open a WebSocket in a session that makes each a `Response`.

    Raises what aiohttp raises where there is no answer, and the error that a refusal is.
    """
    try:
        response = await session.ws_connect(
            URL(url, encoded=True),
            protocols=(PROTOCOL,),
            max_msg_size=FRAME_BYTES_MAX,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS_MAX),
        )
    except aiohttp.WSServerHandshakeError as error:
        raise _refusal(url, error) from error
    if isinstance(response, Response) and response.was_redirected:
        # The token is for the service that was named, and for no other.
        await response.close()
        raise Invalid(f"{url} leads elsewhere: redirects are not followed", code="redirected")
    return Socket(response)


def ended(code: int, reason: str) -> MusterrollError:
    """The error that the end of a connection is, by its code (RFC 6455, section 7.4)."""
    told = f"the connection has ended ({code}{': ' if reason else ''}{reason})"
    if code == TOKEN_ENDED:
        return Unauthorized(told, code="token_ended")
    if code in REFUSING_CODES:
        return Invalid(told, code="message_refused", extra={"close_code": code})
    return Unavailable(told, code="connection_ended", extra={"close_code": code})


def _refusal(url: str, error: aiohttp.WSServerHandshakeError) -> MusterrollError:
    problem = {"detail": f"{url} answered {error.status} in place of a WebSocket"}
    if error.headers is not None and (asked := error.headers.get("retry-after")):
        problem["retry_after"] = asked
    # 101 with a wrong answer to the handshake comes from something that is no service.
    return from_problem(502 if error.status == 101 else error.status, problem)
