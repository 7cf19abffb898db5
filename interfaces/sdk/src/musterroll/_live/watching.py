"""A task's status, again whenever it changes.

By long poll, not by a stream of events: the version that was seen last is all that has to be known
to go on, so that every connection begins as the first did; the answer is the status itself, which
an event is not; and plain code and event loops do the same.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from musterroll._calls import Awaiting, Blocking
from musterroll._live.patience import Patience
from musterroll._request import Request
from musterroll._routes import tasks
from musterroll.errors import Unavailable
from musterroll.models import TaskStatus


def watch(client: Blocking, task_id: str) -> Iterator[TaskStatus]:
    """As `AsyncClient.watch` does."""
    watching = _Watching(task_id)
    while (request := watching.request) is not None:
        try:
            found = client._run(request)
        except Unavailable as error:
            time.sleep(watching.pause(error))
        else:
            yield from watching.take(found)


async def watch_async(client: Awaiting, task_id: str) -> AsyncIterator[TaskStatus]:
    """As `Client.watch` does."""
    watching = _Watching(task_id)
    while (request := watching.request) is not None:
        try:
            found = await client._run(request)
        except Unavailable as error:
            await asyncio.sleep(watching.pause(error))
        else:
            for status in watching.take(found):
                yield status


class _Watching:
    """How much of a task has been seen."""

    def __init__(self, task_id: str) -> None:
        self.request: Request[TaskStatus] | None = tasks.status(task_id)
        self._task_id = task_id
        self._version = -1
        # Each request is patient already, as long as the client is.
        self._patience = Patience(budget_seconds=0.0)

    def take(self, found: TaskStatus) -> list[TaskStatus]:
        """The status, if it is news."""
        self._patience.reached()
        is_news = found.version > self._version
        self._version = max(found.version, self._version)
        self.request = None if found.finished else self._following()
        return [found] if is_news else []

    def pause(self, error: Unavailable) -> float:
        """Seconds to wait. Raises the error when the first request of all was not answered."""
        return self._patience.pause(error)

    def _following(self) -> Request[TaskStatus]:
        return tasks.status(
            self._task_id, wait_seconds=tasks.POLL_SECONDS_MAX, after_version=self._version
        )
