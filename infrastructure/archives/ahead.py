"""Work that goes ahead of whoever uses its results, by no more than a few items."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TypeVar

SWITCH_SECONDS = 0.0005

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def in_order(
    executor: Executor,
    work: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    *,
    ahead: int,
) -> Iterator[ResultT]:
    """The results, in the order of the items, of which the next `ahead` are being worked on. What
    the work raises comes at its place."""
    waiting: deque[Future[ResultT]] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def quick_threads() -> Iterator[None]:
    """A thread that waits for PostgreSQL gets the interpreter back this soon. By default it waits
    for 5 ms after each piece that it sent, which is longer than PostgreSQL takes for it."""
    former = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(former)


def processes(count: int) -> ProcessPoolExecutor:
    """So many of them, which end with this one, however it ends."""
    return ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=_end_with_the_parent
    )


def _end_with_the_parent() -> None:
    # They hold both ends of the pipe that they wait at, so they would never hear of it.
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
