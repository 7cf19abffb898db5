"""Exports: the bytes of an answer as they come, for either client."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from musterroll._request import Request
from musterroll._session import Session
from musterroll.errors import Unauthorized

if TYPE_CHECKING:
    from musterroll._transport.awaiting import AwaitingTransport
    from musterroll._transport.blocking import BlockingTransport

# The service reads its log while it sends.
SILENCE_SECONDS_MAX = 60.0


class _Blocking(Protocol):
    _session: Session

    def _opened(self) -> "BlockingTransport": ...


class _Awaiting(Protocol):
    _session: Session

    def _opened(self) -> "AwaitingTransport": ...


def export(owner: _Blocking, request: Request[Any]) -> Iterator[bytes]:
    transport, session = owner._opened(), owner._session
    token = transport.converse(session.bearer())
    try:
        incoming = transport.open(_with(request, token), SILENCE_SECONDS_MAX)
    except Unauthorized:
        if not session.discard(token):
            raise
        token = transport.converse(session.bearer())
        incoming = transport.open(_with(request, token), SILENCE_SECONDS_MAX)
    try:
        while chunk := incoming.read():
            yield chunk
    finally:
        incoming.close()


async def export_async(owner: _Awaiting, request: Request[Any]) -> AsyncIterator[bytes]:
    transport, session = owner._opened(), owner._session
    token = await transport.converse(session.bearer())
    renewed = False
    while True:
        try:
            async for chunk in transport.stream(_with(request, token), SILENCE_SECONDS_MAX):
                yield chunk
        except Unauthorized:
            if renewed or not session.discard(token):
                raise
            token, renewed = await transport.converse(session.bearer()), True
        else:
            return


def _with(request: Request[Any], token: str) -> Request[Any]:
    headers = {**request.headers, "Authorization": f"Bearer {token}"}
    return replace(request, headers=headers)
