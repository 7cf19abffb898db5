"""The keeper: a small program between us and PostgreSQL, whose whole life is this file.

It starts the server, starts it again when it dies, and ends it when we are gone. It knows that
we are gone when its input ends, which the kernel sees to even when we are killed outright, or when
it has another parent. Standard library only: it runs without the environment's packages, so that
it starts in some 30 ms.

Its arguments: the cluster, the log file, and the command that runs the server in the foreground.

On its output it tells what happens, a line each: `started <process id>`, `ended <exit code>`.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from infrastructure.postgres.embedded_processes import clear_out

FAST_SHUTDOWN_SECONDS = 120
CLEARING_SECONDS = 10
LOOK_SECONDS = 1.0
RESTART_DELAY_SECONDS_MAX = 0.5
STEADY_SECONDS = 2
LOG_BYTES_MAX = 4 * 1024 * 1024


class Keeper:
    def __init__(self, cluster: Path, log_file: Path, command: list[str]) -> None:
        self._cluster = cluster
        self._log_file = log_file
        self._command = command
        self._owner = os.getppid()
        self._child_ended = _pipe_that_wakes_on_child_exit()

    def keep(self) -> None:
        """Run the server until its owner is gone."""
        delay = 0.0
        while True:
            began = time.monotonic()
            owner_gone = self._run_once()
            if owner_gone:
                return
            steady = time.monotonic() - began >= STEADY_SECONDS
            delay = 0.0 if steady else min(delay * 2 + 0.05, RESTART_DELAY_SECONDS_MAX)
            if self._owner_gone_within(delay):
                return

    def _run_once(self) -> bool:
        """Start the server and watch it end; whether that was because the owner is gone."""
        with self._log_file.open("ab") as log:
            server = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        _tell("started", server.pid)
        owner_gone = self._watch(server)
        if owner_gone:
            _end(server)
        clear_out(self._cluster, patience_seconds=CLEARING_SECONDS)
        _tell("ended", server.returncode)
        return owner_gone

    def _watch(self, server: subprocess.Popen[bytes]) -> bool:
        while server.poll() is None:
            if self._owner_gone_within(LOOK_SECONDS):
                return True
            self._bound_log()
        return self._owner_gone_within(0)

    def _owner_gone_within(self, seconds: float) -> bool:
        """Wait until the owner is gone, a child has ended, or the time is over."""
        ready, _, _ = select.select([sys.stdin, self._child_ended], [], [], seconds)
        if self._child_ended in ready:
            os.read(self._child_ended, 512)
        return sys.stdin in ready or os.getppid() != self._owner

    def _bound_log(self) -> None:
        # The server holds the file open and appends, so the file is copied and emptied in place.
        with suppress(OSError):
            if self._log_file.stat().st_size > LOG_BYTES_MAX:
                shutil.copy(self._log_file, self._log_file.with_suffix(".log.1"))
                os.truncate(self._log_file, 0)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Fast shutdown: sessions are ended, what was committed is written out."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(FAST_SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _pipe_that_wakes_on_child_exit() -> int:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reader


def _tell(what: str, number: int) -> None:
    # The owner may be gone already; the server must be ended all the same.
    with suppress(BrokenPipeError):
        sys.stdout.write(f"{what} {number}\n")
        sys.stdout.flush()


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Not SIG_IGN: PostgreSQL would inherit that, and miss a signal that comes very early.
        signal.signal(number, lambda *_: None)
    cluster, log_file, *command = sys.argv[1:]
    Keeper(Path(cluster), Path(log_file), command).keep()


if __name__ == "__main__":
    main()
