"""A core for the server and another for everything else, so that neither waits for the other."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


def cores() -> tuple[int, int]:
    """One for the server, one for the load; the same one where there is no other."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def settle(pid: int, core: int) -> None:
    """Keep a process on a core, with all threads that it has and will have."""
    _allow(pid, {core})


@contextmanager
def settled_below(folder: Path, core: int) -> Iterator[None]:
    """Meanwhile every process that works in the folder, PostgreSQL's, keeps to a core."""
    former = os.sched_getaffinity(0)
    working = list(_working_below(folder))
    for pid in working:
        _allow(pid, {core})
    try:
        yield
    finally:
        for pid in working:
            _allow(pid, former)


def _working_below(folder: Path) -> Iterator[int]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(folder.resolve()):
                yield process.pid


def _allow(pid: int, allowed: set[int]) -> None:
    with suppress(ProcessLookupError, FileNotFoundError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), allowed)
