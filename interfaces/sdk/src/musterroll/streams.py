"""Live streams: what happens, as it happens. `client.events`, `client.output` and
`client.replay` make them.

A stream connects when it is first asked for something, or at the beginning of its `with` block. It
connects anew whenever its connection ends, and goes on where it stopped. It ends when it is closed,
or its client is. One thread (or task) reads it; a wait that is cancelled loses nothing.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from musterroll._live.frames import Item, Moved
from musterroll._live.wanted import Place, Wanted
from musterroll._request import Request
from musterroll._routes import tasks
from musterroll.errors import Unavailable
from musterroll.models import Event, Output, Replayed, ReplayEnd, TaskStatus

if TYPE_CHECKING:
    from musterroll._live import listening, reading
    from musterroll._live.listening import Listening
    from musterroll._live.reading import Reading

T_co = TypeVar("T_co", covariant=True)

ENDINGS = ("task.completed", "task.failed", "task.cancelled", "task.rejected")


class _Sieve(Protocol[T_co]):
    """What of a stream is for its reader, and where it ends."""

    wanted: Wanted | None
    ended: bool

    def pick(self, item: Item) -> T_co | None: ...


class _AllEvents:
    """Events, without end; or up to the end of the log."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted: Wanted | None = wanted
        self.ended = False
        self._follow = wanted.follow

    def pick(self, item: Item) -> Event | None:
        if isinstance(item, Moved) and item.caught_up:
            self.ended = not self._follow
        return item if isinstance(item, Event) else None


class _OutputOfTask:
    """Output, up to the event that ends the task."""

    def __init__(self, task_id: str) -> None:
        self.wanted: Wanted | None = None
        self.ended = False
        self.task_id = task_id

    def status(self) -> Request[TaskStatus]:
        return tasks.status(self.task_id)

    def begin(self, status: TaskStatus) -> None:
        """From where the status was read, so that the end is seen whenever it comes."""
        self.ended = status.finished
        channels = (f"output.{self.task_id}", f"tasks.{self.task_id}")
        self.wanted = Wanted(channels=channels, after=status.cursor or "start", types=ENDINGS)

    def pick(self, item: Item) -> Output | None:
        if isinstance(item, Event):
            self.ended = True
        return item if isinstance(item, Output) else None


class _Replay:
    """Recorded events, up to the end of the replay that brings them."""

    def __init__(self, asked: Request[Mapping[str, Any]]) -> None:
        self.wanted: Wanted | None = None
        self.ended = False
        self.asked = asked
        self.replay_id: str | None = None
        self._number = 0

    def begin(self, opened: Mapping[str, Any]) -> None:
        """It was opened, and plays once somebody listens."""
        self.replay_id = str(opened["replay_id"])
        self.wanted = Wanted(channels=(str(opened["channel"]),))

    def pick(self, item: Item) -> Replayed | None:
        if isinstance(item, ReplayEnd):
            self.ended = True
            if item.reason != "played":
                told = f"the replay is over after {item.played} events: {item.reason}"
                raise Unavailable(told, code=f"replay_{item.reason}")
        if not isinstance(item, Replayed):
            return None
        missed = item.number - self._number - 1
        self._number = item.number
        if missed > 0:
            told = f"{missed} replayed events came while the connection was broken"
            raise Unavailable(told, code="replay_missed")
        return item


class _Standing(Generic[T_co]):
    """How far a stream has been read."""

    def __init__(self, sieve: _Sieve[T_co]) -> None:
        self._sieve = sieve
        self._place = Place(None)

    @property
    def cursor(self) -> str | None:
        """Everything up to here was taken, or is not for this stream: go on after it to go on
        without a gap. It moves while nothing comes, too. None before it is known."""
        return self._place.cursor

    def _sift(self, item: Item) -> T_co | None:
        if isinstance(item, Event):
            self._place.move(item.id)
        elif isinstance(item, Moved):
            self._place.move(item.cursor)
        return self._sieve.pick(item)


class _BlockingStream(_Standing[T_co]):
    """An iterator of plain code, over server-sent events."""

    _reading: "Reading | None" = None

    def __init__(self, owner: "reading.Owner", sieve: _Sieve[T_co]) -> None:
        super().__init__(sieve)
        self._owner = owner
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T_co:
        """Wait for the next. Raises Resync, NotFound, Forbidden, Unauthorized or Invalid for good,
        and Unavailable when the service was not reached in the first place."""
        while (current := self._begun()) is not None:
            picked = self._sift(current.take())
            if self._sieve.ended:
                self.close()
            if picked is not None:
                return picked
        raise StopIteration

    def close(self) -> None:
        """End the stream. From any thread; one that waits for the next stops waiting."""
        self._closed = True
        if self._reading is not None:
            self._reading.stop()

    def __enter__(self) -> Self:
        if (current := self._begun()) is not None:
            with suppress(StopIteration):  # the client was closed: the first step says so
                current.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _begun(self) -> "Reading | None":
        """The reading, begun when it is first asked for; None when the stream has ended."""
        if self._closed:
            return None
        if self._reading is None:
            wanted = self._wanted()
            if wanted is None:
                self._closed = True
                return None
            # What the other client needs is not imported for this one, nor before it is used.
            from musterroll._live.reading import Reading  # noqa: PLC0415

            self._reading = Reading(self._owner, wanted)
        return self._reading

    def _wanted(self) -> Wanted | None:
        return self._sieve.wanted


