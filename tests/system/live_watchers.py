"""Subscribers that go on where they stopped, whatever happens to their connection.

Three kinds: the `websockets` library, bare frames over a socket, and server-sent events. Each keeps
the ids of all events that it was shown, in the order in which they came, over all its connections.
"""

import asyncio
import contextlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from benchmarks.jobs.live_wire import client_frame
from tests.system.live_bare import PATH, BareSocket, Refused

START = "start"
AGAIN_SECONDS = 0.05
PING_SECONDS = 0.5
SILENT_SECONDS_MAX = 20
BROKEN = (OSError, EOFError, TimeoutError, WebSocketException, httpx.TransportError)
"""What a client hears of a service that was killed, or of a connection that was cut."""


def _unnoted(_: Mapping[str, Any]) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to be shown."""

    channels: tuple[str, ...]
    types: tuple[str, ...] = ()
    label: tuple[str, str] | None = None
    after: str = START

    def wants(self, event: Mapping[str, Any], labels: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether an event has to be shown; `labels`: those of each subject that has any."""
        family = event["type"].partition(".")[0] + "s"
        channel = family if family in {"tasks", "agents", "collaborations"} else "system"
        thing = event["subject"].partition("/")[2]
        if not {channel, f"{channel}.{thing}"} & set(self.channels):
            return False
        if self.types and event["type"] not in self.types:
            return False
        return self.label is None or self.label in labels.get(event["subject"], {}).items()


@dataclass(eq=False)
class Watcher(ABC):
    """One subscriber. `token` is asked for each time it connects."""

    url: str
    token: Callable[[], str]
    wish: Wish
    noted: Callable[[Mapping[str, Any]], None] = _unnoted
    """Called with each event as it comes."""
    ids: list[str] = field(default_factory=list)
    began: str | None = None
    """Where it began: what it was shown stands behind that."""
    cursor: str | None = None
    connections: int = 0

    async def watch(self) -> None:
        """Connect, listen, and connect again, until cancelled. Raises Refused."""
        while True:
            with contextlib.suppress(*BROKEN):
                await self._listen()
            await asyncio.sleep(AGAIN_SECONDS)

    @property
    def position(self) -> int:
        """How far it knows to have come; 0 at the start."""
        return 0 if self.cursor is None else int(self.cursor.partition(":")[2])

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether there is a connection."""

    @abstractmethod
    def cut(self, rng: random.Random) -> None:
        """Break the connection, if there is one, in the middle of whatever is going on."""

    @abstractmethod
    async def _listen(self) -> None:
        """One connection, until it ends."""

    @property
    def _after(self) -> str:
        return self.cursor or self.wish.after

    def _moved(self, cursor: str) -> None:
        self.cursor = cursor
        self.began = self.began or cursor

    def _shown(self, event: Mapping[str, Any]) -> None:
        self.ids.append(event["id"])
        self.cursor = event["id"]
        self.noted(event)


class _OverWebSocket(Watcher):
    def _wanted(self) -> dict[str, Any]:
        wish = self.wish
        wanted = {"channels": wish.channels, "after": self._after, "types": wish.types}
        return wanted | ({"labels": dict([wish.label])} if wish.label else {})

    def _heard(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "event":
                self._shown(message["event"])
            case "subscribed" | "position" | "caught_up" | "pong":
                self._moved(message["cursor"])
            case "error" if message["code"] == "unavailable":
                raise ConnectionError(message["message"])
            case "error" | "resync":
                raise Refused(f"{message}, after {self._after}")
            case _:
                pass


class LibraryWatcher(_OverWebSocket):
    """Over the `websockets` library, with the token in a header."""

    _opened: ClientConnection | None = None

    @property
    def connected(self) -> bool:
        return self._opened is not None

    def cut(self, rng: random.Random) -> None:
        if self._opened is not None:
            self._opened.transport.abort()

    async def _listen(self) -> None:
        headers = {"Authorization": f"Bearer {self.token()}"}
        url = self.url.replace("http", "ws", 1) + PATH
        async with connect(
            url, additional_headers=headers, proxy=None, max_size=None, open_timeout=5
        ) as opened:
            self._opened = opened
            self.connections += 1
            pinging = asyncio.create_task(self._ping(opened))
            try:
                await opened.send(json.dumps({"type": "subscribe"} | self._wanted()))
                async for text in opened:
                    self._heard(json.loads(text))
            finally:
                self._opened = None
                pinging.cancel()

    @staticmethod
    async def _ping(opened: ClientConnection) -> None:
        """An answer tells how far a quiet subscription has come."""
        with contextlib.suppress(*BROKEN):
            while True:
                await asyncio.sleep(PING_SECONDS)
                await opened.send('{"type": "ping"}')


class BareWatcher(_OverWebSocket):
    """Over bare frames, with the token in the first; it also leaves in the middle of a frame."""

    _opened: BareSocket | None = None

    @property
    def connected(self) -> bool:
        return self._opened is not None

    def cut(self, rng: random.Random) -> None:
        if self._opened is not None:
            if rng.random() < 0.5:
                half = client_frame(json.dumps({"type": "subscribe"} | self._wanted()).encode())
                self._opened.writer.write(half[: rng.randrange(1, len(half))])
            self._opened.abort()

    async def _listen(self) -> None:
        opened = await BareSocket.open(self.url)
        self._opened = opened
        self.connections += 1
        pinging = asyncio.create_task(self._ping(opened))
        try:
            opened.say(type="auth", token=self.token())
            opened.say(type="subscribe", **self._wanted())
            while True:
                async with asyncio.timeout(SILENT_SECONDS_MAX):
                    for message in await opened.receive():
                        self._heard(message)
        finally:
            self._opened = None
            pinging.cancel()
            opened.abort()

    @staticmethod
    async def _ping(opened: BareSocket) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            opened.say(type="ping")


class StreamWatcher(Watcher):
    """Over server-sent events, as a browser does it: what it saw last is in `Last-Event-ID`."""

    _reading: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        return self._reading is not None

    def cut(self, rng: random.Random) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def _listen(self) -> None:
        self._reading = asyncio.create_task(self._read())
        try:
            await asyncio.wait([self._reading])
        finally:
            reading, self._reading = self._reading, None
            reading.cancel()
        if not reading.cancelled():
            reading.result()

    async def _read(self) -> None:
        wish = self.wish
        asked: list[tuple[str, str | int | float | bool | None]] = [
            ("channels", ",".join(wish.channels))
        ]
        asked += [("type", name) for name in wish.types]
        asked += [("label", ":".join(wish.label))] if wish.label else []
        headers = {"Authorization": f"Bearer {self.token()}"}
        if self.cursor is None:
            asked.append(("after", wish.after))
        else:
            headers["Last-Event-ID"] = self.cursor
        timeout = httpx.Timeout(5, read=SILENT_SECONDS_MAX)
        async with (
            httpx.AsyncClient(base_url=self.url, headers=headers, timeout=timeout) as client,
            client.stream("GET", "/v1/stream", params=asked) as answer,
        ):
            if answer.status_code == 503:
                raise ConnectionError("not yet")
            if answer.status_code != 200:
                raise Refused(f"{answer.status_code} {(await answer.aread())!r}")
            self.connections += 1
            await self._take(answer)

    async def _take(self, answer: httpx.Response) -> None:
        """An event counts once the empty line behind it has come."""
        lines: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(":")
                lines[name] = value.removeprefix(" ")
                continue
            if lines.get("event") in {"caught_up", "position"}:
                self._moved(lines["id"])
            elif "event" in lines:
                self._shown(json.loads(lines["data"]))
            lines = {}
