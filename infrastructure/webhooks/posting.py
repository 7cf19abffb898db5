"""Posts to targets: pinned to checked addresses, in bounded time, believing nothing."""

import asyncio
import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientOSError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from application.webhooks.ports import PostAnswer, Unreachable
from infrastructure.webhooks.addresses import (
    AddressRefused,
    CheckedResolver,
    Resolve,
    SystemResolver,
    checked_socket,
)

CONNECT_SECONDS = 5.0
WHOLE_SECONDS = 15.0
BODY_SECONDS = 1.0
BODY_BYTES_MAX = 1024
ANSWER_BYTES_MAX = 128 * 1024
"""Of heads and body, before the connection is cut."""
LINE_BYTES_MAX = 8 * 1024
HEADERS_MAX = 64
KEEP_ALIVE_SECONDS = 15.0
HEADERS = {
    "content-type": "application/cloudevents+json",
    "user-agent": "Musterroll-Webhooks/1",
    "accept-encoding": "identity",
}

NOT_CONNECTED = "it cannot be connected to"
UNKNOWN = "it could not be asked"
PLAIN_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (ClientConnectorDNSError, "its name cannot be resolved"),
    (ClientConnectorCertificateError, "its certificate is not trusted"),
    (ClientConnectorSSLError, "there is no TLS with it"),
    (ClientConnectorError, NOT_CONNECTED),
    (ClientResponseError, "its answer is no HTTP, or its headers are too large"),
    (ServerDisconnectedError, "it closed the connection without an answer"),
    (OSError, "it closed the connection without an answer"),
)
"""Why a post failed; the first that fits."""


class BoundedAnswers(ResponseHandler):
    """A connection that is cut when a target says more than anybody would read.

    aiohttp skips interim answers (100 Continue) for as long as they come, and a target that sends
    nothing else would keep this process busy.
    """

    _received = 0

    def set_response_params(self, **parameters: Any) -> None:
        """Another answer begins."""
        self._received = 0
        super().set_response_params(**parameters)

    def data_received(self, data: bytes) -> None:
        """Count, then read on."""
        self._received += len(data)
        if self._received > ANSWER_BYTES_MAX:
            self.abort()
        else:
            super().data_received(data)


class HttpPoster:
    """The Poster. Follows no redirect, heeds no proxy of the environment, keeps no cookie.

    `resolve` tells the addresses of a name, `tls` who is trusted: by default the system does.
    """

    def __init__(
        self,
        *,
        private: bool,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        whole_seconds: float = WHOLE_SECONDS,
    ) -> None:
        self._private = private
        self._resolve = resolve
        self._tls = tls
        self._whole_seconds = whole_seconds
        self._timeout = ClientTimeout(total=whole_seconds, connect=connect_seconds)
        self._system: SystemResolver | None = None
        self._session: ClientSession | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> PostAnswer:
        """Post once, and again at once when a connection that was kept had died meanwhile.

        Raises Unreachable.
        """
        try:
            async with asyncio.timeout(self._whole_seconds):
                try:
                    return await self._post(url, headers, body)
                except (ServerDisconnectedError, ClientOSError) as error:
                    if isinstance(error, ClientConnectorError):
                        raise
                    return await self._post(url, headers, body)
        except ConnectionTimeoutError as error:
            seconds = self._timeout.connect
            raise Unreachable(f"it could not be connected to within {seconds:g} s") from error
        except TimeoutError as error:
            raise Unreachable(f"it did not answer within {self._whole_seconds:g} s") from error
        except (ClientError, OSError, RuntimeError, ValueError) as error:
            raise Unreachable(_plain_words(error)) from error

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
        if self._system is not None:
            self._system.close()

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> PostAnswer:
        session = self._session or self._open()
        async with session.post(
            URL(url, encoded=True), data=body, headers={**HEADERS, **headers}, allow_redirects=False
        ) as response:
            await _read_a_little(response)
            seconds = _seconds_from(response.headers.get("Retry-After", ""))
            return PostAnswer(status=response.status, retry_after_seconds=seconds)

    def _open(self) -> ClientSession:
        resolve = self._resolve
        if resolve is None:
            resolve = self._system = SystemResolver()
        connector = TCPConnector(
            resolver=CheckedResolver(resolve, private=self._private),
            socket_factory=checked_socket(self._private),
            use_dns_cache=False,
            ssl=self._tls or True,
            limit=0,  # whoever posts bounds how many there are
            keepalive_timeout=KEEP_ALIVE_SECONDS,
        )
        # There is no other handle on it; a test would notice if it were gone.
        factory: Any = partial(BoundedAnswers, loop=asyncio.get_running_loop())
        connector._factory = factory
        self._session = ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            trust_env=False,
            read_bufsize=BODY_BYTES_MAX,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
        )
        return self._session


async def _read_a_little(response: ClientResponse) -> None:
    """So that the connection can be kept; whoever sends much, or slowly, loses it. The body says
    nothing that anybody is shown."""
    left = BODY_BYTES_MAX
    with suppress(TimeoutError, ClientError):
        async with asyncio.timeout(BODY_SECONDS):
            while left > 0 and (chunk := await response.content.read(left)):
                left -= len(chunk)


def _seconds_from(retry_after: str) -> float | None:
    """What a Retry-After asks for (RFC 9110, section 10.2.3); None when it makes no sense."""
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10:
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
        return (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def _plain_words(error: Exception) -> str:
    """Why a post failed, without anything that the other side has sent."""
    cause = getattr(error, "os_error", None)
    if isinstance(cause, AddressRefused):
        return str(cause)
    words = next((words for kind, words in PLAIN_WORDS if isinstance(error, kind)), UNKNOWN)
    if words == NOT_CONNECTED and cause is not None and cause.errno:
        words += f": {os.strerror(cause.errno).lower()}"
    return words
