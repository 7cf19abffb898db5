"""Where much is read and worked out of the past: one thing at a time, on a thread, step by step."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

from domain.errors import Unavailable

WAITING_MAX = 8
"""How many wait for their turn; a frame takes some half a second."""

WorkP = ParamSpec("WorkP")
ResultT = TypeVar("ResultT")


class TooMuchFolding(Unavailable):
    """As many moments of the past are being looked up as can be."""

    code = "overloaded"

    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"{waiting} requests wait to be shown the past already.", retry_after_seconds=2
        )


class Lane:
    """Whoever has much to do takes a turn, and does it in steps on the lane's own thread. Between
    two steps of a turn it can be cancelled; the turn ends with the step that was begun."""

    def __init__(self, *, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lane")
        self._step: asyncio.Future[Any] | None = None

    @asynccontextmanager
    async def turn(self, *, patient: bool = False) -> AsyncIterator[None]:
        """One's turn. Raises TooMuchFolding, unless `patient`: for whoever has all the time."""
        if self._turn.locked() and self._waiting >= self._waiting_max and not patient:
            raise TooMuchFolding(self._waiting)
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            step, self._step = self._step, None
            if step is None or step.done():
                self._turn.release()
            else:
                # Whoever waited was cancelled: a thread cannot be, so that others wait for it.
                step.add_done_callback(lambda _: self._turn.release())

    async def run(
        self, work: Callable[WorkP, ResultT], *args: WorkP.args, **kwargs: WorkP.kwargs
    ) -> ResultT:
        """A step within one's turn, on the lane's thread. Raises what the work raises."""
        context, loop = copy_context(), asyncio.get_running_loop()
        step = loop.run_in_executor(self._thread, lambda: context.run(work, *args, **kwargs))
        self._step = step
        return await asyncio.shield(step)

    async def once(
        self, work: Callable[WorkP, ResultT], *args: WorkP.args, **kwargs: WorkP.kwargs
    ) -> ResultT:
        """A turn of one step. Raises TooMuchFolding, and what the work raises."""
        async with self.turn():
            return await self.run(work, *args, **kwargs)