class Events(_BlockingStream[Event]):
    """Events in log order, each once: `for event in client.events(["tasks"])`."""

    def __init__(self, owner: "reading.Owner", wanted: Wanted) -> None:
        super().__init__(owner, _AllEvents(wanted))


class TaskOutput(_BlockingStream[Output]):
    """What a task writes from now on, until it ends: `for piece in client.output(...)`."""

    def __init__(self, owner: "reading.Owner", task_id: str) -> None:
        self._of = _OutputOfTask(task_id)
        super().__init__(owner, self._of)

    def _wanted(self) -> Wanted | None:
        self._of.begin(self._owner._run(self._of.status()))
        return None if self._of.ended else self._of.wanted


class Replay(_BlockingStream[Replayed]):
    """Recorded events with their timing: `for moment in client.replay(begin, end)`."""

    def __init__(self, owner: "reading.Owner", asked: Request[Mapping[str, Any]]) -> None:
        self._of = _Replay(asked)
        super().__init__(owner, self._of)

    @property
    def replay_id(self) -> str | None:
        """What the service calls it; None before it is opened, by the first step."""
        return self._of.replay_id

    def _wanted(self) -> Wanted | None:
        self._of.begin(self._owner._run(self._of.asked))
        return self._of.wanted


class _AwaitingStream(_Standing[T_co]):
    """An iterator of an event loop, over a WebSocket."""

    _listening: "Listening | None" = None

    def __init__(self, owner: "listening.Owner", sieve: _Sieve[T_co]) -> None:
        super().__init__(sieve)
        self._owner = owner
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        """Wait for the next. Raises Resync, NotFound, Forbidden, Unauthorized or Invalid for good,
        and Unavailable when the service was not reached in the first place."""
        while (current := await self._begun()) is not None:
            picked = self._sift(await current.take())
            if self._sieve.ended:
                await self.aclose()
            if picked is not None:
                return picked
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the stream, and return when its connection is closed."""
        self._closed = True
        if self._listening is not None:
            await self._listening.stopped()

    async def __aenter__(self) -> Self:
        if (current := await self._begun()) is not None:
            with suppress(StopAsyncIteration):  # the client was closed: the first step says so
                await current.begun()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # Nobody can read it any more: its task must not go on for ever.
        if self._listening is not None and self._loop is not None:
            with suppress(RuntimeError):  # the loop is gone, and its tasks with it
                self._loop.call_soon_threadsafe(self._listening.stop)

    async def _begun(self) -> "Listening | None":
        """The listening, begun when it is first asked for; None when the stream has ended."""
        if self._closed:
            return None
        if self._listening is None:
            wanted = await self._wanted()
            if wanted is None:
                self._closed = True
                return None
            from musterroll._live.listening import Listening  # noqa: PLC0415

            self._loop = asyncio.get_running_loop()
            self._listening = Listening(self._owner, wanted)
        return self._listening

    async def _wanted(self) -> Wanted | None:
        return self._sieve.wanted


class AsyncEvents(_AwaitingStream[Event]):
    """Events in log order, each once: `async for event in client.events(["tasks"])`."""

    def __init__(self, owner: "listening.Owner", wanted: Wanted) -> None:
        super().__init__(owner, _AllEvents(wanted))


class AsyncTaskOutput(_AwaitingStream[Output]):
    """What a task writes from now on, until it ends: `async for piece in client.output(...)`."""

    def __init__(self, owner: "listening.Owner", task_id: str) -> None:
        self._of = _OutputOfTask(task_id)
        super().__init__(owner, self._of)

    async def _wanted(self) -> Wanted | None:
        self._of.begin(await self._owner._run(self._of.status()))
        return None if self._of.ended else self._of.wanted


class AsyncReplay(_AwaitingStream[Replayed]):
    """Recorded events with their timing: `async for moment in client.replay(begin, end)`."""

    def __init__(self, owner: "listening.Owner", asked: Request[Mapping[str, Any]]) -> None:
        self._of = _Replay(asked)
        super().__init__(owner, self._of)

    @property
    def replay_id(self) -> str | None:
        """What the service calls it; None before it is opened, by the first step."""
        return self._of.replay_id

    async def _wanted(self) -> Wanted | None:
        self._of.begin(await self._owner._run(self._of.asked))
        return self._of.wanted
