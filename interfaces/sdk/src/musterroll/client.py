"""The clients: one for plain code, one for asyncio, with the same methods."""

import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from musterroll._calls import awaited, blocking, listed, listed_async
from musterroll._connection import Credentials
from musterroll._exports import export, export_async
from musterroll._groups import (
    Agents,
    AsyncAgents,
    AsyncAudit,
    AsyncBackups,
    AsyncClients,
    AsyncSubjects,
    AsyncTasks,
    AsyncUsers,
    Audit,
    Backups,
    Clients,
    Subjects,
    Tasks,
    Users,
)
from musterroll._live.wanted import wanted
from musterroll._live.watching import watch, watch_async
from musterroll._request import Plan
from musterroll._routes import history, past, reasons
from musterroll._routes import log as routes
from musterroll._routes.backups import store as store_route
from musterroll._routes.history import Moment
from musterroll._session import Session
from musterroll.models import AccessToken, TaskStatus
from musterroll.streams import (
    AsyncEvents,
    AsyncReplay,
    AsyncTaskOutput,
    Events,
    Replay,
    TaskOutput,
)

if TYPE_CHECKING:
    from musterroll._transport.awaiting import AwaitingTransport
    from musterroll._transport.blocking import BlockingTransport

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

    _transport: "BlockingTransport | None" = None

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

    @property
    def audit(self) -> Audit:
        return Audit(self)

    @property
    def subjects(self) -> Subjects:
        return Subjects(self)

    @property
    def backups(self) -> Backups:
        return Backups(self)

    log = listed(routes.log)
    activity = listed(routes.activity)
    state = blocking(past.state)
    bisect = blocking(past.bisect)
    causes = blocking(reasons.causes)
    effects = blocking(reasons.effects)
    what_if = blocking(reasons.what_if)
    import_events = blocking(history.import_events)
    store = blocking(store_route)
    health = blocking(routes.health)
    ready = blocking(routes.ready)
    metrics = blocking(routes.metrics)
    request = blocking(routes.request)

    def events(
        self,
        channels: str | Iterable[str],
        *,
        after: str = "now",
        types: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        follow: bool = True,
    ) -> Events:
        """Events in log order, each once, however often the connection breaks: an iterator.

        `channels`: `tasks`, `agents`, `collaborations`, `system`, or one thing: `tasks.<id>`.
        `after`: a cursor, "now" (when it connects) or "start". With `types` only these, with
        `labels` only those of tasks or agents that had all of them. Without `follow` it ends where
        the log does.

        Raises Invalid for channels that bring no events. Its steps raise Resync when there is no
        going on at the cursor; NotFound, Forbidden, Unauthorized, Invalid; and Unavailable when
        the service was not reached in the first place.
        """
        wished = wanted(channels, after=after, types=types, labels=labels, follow=follow)
        return Events(self, wished)

    def output(self, task_id: str) -> TaskOutput:
        """What a running task writes from now on, until it ends: an iterator.

        It is kept nowhere: what was written before, or while the connection was broken, does not
        come. Raises what `events` does.
        """
        return TaskOutput(self, task_id)

    def replay(
        self,
        begin: Moment,
        end: Moment | None = None,
        *,
        speed: float = 1.0,
        gap_seconds_max: float | None = None,
    ) -> Replay:
        """Recorded events again, with their timing (`speed` times as fast): an iterator.

        `begin` and `end` (None: now) are times or cursors. Idle time of more than
        `gap_seconds_max` recorded seconds is passed over. It waits for its reader; what comes while
        the connection is broken may be missed, which raises Unavailable. Raises what `events` does.
        """
        asked = history.open_replay(begin, end, speed=speed, gap_seconds_max=gap_seconds_max)
        return Replay(self, asked)

    def export(
        self,
        begin: Moment | None = None,
        end: Moment | None = None,
        *,
        sign: bool = False,
        of: Iterable[str] = (),
    ) -> Iterator[bytes]:
        """The log as CloudEvents, one a line, from `begin` (None: the first) to `end` (None: now),
        in pieces of any size; with `sign`, a last line is signed. `of` are the ids of tasks and
        agents whose histories are wanted (none: everything). Nothing is repeated by itself.

        Raises Invalid, NotFound, EpochEnded, Unauthorized, Forbidden, and Unavailable when it
        breaks off.
        """
        return export(self, history.export(begin, end, sign=sign, of=of))

    def watch(self, task_id: str) -> Iterator[TaskStatus]:
        """A task's status now, and again whenever it has changed, up to the final one with its
        result. Of changes that come together the last is seen. Outages are waited for, once there
        was an answer.

        Raises NotFound, Unauthorized, Forbidden, or Unavailable at the beginning.
        """
        return watch(self, task_id)

    def token(self) -> str:
        """The access token that this client works with. Raises Unauthorized or Unavailable."""
        return self._opened().converse(self._session.bearer())

    def new_token(self, *, scopes: Sequence[str] | None = None) -> AccessToken:
        """A new access token, to hand to another tool, for these scopes or all there are.

        Raises Unauthorized, Unavailable, or Invalid for scopes that these credentials do not have.
        """
        return self._opened().converse(self._session.new_token(scopes))

    def close(self) -> None:
        """Close the connections. The client opens new ones when it is used again."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self) -> "BlockingTransport":
        # What the other client needs is not imported for this one, nor before it is used.
        with self._opening:
            if self._transport is None:
                from musterroll._transport.blocking import BlockingTransport  # noqa: PLC0415

                self._transport = BlockingTransport(self.url, self._timeout_seconds)
            return self._transport

    def _run(self, plan: Plan[T]) -> T:
        return self._opened().converse(self._session.carry_out(plan))


class AsyncClient(_Common):
    """A client for one event loop. Use it in an `async with`, or `await aclose()`."""

    _transport: "AwaitingTransport | None" = None

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

    @property
    def audit(self) -> AsyncAudit:
        return AsyncAudit(self)

    @property
    def subjects(self) -> AsyncSubjects:
        return AsyncSubjects(self)

    @property
    def backups(self) -> AsyncBackups:
        return AsyncBackups(self)

    log = listed_async(routes.log)
    activity = listed_async(routes.activity)
    state = awaited(past.state)
    bisect = awaited(past.bisect)
    causes = awaited(reasons.causes)
    effects = awaited(reasons.effects)
    what_if = awaited(reasons.what_if)
    import_events = awaited(history.import_events)
    store = awaited(store_route)
    health = awaited(routes.health)
    ready = awaited(routes.ready)
    metrics = awaited(routes.metrics)
    request = awaited(routes.request)

    def events(
        self,
        channels: str | Iterable[str],
        *,
        after: str = "now",
        types: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        follow: bool = True,
    ) -> AsyncEvents:
        """Events in log order, each once, however often the connection breaks: an iterator.

        `channels`: `tasks`, `agents`, `collaborations`, `system`, or one thing: `tasks.<id>`.
        `after`: a cursor, "now" (when it connects) or "start". With `types` only these, with
        `labels` only those of tasks or agents that had all of them. Without `follow` it ends where
        the log does.

        Raises Invalid for channels that bring no events. Its steps raise Resync when there is no
        going on at the cursor; NotFound, Forbidden, Unauthorized, Invalid; and Unavailable when
        the service was not reached in the first place.
        """
        wished = wanted(channels, after=after, types=types, labels=labels, follow=follow)
        return AsyncEvents(self, wished)

    def output(self, task_id: str) -> AsyncTaskOutput:
        """What a running task writes from now on, until it ends: an iterator.

        It is kept nowhere: what was written before, or while the connection was broken, does not
        come. Raises what `events` does.
        """
        return AsyncTaskOutput(self, task_id)

    def replay(
        self,
        begin: Moment,
        end: Moment | None = None,
        *,
        speed: float = 1.0,
        gap_seconds_max: float | None = None,
    ) -> AsyncReplay:
        """Recorded events again, with their timing (`speed` times as fast): an iterator.

        `begin` and `end` (None: now) are times or cursors. Idle time of more than
        `gap_seconds_max` recorded seconds is passed over. It waits for its reader; what comes while
        the connection is broken may be missed, which raises Unavailable. Raises what `events` does.
        """
        asked = history.open_replay(begin, end, speed=speed, gap_seconds_max=gap_seconds_max)
        return AsyncReplay(self, asked)

    def export(
        self,
        begin: Moment | None = None,
        end: Moment | None = None,
        *,
        sign: bool = False,
        of: Iterable[str] = (),
    ) -> AsyncIterator[bytes]:
        """The log as CloudEvents, one a line, from `begin` (None: the first) to `end` (None: now),
        in pieces of any size; with `sign`, a last line is signed. `of` are the ids of tasks and
        agents whose histories are wanted (none: everything). Nothing is repeated by itself.

        Raises Invalid, NotFound, EpochEnded, Unauthorized, Forbidden, and Unavailable when it
        breaks off.
        """
        return export_async(self, history.export(begin, end, sign=sign, of=of))

    def watch(self, task_id: str) -> AsyncIterator[TaskStatus]:
        """A task's status now, and again whenever it has changed, up to the final one with its
        result. Of changes that come together the last is seen. Outages are waited for, once there
        was an answer.

        Raises NotFound, Unauthorized, Forbidden, or Unavailable at the beginning.
        """
        return watch_async(self, task_id)

    async def token(self) -> str:
        """The access token that this client works with. Raises Unauthorized or Unavailable."""
        return await self._opened().converse(self._session.bearer())

    async def new_token(self, *, scopes: Sequence[str] | None = None) -> AccessToken:
        """A new access token, to hand to another tool, for these scopes or all there are.

        Raises Unauthorized, Unavailable, or Invalid for scopes that these credentials do not have.
        """
        return await self._opened().converse(self._session.new_token(scopes))

    async def aclose(self) -> None:
        """Close the connections. The client opens new ones when it is used again."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _opened(self) -> "AwaitingTransport":
        if self._transport is None:
            from musterroll._transport.awaiting import AwaitingTransport  # noqa: PLC0415

            self._transport = AwaitingTransport(self.url, self._timeout_seconds)
        return self._transport

    async def _run(self, plan: Plan[T]) -> T:
        return await self._opened().converse(self._session.carry_out(plan))
