"""Our side of a worker: starting it, and asking how far it is; jobs/work.py is the other side."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.children import Child, ChildFailed

READY_SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 20.0
TASKS_SECONDS_MAX = 180.0
LOOK_SECONDS = 0.01


class Worker:
    """A worker in a process of its own that does every task of its system."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._handled = 0
        self._waited_ms: list[float] = []

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def handled(self) -> int:
        """How many tasks its handler was given so far. Raises ChildFailed."""
        report = self._child.ask(None, ANSWER_SECONDS_MAX)
        self._handled = report["handled"]
        self._waited_ms += report["waited_ms"]
        return self._handled

    def take_waited_ms(self) -> list[float]:
        """How long each task had waited since the last time, from submit call to handler, ms."""
        waited, self._waited_ms = self._waited_ms, []
        return waited

    def wait_until_done(self, handled: int, unfinished: Callable[[], int]) -> float:
        """When the last of so many tasks was recorded as done, as time.monotonic().

        Its system is asked only after the handler has had them all, so that asking costs it
        nothing. Raises ChildFailed when that takes too long, or when one was done twice.
        """
        deadline = time.monotonic() + TASKS_SECONDS_MAX
        while self.handled < handled:
            self._check(deadline, f"{self._handled} of {handled} tasks were handled")
            time.sleep(LOOK_SECONDS)
        while (left := unfinished()) > 0:
            self._check(deadline, f"{left} of {handled} tasks were not recorded as done")
            time.sleep(LOOK_SECONDS)
        done = time.monotonic()
        if self.handled != handled:
            raise ChildFailed(f"{self._handled} tasks were handled, {handled} submitted")
        return done

    @staticmethod
    def _check(deadline: float, otherwise: str) -> None:
        if time.monotonic() > deadline:
            raise ChildFailed(f"{otherwise} after {TASKS_SECONDS_MAX:.0f} s")


@contextmanager
def a_worker(python: str, system: str, url: str, *, log: Path) -> Iterator[Worker]:
    """A worker that is ready, gone at the end."""
    words = [python, "-m", "benchmarks.jobs.work"]
    with Child(words, log=log, environment=dict(os.environ)) as child:
        child.ask({"system": system, "url": url}, READY_SECONDS_MAX)
        yield Worker(child)
