"""Our side of the keeper: starting it, hearing from it, starting another should it die."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infrastructure.postgres.embedded_cluster import ClusterFolder
from infrastructure.postgres.embedded_errors import EmbeddedPostgresFailed, FolderInUse
from infrastructure.postgres.embedded_processes import POLL_SECONDS, clear_out
from infrastructure.postgres.embedded_programs import PostgresPrograms

RELAUNCH_SECONDS = 0.2
CLEARING_SECONDS = 120

_ROOT = Path(__file__).parents[2]
# Isolated and without site-packages, so that it starts quickly and nothing can come between.
_RUN_KEEPER = (
    f"import sys; sys.path.append({str(_ROOT)!r}); "
    "from infrastructure.postgres.embedded_keeper import main; main()"
)


class KeptServer:
    """A PostgreSQL server in the hands of a keeper, which is restarted as the server is."""

    def __init__(self, files: ClusterFolder, programs: PostgresPrograms) -> None:
        self._files = files
        self._command = programs.command("postgres", "-D", str(files.cluster), parent_death="INT")
        self._environment = programs.environment()
        self._changing = threading.Lock()
        self._ending = threading.Event()
        self._keeper: subprocess.Popen[str] | None = None
        self._listener = threading.Thread(
            target=self._listen, name="embedded-postgres", daemon=True
        )
        #: The postmaster's process id; None while there is none.
        self.pid: int | None = None
        #: How often the server, or its keeper, has ended.
        self.ends = 0

    def begin(self, keeper_lock: int) -> None:
        """Start the keeper, which holds the lock from then on. Raises OSError."""
        self._keeper = self._launch(keeper_lock)
        self._listener.start()

    def end(self) -> None:
        """Shut the server down; returns when none of its processes is left."""
        with self._changing:
            self._ending.set()
            if self._keeper is not None and self._keeper.stdin is not None:
                self._keeper.stdin.close()
        if self._listener.is_alive():
            self._listener.join()
        # A keeper that was killed just now has left its server to us.
        clear_out(self._files.cluster, patience_seconds=CLEARING_SECONDS)

    def _launch(self, keeper_lock: int) -> subprocess.Popen[str]:
        words: Sequence[str] = [
            *(sys.executable, "-I", "-S", "-c", _RUN_KEEPER),
            *(str(self._files.cluster), str(self._files.log_file)),
            *self._command,
        ]
        with self._files.log_file.open("ab") as log:
            return subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment,
                cwd="/",
                pass_fds=(keeper_lock,),
                start_new_session=True,  # Ctrl-C in a terminal is ours to answer, not theirs
            )

    def _listen(self) -> None:
        while self._keeper is not None:
            self._follow(self._keeper)
            self.pid = None
            self.ends += 1
            self._relaunch()

    def _follow(self, keeper: subprocess.Popen[str]) -> None:
        """Take note of what the keeper tells, until it has ended."""
        with keeper:
            for line in keeper.stdout or ():
                what, number = line.split()
                self.pid = int(number) if what == "started" else None
                self.ends += what == "ended"

    def _relaunch(self) -> None:
        """Put another keeper in the place of one that ended; none when the server is to end."""
        while not self._ending.is_set():
            try:
                with take_keeper_lock(self._files, CLEARING_SECONDS) as keeper_lock:
                    clear_out(self._files.cluster, patience_seconds=CLEARING_SECONDS)
                    with self._changing:
                        if not self._ending.is_set():
                            self._keeper = self._launch(keeper_lock)
                            return
            except (OSError, EmbeddedPostgresFailed):
                # Out of processes or descriptors, say: nothing to do but to try again.
                self._ending.wait(RELAUNCH_SECONDS)
        self._keeper = None


@contextmanager
def take_owner_lock(files: ClusterFolder) -> Iterator[None]:
    """The right to run a server in the folder, until we let it go or die.

    Raises FolderInUse when another process has it.
    """
    with _opened(files.owner_lock) as lock:
        if not _try_lock(lock):
            holder = os.pread(lock, 32, 0).decode().strip()
            raise FolderInUse(
                f"Process {holder} already runs PostgreSQL in {files.folder}: "
                "stop it, or choose another folder"
            )
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield


@contextmanager
def take_keeper_lock(files: ClusterFolder, patience_seconds: float) -> Iterator[int]:
    """The keeper's lock, once the keeper of a process that was killed has finished.

    A keeper that was launched meanwhile goes on holding it. Raises EmbeddedPostgresFailed when
    the former keeper needs longer than patience_seconds.
    """
    deadline = time.monotonic() + patience_seconds
    with _opened(files.keeper_lock) as lock:
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                raise EmbeddedPostgresFailed(
                    f"PostgreSQL in {files.folder} is still shutting down: try again later"
                )
            time.sleep(POLL_SECONDS)
        yield lock


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
