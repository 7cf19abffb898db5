"""An event loop waits with aiohttp."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from musterroll._conversation import Conversation, Reply, Result, Send, Sleep
from musterroll._request import Request
from musterroll._transport import (
    CONNECT_SECONDS_MAX,
    CONNECTIONS_MAX,
    USER_AGENT,
    not_sent,
    proxy_for,
    silence,
    target_of,
    tls,
)
from musterroll._transport.socket import Response, Socket, connect
from musterroll.errors import Unavailable

T = TypeVar("T")


class AwaitingTransport:
    """Connections to one service, on the event loop that made them."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        """`timeout_seconds` is how long a reply may stay silent, beyond what was asked for.
        Raises Invalid for a proxy that cannot be used."""
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._session = session_for(url, self._silent_at_most(0.0))
        self._streaming: aiohttp.ClientSession | None = None

    async def converse(self, conversation: Conversation[T]) -> T:
        """Do what the conversation asks for until it returns. Raises what it raises."""
        result: Result = None
        try:
            while True:
                step = conversation.send(result)
                if isinstance(step, Sleep):
                    await asyncio.sleep(step.seconds)
                    result = None
                else:
                    result = await self._result(step)
        except StopIteration as end:
            answer: T = end.value
            return answer
        finally:
            conversation.close()

    @property
    def closed(self) -> bool:
        return self._session.closed

    async def connect(self, path: str) -> Socket:
        """Open a WebSocket. Raises Unavailable, or the error that a refusal is."""
        if self._streaming is None:
            # WebSockets last: they must not take the places of requests.
            self._streaming = session_for(
                self._url,
                self._silent_at_most(0.0),
                connections_max=0,
                ws_response_class=Response,
            )
        try:
            return await connect(self._streaming, self._url + path)
        except (aiohttp.ClientError, TimeoutError) as error:
            told = f"no answer from {self._url} ({silence(error).told})"
            raise Unavailable(told, code="unreachable") from error

    async def stream(self, request: Request[Any], silence_seconds: float) -> AsyncIterator[bytes]:
        """Send a request, and read its answer as it comes; no longer than `silence_seconds` apart.

        Raises Unavailable without an answer or without all of it, and the error that a refusal is.
        """
        connect_seconds = min(self._timeout_seconds, CONNECT_SECONDS_MAX)
        try:
            async with self._session.request(
                request.method,
                URL(self._url + target_of(request), encoded=True),
                headers={"Accept-Encoding": "identity", **request.headers},
                timeout=silent_at_most(silence_seconds, connect_seconds=connect_seconds),
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    reply = Reply(response.status, response.headers, await response.read())
                    raise reply.refusal()
                async for chunk in response.content.iter_any():
                    yield chunk
        except (aiohttp.ClientError, TimeoutError) as error:
            told = f"the answer broke off ({silence(error).told})"
            raise Unavailable(told, code="connection_ended") from error

    async def aclose(self) -> None:
        await self._session.close()
        if self._streaming is not None:
            await self._streaming.close()

    async def _result(self, send: Send) -> Result:
        request = send.request
        try:
            async with self._session.request(
                request.method,
                URL(self._url + target_of(request), encoded=True),
                data=request.content,
                headers={"Accept-Encoding": "identity", **request.headers, **send.headers},
                timeout=self._silent_at_most(request.wait_seconds),
                allow_redirects=False,
            ) as response:
                return Reply(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            # First, as some of aiohttp's errors are ValueErrors too.
            return silence(error)
        except ValueError as error:
            raise not_sent(error) from error

    def _silent_at_most(self, wait_seconds: float) -> aiohttp.ClientTimeout:
        connect_seconds = min(self._timeout_seconds, CONNECT_SECONDS_MAX)
        return silent_at_most(self._timeout_seconds + wait_seconds, connect_seconds=connect_seconds)


def session_for(
    url: str,
    timeout: aiohttp.ClientTimeout,
    *,
    connections_max: int = CONNECTIONS_MAX,
    **options: Any,
) -> aiohttp.ClientSession:
    """A session for requests to one url; with no `connections_max` (0) for any number of them at a
    time. Raises Invalid for a proxy that cannot be used."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections_max, ssl=tls() if url.startswith("https:") else True
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
        proxy=proxy_for(url),
        timeout=timeout,
        **options,
    )


def silent_at_most(seconds: float, *, connect_seconds: float) -> aiohttp.ClientTimeout:
    """How long to wait: for a connection, and for each piece of an answer."""
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds, sock_read=seconds)
