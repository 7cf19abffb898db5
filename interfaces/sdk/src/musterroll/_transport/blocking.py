"""Plain code waits with urllib3."""

import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from musterroll._conversation import Conversation, Reply, Result, Send, Sleep
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

T = TypeVar("T")


class BlockingTransport:
    """Connections to one service. Threads may share them."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        """`timeout_seconds` is how long a reply may stay silent, beyond what was asked for.
        Raises Invalid for a proxy that cannot be used."""
        self._timeout_seconds = timeout_seconds
        options: dict[str, Any] = {"maxsize": CONNECTIONS_MAX, "block": True}
        if url.startswith("https:"):
            options["ssl_context"] = tls()
        proxy = proxy_for(url)
        self._manager = _through(proxy, options) if proxy else urllib3.PoolManager(**options)
        # Without a proxy the one pool is asked itself: finding it takes as long as using it.
        pool = None if proxy else self._manager.connection_from_url(url)
        self._open: Callable[..., urllib3.BaseHTTPResponse] = (pool or self._manager).urlopen
        self._before_path = url if pool is None else urlsplit(url).path

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

    def close(self) -> None:
        self._manager.clear()

    def _result(self, send: Send) -> Result:
        request = send.request
        timeout = urllib3.Timeout(
            connect=min(self._timeout_seconds, CONNECT_SECONDS_MAX),
            read=self._timeout_seconds + request.wait_seconds,
        )
        try:
            response = self._open(
                request.method,
                self._before_path + target_of(request),
                body=request.content,
                headers={"User-Agent": USER_AGENT, **request.headers, **send.headers},
                timeout=timeout,
                retries=False,
                redirect=False,
            )
        except ValueError as error:  # some of urllib3's own errors are ValueErrors too
            raise not_sent(error) from error
        except HTTPError as error:
            return silence(error)
        return Reply(response.status, response.headers, response.data)


def _through(proxy: str, options: dict[str, Any]) -> urllib3.ProxyManager:
    parts = urlsplit(proxy)
    headers: Any = None
    if parts.username:
        person = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=person)
    return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
