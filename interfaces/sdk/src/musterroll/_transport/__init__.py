"""Transports: what waits for the service's answers. Everything else is in conversations.

Plain code waits with urllib3 and an event loop with aiohttp; each is imported when a client is
first used. CPU of a small POST over loopback, on the client's side, in November 2026: httpx 0.43 ms
(plain) and 1.1 ms (async; 0.66 with sniffio, which it looks for at each request), httpcore2 0.24
and 0.42 ms, urllib3 0.19 ms, aiohttp 0.19 ms.
"""

import ssl
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from musterroll._connection import is_loopback
from musterroll._conversation import Silence
from musterroll._request import Request
from musterroll.errors import Invalid

CONNECT_SECONDS_MAX = 10.0
CONNECTIONS_MAX = 100
USER_AGENT = "musterroll-python/0.1.0"
# What RFC 3986 lets stand in a path or query, and escapes that are there already.
SAFE = "/?:@!$&'()*+,;=%-._~"


def proxy_for(url: str) -> str | None:
    """The proxy on the way to a url, from the environment. Raises Invalid for one that does not
    speak HTTP."""
    if is_loopback(url):
        # A proxy that is set for the outside world cannot reach this machine's loopback.
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - seldom needed, and slow

    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in {"http", "https"}:
        raise Invalid(f"the proxy for {url} does not speak HTTP: {proxy}", code="invalid_proxy")
    return proxy


@cache
def tls() -> ssl.SSLContext:
    """What the system trusts, and SSL_CERT_FILE. Reading it takes longer than a request."""
    return ssl.create_default_context()


def target_of(request: Request[Any]) -> str:
    """The path and query of a request, fit for its first line whatever a caller put in."""
    path = quote(request.path, safe=SAFE)
    if not path.startswith("/"):
        path = f"/{path}"
    if not request.query:
        return path
    pairs = {name: _text(value) for name, value in request.query.items()}
    return f"{path}{'&' if '?' in path else '?'}{urlencode(pairs, doseq=True)}"


def silence(error: BaseException) -> Silence:
    """What is told of a request that got no reply: what happened at the bottom of it."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return Silence(str(error) or type(error).__name__)


def not_sent(error: Exception) -> Invalid:
    return Invalid(f"the request cannot be sent: {error}", code="bad_request")


def _text(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_text(one) for one in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
