"""Handlers, and how each of them is started: on the loop, or in a thread."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from musterroll._worker.threads import Threads
from musterroll.task import Task

Handler = Callable[[Task], Any]


class Handlers:
    """The handlers of a shift, by kind; there may come more while it lasts."""

    def __init__(self, by_kind: Mapping[str, Handler]) -> None:
        self._by_kind = by_kind
        self._loop = asyncio.get_running_loop()
        self._threads = Threads(self._loop)
        self._awaited: dict[str, tuple[Handler, bool]] = {}

    def start(self, task: Task) -> asyncio.Future[Any] | None:
        """Put the handler of the task's kind to work; None when there is none."""
        handler = self._by_kind.get(task.kind)
        if handler is None:
            return None
        if self._is_awaited(task.kind, handler):
            return self._loop.create_task(_called(handler, task), name=f"task {task.id}")
        return self._threads.run(partial(handler, task), f"task {task.id}")

    def close(self) -> None:
        """Keep no thread for later; those at work are left."""
        self._threads.close()

    def _is_awaited(self, kind: str, handler: Handler) -> bool:
        # Looking at a handler takes as long as starting it.
        known = self._awaited.get(kind)
        if known is None or known[0] is not handler:
            known = self._awaited[kind] = (handler, is_async(handler))
        return known[1]


def is_async(handler: Handler) -> bool:
    call = getattr(handler, "__call__", None)  # noqa: B004  an object with an async __call__
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


async def _called(handler: Handler, task: Task) -> Any:
    # A handler that does not even take a task fails here as any other does.
    return await handler(task)
