"""Clients that are a burden: they read slowly or not at all, answer no ping, come and go, or idle.

As a program, told `{"url", "token", "counts": {kind: count}}`, it answers `{"ready": true}` once
all have subscribed, and at the next line of input what became of them: `{kind: {how it ended:
count}}`, by close code, `cut` where the service gave none, or `open`; of those who come and go, how
often they did.
"""

import asyncio
import json
import sys
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import suppress
from typing import Any

from benchmarks.jobs.job import take_stdout
from tests.system.live_bare import READ_BYTES, BareSocket, Closed

EVERYTHING = ("tasks", "agents", "collaborations", "system")
QUIET = ("collaborations",)
SMALL_BUFFER_BYTES = 4_096
TRICKLE_SECONDS = 1.0
STAY_SECONDS = 0.1
FIRST_WAKES_SECONDS, NEXT_WAKES_SECONDS = 30.0, 3.0
"""Of those who wake up, one after another; a close frame is there to be read for 5 s."""
REST_SECONDS_MAX = 10
OPEN, CUT = "open", "cut"


class Burden(ABC):
    """One client. `ended`: how its connection ended, or `open`."""

    channels: tuple[str, ...] = EVERYTHING
    buffer_bytes: int | None = None
    """What the kernel takes for it while it does not read; None: as it likes."""

    def __init__(self, url: str, token: str, number: int = 0) -> None:
        self.ended = OPEN
        self.number = number
        self._url = url
        self._token = token

    async def begin(self) -> None:
        """Connect and subscribe."""
        self.socket = await BareSocket.open(self._url, receive_buffer_bytes=self.buffer_bytes)
        await self.socket.sign_in(self._token, self.channels)

    async def live(self) -> None:
        """Behave badly until the connection ends, or the task is cancelled."""
        await self._note_end(self._behave())

    async def leave(self) -> None:
        """Read what is there, at last, and go."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_SECONDS_MAX):
                await self._note_end(self._read())
        self.socket.abort()

    @abstractmethod
    async def _behave(self) -> None:
        """Raises Closed or OSError when the connection ends."""

    async def _read(self) -> None:
        self.socket.resume()
        while self.ended == OPEN:
            await self.socket.receive()

    async def _note_end(self, behaving: Any) -> None:
        try:
            await behaving
        except Closed as closed:
            self.ended = CUT if closed.code is None else str(closed.code)
        except OSError:
            self.ended = CUT


class Deaf(Burden):
    """Never reads again once it has subscribed."""

    buffer_bytes = SMALL_BUFFER_BYTES

    async def begin(self) -> None:
        await super().begin()
        self.socket.pause()

    async def _behave(self) -> None:
        await asyncio.Event().wait()


class Late(Deaf):
    """The same, but it wakes up and reads on; the next one a little later."""

    async def _behave(self) -> None:
        await asyncio.sleep(FIRST_WAKES_SECONDS + self.number * NEXT_WAKES_SECONDS)
        await self._read()


class Trickling(Deaf):
    """Reads one byte a second."""

    async def _behave(self) -> None:
        while True:
            await asyncio.sleep(TRICKLE_SECONDS)
            self.socket.take(1)


class DeafStream(Deaf):
    """Never reads again, and gets server-sent events."""

    async def begin(self) -> None:
        self.socket = await BareSocket.connect(self._url, receive_buffer_bytes=self.buffer_bytes)
        wanted = f"GET /v1/stream?channels={','.join(self.channels)} HTTP/1.1"
        head = await self.socket.ask(wanted, f"Authorization: Bearer {self._token}")
        assert head.startswith(b"HTTP/1.1 200"), head
        await self.socket.reader.readuntil(b"caught_up")
        self.socket.pause()

    async def _read(self) -> None:
        self.socket.resume()
        while await self.socket.reader.read(READ_BYTES):
            pass
        raise Closed(None)


class Mute(Burden):
    """Reads everything, and answers no ping."""

    async def _behave(self) -> None:
        self.socket.mute = True
        await self._read()


class Flapping(Burden):
    """Connects, subscribes from the start of the log, and goes, again and again."""

    async def _behave(self) -> None:
        while True:
            await asyncio.sleep(STAY_SECONDS)
            self.socket.abort()
            await self.begin()
            self.number += 1


class Idle(Burden):
    """Listens where nothing happens, and answers every ping."""

    channels = QUIET

    async def _behave(self) -> None:
        await self._read()


KINDS: dict[str, type[Burden]] = {
    "deaf": Deaf,
    "late": Late,
    "trickling": Trickling,
    "deaf_stream": DeafStream,
    "mute": Mute,
    "flapping": Flapping,
    "idle": Idle,
}


class Burdens:
    """A number of each kind."""

    def __init__(self, url: str, token: str, counts: dict[str, int]) -> None:
        self.all: list[tuple[str, Burden]] = [
            (kind, KINDS[kind](url, token, number))
            for kind, count in counts.items()
            for number in range(count)
        ]
        self._living: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Everybody has subscribed, and begins to be what they are."""
        for _, one in self.all:
            await one.begin()
        self._living = [asyncio.create_task(one.live()) for _, one in self.all]

    async def end(self) -> dict[str, dict[str, int]]:
        """Everybody reads what is left, and goes; how they ended."""
        for task in self._living:
            task.cancel()
        failed = await asyncio.gather(*self._living, return_exceptions=True)
        for why in failed:
            if isinstance(why, Exception):
                raise why
        rounds = sum(one.number for kind, one in self.all if kind == "flapping")
        await asyncio.gather(*(one.leave() for kind, one in self.all if kind != "idle"))
        ended: dict[str, Counter[str]] = {kind: Counter() for kind, _ in self.all}
        for kind, one in self.all:
            ended[kind][one.ended] += 1
            one.socket.abort()
        if rounds:
            ended["flapping"] = Counter(rounds=rounds)
        return {kind: dict(counted) for kind, counted in ended.items()}


async def _run(told: dict[str, Any], answers: Any) -> None:
    burdens = Burdens(told["url"], told["token"], told["counts"])
    await burdens.begin()
    answers.write(json.dumps({"ready": True}) + "\n")
    await asyncio.to_thread(sys.stdin.readline)
    answers.write(json.dumps(await burdens.end()) + "\n")


if __name__ == "__main__":
    _answers = take_stdout()
    asyncio.run(_run(json.loads(sys.stdin.readline()), _answers))
