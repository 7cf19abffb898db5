"""The two ways to wait for httpx. Everything else is in conversations."""

import asyncio
import ssl
import time
from functools import cache
from typing import Any, TypeVar

import httpx

from musterroll._connection import is_loopback
from musterroll._conversation import Conversation, Reply, Result, Send, Silence, Sleep
from musterroll.errors import Invalid

T = TypeVar("T")

CONNECT_SECONDS_MAX = 10.0
USER_AGENT = "musterroll-python/0.1.0"


def converse(conversation: Conversation[T], http: httpx.Client, timeout_seconds: float) -> T:
    """Do what the conversation asks for until it returns. Raises what it raises."""
    result: Result = None
    try:
        while True:
            step = conversation.send(result)
            if isinstance(step, Sleep):
                time.sleep(step.seconds)
                result = None
                continue
            try:
                response = http.request(**_arguments(step, timeout_seconds))
            except httpx.HTTPError as error:
                result = _silence(error)
            else:
                result = _reply(response)
    except StopIteration as end:
        answer: T = end.value
        return answer
    finally:
        conversation.close()


async def converse_async(
    conversation: Conversation[T], http: httpx.AsyncClient, timeout_seconds: float
) -> T:
    """As `converse`."""
    result: Result = None
    try:
        while True:
            step = conversation.send(result)
            if isinstance(step, Sleep):
                await asyncio.sleep(step.seconds)
                result = None
                continue
            try:
                response = await http.request(**_arguments(step, timeout_seconds))
            except httpx.HTTPError as error:
                result = _silence(error)
            else:
                result = _reply(response)
    except StopIteration as end:
        answer: T = end.value
        return answer
    finally:
        conversation.close()


def options(url: str) -> dict[str, Any]:
    """The arguments of an httpx client that speaks to one url, and follows no redirects."""
    return {
        "verify": _tls() if url.startswith("https:") else _no_tls(),
        # A proxy that is set for the outside world cannot reach this machine's loopback.
        "trust_env": not is_loopback(url),
        "headers": {"User-Agent": USER_AGENT},
    }


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@cache
def _no_tls() -> ssl.SSLContext:
    # Reading the certificates takes longer than a request, and plain HTTP needs none.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _arguments(send: Send, timeout_seconds: float) -> dict[str, Any]:
    request = send.request
    return {
        "method": request.method,
        "url": request.path,
        "params": dict(request.query) or None,
        "headers": {**request.headers, **send.headers},
        "content": request.content,
        "timeout": httpx.Timeout(
            timeout_seconds + request.wait_seconds,
            connect=min(timeout_seconds, CONNECT_SECONDS_MAX),
        ),
    }


def _reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, response.headers, response.content)


def _silence(error: httpx.HTTPError) -> Silence:
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        raise Invalid(f"the request cannot be sent: {error}", code="bad_request") from error
    return Silence(str(error) or type(error).__name__)
