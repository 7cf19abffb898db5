"""A stream on an event loop: a WebSocket, read by a task of its own."""

import asyncio
from contextlib import suppress
from typing import Protocol, TypeVar

from musterroll._live.buffer import Buffer
from musterroll._live.frames import Frame, Item, Moved, item_of, refusal
from musterroll._live.patience import Patience
from musterroll._live.wanted import NOW, Place, Wanted
from musterroll._request import Plan
from musterroll._session import Session
from musterroll._transport.awaiting import AwaitingTransport
from musterroll._transport.socket import Socket
from musterroll.errors import MusterrollError, Unauthorized, Unavailable
from musterroll.models import Event

T = TypeVar("T")

PATH = "/ws/v1/events"
ANSWER_SECONDS = 10.0
# After so long a silence the service is asked whether it is there; it has to answer then.
QUIET_SECONDS = 20.0
# What an item takes beside its text.
ITEM_BYTES = 500


class Owner(Protocol):
    """A client, as far as a stream needs it."""

    _session: Session

    def _opened(self) -> AwaitingTransport: ...

    async def _run(self, plan: Plan[T]) -> T: ...


class Listening:
    """Reads what is wanted into a buffer until it is stopped, the client is closed, or the service
    refuses for good. It reads no further than the buffer has room: TCP does the rest."""

    def __init__(self, owner: Owner, wanted: Wanted) -> None:
        """Must be made on the event loop, where it begins at once."""
        self._transport = owner._opened()
        self._session = owner._session
        self._wanted = wanted
        self._place = Place()
        self._patience = Patience(owner._session.retry_seconds)
        self._token = ""
        self._subscribed = asyncio.Event()
        self._buffer = Buffer()
        self._reading = asyncio.create_task(self._read(), name="musterroll events")

    async def begun(self) -> None:
        """Return when the stream stands, so that nothing that happens from now on is missed.
        Raises what it ended with, if it did."""
        await self._subscribed.wait()
        self._buffer.raise_end()

    async def take(self) -> Item:
        """The next item. Raises what the stream ended with: StopAsyncIteration when it was
        stopped, else a MusterrollError."""
        return await self._buffer.take()

    def stop(self) -> None:
        """From the loop's own thread; returns at once."""
        self._buffer.end(StopAsyncIteration())
        self._reading.cancel()

    async def stopped(self) -> None:
        """Stop, and return when the connection is closed."""
        self.stop()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        try:
            while not self._transport.closed:
                try:
                    await self._listen()
                except Unavailable as error:
                    if not self._transport.closed:
                        await asyncio.sleep(self._patience.pause(error))
        except Exception as error:  # noqa: BLE001  whoever takes the items has to see it
            self._buffer.end(error)
        finally:
            self._buffer.end(StopAsyncIteration())
            self._subscribed.set()

    async def _listen(self) -> None:
        """Read one connection to its end. Raises Unavailable where another one may do better."""
        async with await self._transport.connect(PATH) as socket:
            hello = await self._sign_in(socket)
            self._patience.reached()
            await socket.send(self._subscription(hello))
            renewal: asyncio.Task[None] | None = None
            try:
                while True:
                    frame, size = await self._next_frame(socket)
                    if frame.get("type") == "auth_expiring" and (renewal is None or renewal.done()):
                        renewal = asyncio.create_task(self._renew(socket))
                    await self._take_in(frame, size)
            except Unauthorized as error:
                if error.code != "token_ended" or not self._session.discard(self._token):
                    raise
                raise Unavailable(error.detail, code=error.code) from error
            finally:
                if renewal is not None:
                    renewal.cancel()

    async def _sign_in(self, socket: Socket) -> Frame:
        """Say who asks, with another token where the first is refused; the service's hello."""
        renewed = False
        while True:
            self._token = await self._transport.converse(self._session.bearer())
            await socket.send({"type": "auth", "id": "auth", "token": self._token})
            frame = await self._answer(socket)
            if frame.get("type") == "hello":
                return frame
            error = refusal(frame)
            if not isinstance(error, Unauthorized) or renewed:
                raise error
            if not self._session.discard(self._token):
                raise error
            renewed = True

    def _subscription(self, hello: Frame) -> Frame:
        """From where the stream stands. What is wanted from now on is wanted from where the log
        ends now: however often the connection breaks, that stays the beginning."""
        if self._place.cursor is None and self._wanted.after == NOW:
            cursor = hello.get("cursor")
            self._place.cursor = cursor if isinstance(cursor, str) else None
        return {
            "type": "subscribe",
            "id": "subscribe",
            "channels": self._wanted.channels,
            "after": self._place.cursor or self._wanted.after,
            "types": self._wanted.types,
            "labels": self._wanted.labels,
        }

    async def _next_frame(self, socket: Socket) -> tuple[Frame, int]:
        try:
            return await socket.receive(QUIET_SECONDS)
        except TimeoutError:
            await socket.send({"type": "ping"})
        return await self._answer_in_time(socket)

    async def _answer(self, socket: Socket) -> Frame:
        frame, _ = await self._answer_in_time(socket)
        return frame

    async def _answer_in_time(self, socket: Socket) -> tuple[Frame, int]:
        try:
            return await socket.receive(ANSWER_SECONDS)
        except TimeoutError:
            raise Unavailable(
                f"the service said nothing for {ANSWER_SECONDS:g} s", code="silent"
            ) from None

    async def _take_in(self, frame: Frame, size: int) -> None:
        kind = frame.get("type")
        if kind == "subscribed":
            self._subscribed.set()
            if self._place.cursor is not None:
                await self._buffer.put(Moved(self._place.cursor), ITEM_BYTES)
        elif kind == "error" and frame.get("id") == "auth":
            # The connection goes on while the token lasts; the next one has another.
            self._session.discard(self._token)
        elif (item := item_of(frame)) is not None:
            await self._keep(item, size)

    async def _keep(self, item: Item, size: int) -> None:
        match item:
            case Event(id=cursor):
                if not self._place.move(cursor):
                    return
                self._patience.progressed()
            case Moved(cursor=cursor):
                self._place.move(cursor)
        await self._buffer.put(item, ITEM_BYTES + size)

    async def _renew(self, socket: Socket) -> None:
        """Give a newer token over the open connection, once there is one."""
        with suppress(MusterrollError):  # the end of the token will tell of it
            while True:
                token = await self._transport.converse(self._session.bearer())
                if token != self._token:
                    break
                if (seconds := self._session.renewal_seconds) <= 0:
                    return  # a ready token, of which there is no other
                await asyncio.sleep(seconds)
            self._token = token
            await socket.send({"type": "auth", "id": "auth", "token": token})
