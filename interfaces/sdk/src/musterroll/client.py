"""The clients: one for plain code, one for asyncio, with the same methods."""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx

from musterroll import _transport
from musterroll._calls import awaited, blocking, listed, listed_async
from musterroll._connection import Credentials
from musterroll._groups import (
    Agents,
    AsyncAgents,
    AsyncClients,
    AsyncTasks,
    AsyncUsers,
    Clients,
    Tasks,
    Users,
)
from musterroll._request import Plan
from musterroll._routes import log
from musterroll._session import Session
from musterroll.models import AccessToken

T = TypeVar("T")


class _Common:
    """What both clients are made of. Nothing is read or sent before the first request."""

    def __init__(
        self,
        url: str | None = None,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        retry_seconds: float = 30.0,
        timeout_seconds: float = 30.0,
    ) -> None:
        """See the README for where the service and credentials are found when not given.

        `retry_seconds` is how long a request is repeated while the service is away or overloaded;
        `timeout_seconds` how long one try may stay silent, on top of what a long poll asked for.
        """
        credentials = Credentials(
            client_id=client_id,
            client_secret=client_secret,
            username=username,
            password=password,
            token=token,
        )
        self._session = Session(url, credentials, retry_seconds)
        self._timeout_seconds = timeout_seconds
        self._opening = threading.Lock()

    @property
    def url(self) -> str:
        """Where the service is. Raises Invalid or Unavailable when it is not to be found."""
        return self._session.connection.url

    @property
    def seen(self) -> str | None:
        """The newest cursor that a command answered: queries answer from no older a state."""
        return self._session.seen


class Client(_Common):
    """A client for plain code. Threads may share it. Use it in a `with`, or `close` it."""

    _http: httpx.Client | None = None

    @property
    def tasks(self) -> Tasks:
        return Tasks(self)

    @property
    def agents(self) -> Agents:
        return Agents(self)

    @property
    def users(self) -> Users:
        return Users(self)

    @property
    def clients(self) -> Clients:
        return Clients(self)

    events = listed(log.events)
    follow = listed(log.follow)
    activity = listed(log.activity)
    health = blocking(log.health)
    ready = blocking(log.ready)
    metrics = blocking(log.metrics)
    request = blocking(log.request)

    def token(self) -> str:
        """The access token that this client works with. Raises Unauthorized or Unavailable."""
        return _transport.converse(self._session.bearer(), self._opened(), self._timeout_seconds)

    def new_token(self, *, scopes: Sequence[str] | None = None) -> AccessToken:
        """A new access token, to hand to another tool, for these scopes or all there are.

        Raises Unauthorized, Unavailable, or Invalid for scopes that these credentials do not have.
        """
        asking = self._session.new_token(scopes)
        return _transport.converse(asking, self._opened(), self._timeout_seconds)

    def close(self) -> None:
        """Close the connections. The client opens new ones when it is used again."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self) -> httpx.Client:
        with self._opening:
            if self._http is None:
                self._http = httpx.Client(base_url=self.url, **_transport.options(self.url))
            return self._http

    def _run(self, plan: Plan[T]) -> T:
        conversation = self._session.carry_out(plan)
        return _transport.converse(conversation, self._opened(), self._timeout_seconds)


class AsyncClient(_Common):
    """A client for one event loop. Use it in an `async with`, or `await aclose()`."""

    _http: httpx.AsyncClient | None = None

    @property
    def tasks(self) -> AsyncTasks:
        return AsyncTasks(self)

    @property
    def agents(self) -> AsyncAgents:
        return AsyncAgents(self)

    @property
    def users(self) -> AsyncUsers:
        return AsyncUsers(self)

    @property
    def clients(self) -> AsyncClients:
        return AsyncClients(self)

    events = listed_async(log.events)
    follow = listed_async(log.follow)
    activity = listed_async(log.activity)
    health = awaited(log.health)
    ready = awaited(log.ready)
    metrics = awaited(log.metrics)
    request = awaited(log.request)

    async def token(self) -> str:
        """The access token that this client works with. Raises Unauthorized or Unavailable."""
        bearer = self._session.bearer()
        return await _transport.converse_async(bearer, self._opened(), self._timeout_seconds)

    async def new_token(self, *, scopes: Sequence[str] | None = None) -> AccessToken:
        """A new access token, to hand to another tool, for these scopes or all there are.

        Raises Unauthorized, Unavailable, or Invalid for scopes that these credentials do not have.
        """
        asking = self._session.new_token(scopes)
        return await _transport.converse_async(asking, self._opened(), self._timeout_seconds)

    async def aclose(self) -> None:
        """Close the connections. The client opens new ones when it is used again."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _opened(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(base_url=self.url, **_transport.options(self.url))
        return self._http

    async def _run(self, plan: Plan[T]) -> T:
        conversation = self._session.carry_out(plan)
        return await _transport.converse_async(conversation, self._opened(), self._timeout_seconds)
