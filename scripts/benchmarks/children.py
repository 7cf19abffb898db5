"""Programs that we start: each in a process group of its own, ended whatever happens to us.

We talk to our own in lines of JSON: what we write is read from their standard input, whose end is
their end, and what they answer comes from their standard output.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

STOP_SECONDS_MAX = 20.0
LOOK_SECONDS = 0.02
REASON_CHARACTERS_MAX = 240


class ChildFailed(Exception):
    """A program that we started ended, or was silent, where it should have answered."""


class Child:
    """One program. Use as a context manager: at the end it is gone, and so is what it started."""

    def __init__(
        self, words: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._words = list(words)
        self._log = log
        self._environment = {**os.environ, "DO_NOT_TRACK": "1", **(environment or {})}
        self._lines: queue.Queue[str | None] = queue.Queue()

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                text=True,
                bufsize=1,
                start_new_session=True,  # Ctrl-C is ours to answer
            )
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(at_once=kind is not None)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def tell(self, what: Any) -> None:
        """Write one line of JSON. Raises ChildFailed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise self.failed("ended") from error

    def hear(self, timeout_seconds: float) -> Any:
        """The next line of JSON. Raises ChildFailed when none comes in time."""
        try:
            line = self._lines.get(timeout=timeout_seconds)
        except queue.Empty:
            raise self.failed(f"did not answer within {timeout_seconds:.0f} s") from None
        if line is None:
            raise self.failed("ended")
        return json.loads(line)

    def ask(self, what: Any, timeout_seconds: float) -> Any:
        """Tell, then hear."""
        self.tell(what)
        return self.hear(timeout_seconds)

    def wait_for(self, there: Callable[[], bool], timeout_seconds: float) -> None:
        """Return when something that it makes is there. Raises ChildFailed."""
        deadline = time.monotonic() + timeout_seconds
        while not there():
            if not self.running:
                raise self.failed("ended")
            if time.monotonic() > deadline:
                raise self.failed(f"was not ready within {timeout_seconds:.0f} s")
            time.sleep(LOOK_SECONDS)

    def failed(self, how: str) -> ChildFailed:
        """The failure, with the last thing that it wrote to its log."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")
        return ChildFailed(f"{how}: {said[:REASON_CHARACTERS_MAX]}")

    def stop(self, *, at_once: bool = False) -> None:
        """End it: by the end of its input, then by SIGTERM, then by SIGKILL."""
        process = self._process
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self._signal(number)
            try:
                process.wait(1.0 if at_once else STOP_SECONDS_MAX)
                break
            except subprocess.TimeoutExpired:
                continue
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        """To the whole group, which it leads: also to what it has left behind."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)
