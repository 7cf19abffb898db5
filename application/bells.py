"""Bells: who waits for one task hears of its change, and not of everybody else's."""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID


class Bells:
    """One bell a key, rung from any thread, heard on one event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listening: dict[UUID, set[asyncio.Future[None]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop on which they are heard."""
        self._loop = loop

    def ring(self, keys: Iterable[UUID]) -> None:
        """These have changed. From any thread."""
        with self._lock:
            heard = [key for key in keys if key in self._listening]
        if heard and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, heard)

    @contextmanager
    def listening(self, key: UUID) -> Iterator["asyncio.Future[None]"]:
        """A future that is done once the key's bell has rung since."""
        rung: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._listening.setdefault(key, set()).add(rung)
        try:
            yield rung
        finally:
            with self._lock:
                others = self._listening[key]
                others.discard(rung)
                if not others:
                    del self._listening[key]

    def _wake(self, keys: Iterable[UUID]) -> None:
        with self._lock:
            futures = [future for key in keys for future in self._listening.get(key, ())]
        for future in futures:
            if not future.done():
                future.set_result(None)
