"""An event loop in a thread of its own, for tests that say what happens from outside of it."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

ANSWER_SECONDS_MAX = 60
ResultT = TypeVar("ResultT")


class Loop:
    """Runs within the with statement."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, story: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Wait for what comes of a coroutine. From any other thread."""
        told = asyncio.run_coroutine_threadsafe(story, self._loop)
        return told.result(ANSWER_SECONDS_MAX)
