"""Plain code waits with urllib3."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

import urllib3
from urllib3.exceptions import HTTPError

from musterroll._conversation import Conversation, Reply, Result, Send, Silence, Sleep
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
from musterroll.errors import MusterrollError, Unavailable

T = TypeVar("T")

NO_HEADERS: Mapping[str, str] = {}
CHUNK_BYTES = 64 * 1024
REFUSAL_BYTES_MAX = 64 * 1024


class Incoming:
    """The body of an answer, as it comes. One thread reads; any may close."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self._closing = threading.Lock()
        self._is_reading = False
        self._is_closed = False

    def read(self) -> bytes:
        """What has come, once there is something; nothing at its end, or when it is closed.

        Raises Unavailable when the connection broke or stayed silent for too long.
        """
        with self._closing:
            if self._is_closed:
                return b""
            self._is_reading = True
        try:
            return self._response.read1(CHUNK_BYTES) or b""
        except (HTTPError, OSError) as error:
            if self._is_closed:
                return b""
            told = f"the connection broke ({silence(error).told})"
            raise Unavailable(told, code="connection_ended") from error
        finally:
            with self._closing:
                self._is_reading = False
                if self._is_closed:
                    self._let_go()

    def close(self) -> None:
        """Read no more. The thread that waits in `read` gets nothing."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            if self._is_reading:
                # What another thread reads must not be closed under its hands.
                with suppress(OSError, ValueError, RuntimeError):
                    self._response.shutdown()
            else:
                self._let_go()

    def _let_go(self) -> None:
        self._response.close()
        self._response.release_conn()


class BlockingTransport:
    """Connections to one service. Threads may share them."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        """`timeout_seconds` is how long a reply may stay silent, beyond what was asked for.
        Raises Invalid for a proxy that cannot be used."""
        self._url = url
        self._timeout_seconds = timeout_seconds
        proxy = proxy_for(url)
        self._manager = _pools(url, proxy, maxsize=CONNECTIONS_MAX, block=True)
        # Streams last: they must not take the places of requests.
        self._streaming = _pools(url, proxy, maxsize=1)
        # Without a proxy the one pool is asked itself: finding it takes as long as using it.
        pool = None if proxy else self._manager.connection_from_url(url)
        self._open: Callable[..., urllib3.BaseHTTPResponse] = (pool or self._manager).urlopen
        self._before_path = url if pool is None else urlsplit(url).path
        self._streams: WeakSet[Incoming] = WeakSet()
        self.closed = False

    def converse(self, conversation: Conversation[T]) -> T:
        """Do what the conversation asks for until it returns. Raises what it raises."""
        result: Result = None
        try:
            while True:
                step = conversation.send(result)
                if isinstance(step, Sleep):
                    time.sleep(step.seconds)
                    result = None
                else:
                    result = self._result(step)
        except StopIteration as end:
            answer: T = end.value
            return answer
        finally:
            conversation.close()

    def open(self, request: Request[Any], silence_seconds: float) -> Incoming:
        """Send a request, and read its answer as it comes; no longer than `silence_seconds` apart.

        Raises Unavailable without an answer, and the error that a refusal is.
        """
        response = self._send(
            self._streaming.urlopen,
            self._url + target_of(request),
            request,
            silence_seconds=silence_seconds,
            preload_content=False,
        )
        if isinstance(response, Silence):
            told = f"no answer from {self._url} ({response.told})"
            raise Unavailable(told, code="unreachable")
        if response.status != 200:
            raise _refusal(response)
        incoming = Incoming(response)
        self._streams.add(incoming)
        return incoming

    def close(self) -> None:
        """Close what is idle, and end every stream."""
        self.closed = True
        for incoming in list(self._streams):
            incoming.close()
        self._manager.clear()
        self._streaming.clear()

    def _result(self, send: Send) -> Result:
        request = send.request
        response = self._send(
            self._open,
            self._before_path + target_of(request),
            request,
            headers=send.headers,
            silence_seconds=self._timeout_seconds + request.wait_seconds,
        )
        if isinstance(response, Silence):
            return response
        return Reply(response.status, response.headers, response.data)

    def _send(
        self,
        urlopen: Callable[..., urllib3.BaseHTTPResponse],
        target: str,
        request: Request[Any],
        *,
        silence_seconds: float,
        headers: Mapping[str, str] = NO_HEADERS,
        **options: Any,
    ) -> urllib3.BaseHTTPResponse | Silence:
        connect_seconds = min(self._timeout_seconds, CONNECT_SECONDS_MAX)
        try:
            return urlopen(
                request.method,
                target,
                body=request.content,
                headers={"User-Agent": USER_AGENT, **request.headers, **headers},
                timeout=urllib3.Timeout(connect=connect_seconds, read=silence_seconds),
                retries=False,
                redirect=False,
                **options,
            )
        except ValueError as error:  # some of urllib3's own errors are ValueErrors too
            raise not_sent(error) from error
        except HTTPError as error:
            return silence(error)


def _refusal(response: urllib3.BaseHTTPResponse) -> MusterrollError:
    """The error of an answer that is no stream."""
    try:
        reply = Reply(response.status, response.headers, response.read(REFUSAL_BYTES_MAX))
    except (HTTPError, OSError):
        reply = Reply(response.status, response.headers, b"")
    finally:
        response.close()
        response.release_conn()
    if reply.status < 300:
        told = f"the answer is no stream (status {reply.status})"
        return Unavailable(told, code="unexpected_answer", status=reply.status)
    error = reply.refusal()
    if reply.retry_after is not None:
        error.extra["retry_after"] = reply.retry_after
    return error


def _pools(url: str, proxy: str | None, **options: Any) -> urllib3.PoolManager:
    if url.startswith("https:"):
        options["ssl_context"] = tls()
    return _through(proxy, options) if proxy else urllib3.PoolManager(**options)


def _through(proxy: str, options: dict[str, Any]) -> urllib3.ProxyManager:
    parts = urlsplit(proxy)
    headers: Any = None
    if parts.username:
        person = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=person)
    return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
