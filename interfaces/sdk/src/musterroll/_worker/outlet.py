"""What running tasks write, on its way to the service: gathered for a moment, then sent together.

It is worth less than the work: nobody waits for it long, nothing fails by it, and what comes faster
than it leaves is dropped, the oldest first. It is sent once: what is lost on its way stays lost.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import orjson

from musterroll import _retry
from musterroll._packing import packs
from musterroll._routes.work import AttemptRef
from musterroll.errors import MusterrollError

log = logging.getLogger("musterroll")

GATHER_SECONDS = 0.05
# A last report waits for what its task wrote before, but no longer.
FLUSH_SECONDS = 1.0
TEXT_BYTES_MAX = 64 * 1024
UNSENT_BYTES_MAX = 1024 * 1024

Deliver = Callable[[list[bytes]], Awaitable[None]]


class Piece(NamedTuple):
    ref: AttemptRef
    text: bytes


class Outlet:
    """Takes text from any thread, and sends it from the event loop that made it."""

    def __init__(self, deliver: Deliver) -> None:
        """`deliver` sends one batch, once."""
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._pieces: deque[Piece] = deque()
        self._bytes = 0
        self._is_told = False
        self._filled = asyncio.Event()
        self._hurried = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failures = 0

    def write(self, ref: AttemptRef, text: str) -> None:
        """Take what an attempt wrote; returns at once, and raises nothing."""
        # Without NUL and lone surrogates, which the service does not take.
        piece = Piece(ref, text.replace("\0", "").encode("utf-8", "replace")[-UNSENT_BYTES_MAX:])
        if not piece.text:
            return
        with self._lock:
            self._pieces.append(piece)
            self._bytes += len(piece.text)
            while self._bytes > UNSENT_BYTES_MAX:
                self._bytes -= len(self._pieces.popleft().text)
            if self._is_told:
                return
            self._is_told = True
        try:
            self._loop.call_soon_threadsafe(self._tell)
        except RuntimeError:
            log.debug("task %s goes on after its worker", ref.task_id)

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._filled.wait()
            await self._moment(GATHER_SECONDS)
            for pack in packs(map(_encoded, _joined(self._take()))):
                await self._send(pack)
            if not self._filled.is_set():
                self._idle.set()

    async def flush(self) -> None:
        """Return when what was written so far is on its way no more, or after FLUSH_SECONDS."""
        # What a thread wrote a moment ago may not have been told yet.
        if not self._pieces and self._idle.is_set():
            return
        self._tell()
        self._hurried.set()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            log.debug("output is not waited for any longer")

    def _tell(self) -> None:
        self._idle.clear()
        self._filled.set()

    async def _moment(self, seconds: float) -> None:
        """Wait, unless somebody is in a hurry."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurried.wait()
        except TimeoutError:
            return
        self._hurried.clear()

    def _take(self) -> list[Piece]:
        with self._lock:
            pieces = list(self._pieces)
            self._pieces.clear()
            self._bytes = 0
            self._is_told = False
            self._filled.clear()
        return pieces

    async def _send(self, pack: list[bytes]) -> None:
        try:
            await self._deliver(pack)
        except MusterrollError as error:
            self._failures += 1
            level = logging.WARNING if self._failures == 1 else logging.DEBUG
            log.log(level, "output of tasks is lost: %s", error)
            await self._moment(_retry.pause(self._failures))
        else:
            self._failures = 0


def _joined(pieces: list[Piece]) -> list[Piece]:
    """The same text in as few pieces as may be: those of one attempt together, in their order."""
    texts: dict[AttemptRef, list[bytes]] = {}
    for piece in pieces:
        texts.setdefault(piece.ref, []).append(piece.text)
    return [Piece(ref, part) for ref, parts in texts.items() for part in _parts(b"".join(parts))]


def _parts(text: bytes) -> list[bytes]:
    """The text in parts that the service takes, none of them cut within a character."""
    parts, start = [], 0
    while len(text) - start > TEXT_BYTES_MAX:
        end = start + TEXT_BYTES_MAX
        while text[end] & 0xC0 == 0x80:  # the middle of a character in UTF-8
            end -= 1
        parts.append(text[start:end])
        start = end
    return [*parts, text[start:]]


def _encoded(piece: Piece) -> bytes:
    # The oldest piece may have lost its beginning within a character.
    text = piece.text.decode("utf-8", "ignore")
    return orjson.dumps({"task_id": piece.ref.task_id, "attempt": piece.ref.attempt, "text": text})
