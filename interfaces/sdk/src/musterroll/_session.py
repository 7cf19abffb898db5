"""The state of one client, and the conversation that each of its requests is."""

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from musterroll._connection import Connection, Credentials, resolve
from musterroll._conversation import Conversation, Reply, Send, insist
from musterroll._request import Plan, Request
from musterroll._seen import newer, newest_cursor
from musterroll._tokens import Tokens
from musterroll.models import AccessToken

T = TypeVar("T")


class Session:
    """Where the service is, the tokens for it, and the newest cursor seen."""

    def __init__(self, url: str | None, credentials: Credentials, retry_seconds: float) -> None:
        self._url = url
        self._credentials = credentials
        self.retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self.seen: str | None = None

    @cached_property
    def connection(self) -> Connection:
        """Raises Invalid, Unauthorized or Unavailable when no service can be told."""
        return resolve(self._url, self._credentials)

    @cached_property
    def _tokens(self) -> Tokens:
        return Tokens(self.connection, self._insist)

    def carry_out(self, plan: Plan[T]) -> Conversation[T]:
        """Hold the conversation of one request, or of each request of a plan."""
        if isinstance(plan, Request):
            return (yield from self._exchange(plan))
        answer: Any = None
        while True:
            try:
                request = plan.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = yield from self._exchange(request)

    def bearer(self) -> Conversation[str]:
        """The token to work with. Raises Unauthorized or Unavailable."""
        return self._tokens.bearer()

    def discard(self, token: str) -> bool:
        """Forget a token that was refused or has ended; whether there may be another one."""
        return self._tokens.discard(token)

    @property
    def renewal_seconds(self) -> float:
        """How long `bearer` will give the token that it gave last."""
        return self._tokens.renewal_seconds

    def new_token(self, scopes: Sequence[str] | None) -> Conversation[AccessToken]:
        """A token of its own. Raises Unauthorized, Invalid or Unavailable."""
        return self._tokens.ask(scopes)

    def _exchange(self, request: Request[T]) -> Conversation[T]:
        """Ask until it is answered; a token that was refused, and a cursor whose epoch has ended,
        are replaced once."""
        renewed = False
        while True:
            token = (yield from self._tokens.bearer()) if request.authorized else None
            seen = self.seen if request.method == "GET" else None
            reply = yield from self._insist(Send(request, _headers(token, seen)))
            if reply.status < 300:
                return self._accept(request, reply)
            error = reply.refusal()
            if reply.status == 401 and token and not renewed and self._tokens.discard(token):
                renewed = True
            elif error.code == "epoch_ended" and seen is not None:
                self._forget(seen)
            else:
                raise error

    def _insist(self, send: Send) -> Conversation[Reply]:
        own = send.request.retry_seconds
        budget_seconds = self.retry_seconds if own is None else own
        return insist(send, connection=self.connection, budget_seconds=budget_seconds)

    def _accept(self, request: Request[T], reply: Reply) -> T:
        answer = reply.decoded()
        if request.method != "GET":
            with self._lock:
                self.seen = newer(self.seen, newest_cursor(answer))
        return request.parse(answer)

    def _forget(self, seen: str) -> None:
        with self._lock:
            if self.seen == seen:
                self.seen = None


def _headers(token: str | None, seen: str | None) -> Mapping[str, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if seen:
        headers["Musterroll-Seen"] = seen
    return headers
