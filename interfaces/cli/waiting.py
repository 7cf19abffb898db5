"""A sign of life on anything that takes longer than a second."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

PATIENCE_SECONDS = 1.0


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show a spinner and the text on stderr once it takes longer than a second, on a terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    spinner = _Spinner(text)
    try:
        yield
    finally:
        spinner.stop()


@contextmanager
def counting(text: str) -> Iterator[Callable[[int, int], None]]:
    """The same with how far it is: tell what is yielded how many are done, and of how many."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _done, _of: None
        return
    spinner = _Spinner(text)
    try:
        yield lambda done, of: spinner.tell(f"{text}: {done:,} of {of:,}")
    finally:
        spinner.stop()


@contextmanager
def measuring() -> Iterator[Callable[[str, float], None]]:
    """Show a bar on stderr, on a terminal: tell what is yielded what is being done, and which share
    of it is done (0 to 1)."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _text, _share: None
        return
    from rich.console import Console  # noqa: PLC0415 - rich takes a tenth of a second
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description:<32}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=1.0)
        yield lambda text, share: progress.update(bar, description=text, completed=share)


@contextmanager
def telling_outages() -> Iterator[None]:
    """Say on stderr that the service is away and waited for, and that it is back."""
    log = logging.getLogger("musterroll.live")
    teller = logging.StreamHandler(sys.stderr)
    teller.setFormatter(logging.Formatter("muster: %(message)s"))
    level = log.level
    log.addHandler(teller)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(teller)


class _Spinner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._lock = Lock()
        self._stopped = False
        self._status: Status | None = None
        self._timer = Timer(PATIENCE_SECONDS, self._show)
        self._timer.daemon = True
        self._timer.start()

    def tell(self, text: str) -> None:
        with self._lock:
            self._text = text
            if self._status and not self._stopped:
                self._status.update(text)

    def stop(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._stopped = True
            if self._status:
                self._status.stop()

    def _show(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - rich takes a tenth of a second

        with self._lock:
            if not self._stopped:
                self._status = Console(stderr=True).status(self._text)
                self._status.start()
