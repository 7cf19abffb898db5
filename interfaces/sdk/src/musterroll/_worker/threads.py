"""Threads for plain handlers: as many as have been at work at once, each used again when free."""

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple

log = logging.getLogger("musterroll")


class Job(NamedTuple):
    name: str
    call: Callable[[], Any]
    context: contextvars.Context
    future: asyncio.Future[Any]


class Ended(NamedTuple):
    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None


class Threads:
    """Runs calls in threads, on behalf of one event loop.

    Not an executor: its threads are joined when the interpreter exits, so that one handler that
    hangs would keep a stopped worker alive for ever. Whoever calls bounds how many run at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._idle = 0
        self._ended: deque[Ended] = deque()
        self._is_told = False
        self._is_closed = False

    def run(self, call: Callable[[], Any], name: str) -> asyncio.Future[Any]:
        """Call in a thread of that name; the future is settled on the loop."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put(Job(name, call, contextvars.copy_context(), future))
        if self._idle:
            self._idle -= 1
        else:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        return future

    def close(self) -> None:
        """Let idle threads end, and those at work when they are done; nothing is waited for."""
        self._is_closed = True
        for _ in range(self._idle):
            self._jobs.put(None)
        self._idle = 0

    # In the threads

    def _work(self) -> None:
        thread = threading.current_thread()
        while (job := self._jobs.get()) is not None:
            thread.name = job.name
            if not self._tell(_outcome(job)):
                log.debug("%s ended after its worker", job.name)
                return
            if self._is_closed:
                return
            # Nothing of this job is to stay while the thread waits for the next.
            del job

    def _tell(self, ended: Ended) -> bool:
        """Hand over an outcome; whether the loop is still there to take it. Those that end
        together wake it once: each waking is a system call."""
        self._ended.append(ended)
        if self._is_told:
            return True
        self._is_told = True
        try:
            self._loop.call_soon_threadsafe(self._settle)
        except RuntimeError:
            self._is_told = False
            return False
        return True

    # On the loop

    def _settle(self) -> None:
        # Before the first is taken: what is appended from now on wakes the loop again.
        self._is_told = False
        while self._ended:
            future, result, error = self._ended.popleft()
            self._idle += not self._is_closed
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


def _outcome(job: Job) -> Ended:
    try:
        return Ended(job.future, job.context.run(job.call), None)
    except StopIteration as error:  # a future refuses to hold one
        failure = RuntimeError(f"the handler raised {error!r}")
        failure.__cause__ = error
        return Ended(job.future, None, failure)
    except BaseException as error:  # noqa: BLE001  a user's handler: whatever it raises is its report
        return Ended(job.future, None, error)
