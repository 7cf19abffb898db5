"""A PostgreSQL 18 server of our own, for installations that name no other.

We run the server in the foreground under a small keeper process (embedded_keeper.py) instead of
through `pg_ctl start`. pg_ctl leaves a server behind that is nobody's child: its death goes
unnoticed and ours leaves it running for ever. A parent hears of its child's death at once, and the
keeper outlives us by exactly one fast shutdown, however we die. What must not happen twice is held
by file locks, which the kernel takes back: one owner a folder, one keeper a folder.
"""

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg

from infrastructure.postgres.embedded_cluster import ClusterFolder
from infrastructure.postgres.embedded_configuration import APPLICATION_ROLE, DATABASE, OWNER_ROLE
from infrastructure.postgres.embedded_errors import EmbeddedPostgresFailed
from infrastructure.postgres.embedded_processes import clear_out
from infrastructure.postgres.embedded_programs import find_programs
from infrastructure.postgres.embedded_server import (
    KeptServer,
    take_keeper_lock,
    take_owner_lock,
)

__all__ = [
    "APPLICATION_ROLE",
    "DATABASE",
    "OWNER_ROLE",
    "EmbeddedPostgres",
    "EmbeddedPostgresFailed",
]

READY_POLL_SECONDS = 0.02
CONNECT_SECONDS_MAX = 5


class EmbeddedPostgres:
    """A PostgreSQL 18 server of our own in a folder: started, kept alive and ended with us.

    It listens on a Unix socket only, asks everyone for a password, and nothing of ours connects
    as superuser. Should it die, it is back in about a second plus its crash recovery. Should we
    die, it shuts down by itself. One process at a time can run it. Not safe to use across fork().

    durable: what was committed survives a crash of the machine. Off for tests only.
    start_timeout_seconds: how long start() waits, crash recovery included.
    """

    def __init__(
        self, folder: Path, *, durable: bool = True, start_timeout_seconds: int = 600
    ) -> None:
        self._files = ClusterFolder(folder)
        self._durable = durable
        self._start_timeout_seconds = start_timeout_seconds
        self._changing = threading.RLock()
        self._held = ExitStack()
        self._server: KeptServer | None = None

    def start(self) -> None:
        """Return when the database answers; does nothing when it is already started.

        The first start makes the cluster, roles and database; one that is interrupted leaves
        nothing that the next could stumble over. What a killed owner left behind is ended first.

        Raises EmbeddedPostgresFailed.
        """
        with self._changing:
            if self._server is not None:
                return
            try:
                self._start()
            except OSError as error:
                self.stop()
                raise EmbeddedPostgresFailed(
                    f"Cannot keep a database in {self._files.folder}: {error}"
                ) from error
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Shut down; returns when none of its processes is left. Does nothing when stopped."""
        with self._changing:
            server, self._server = self._server, None
            if server is not None:
                server.end()
                self._files.remove_socket_folder()
            self._held.close()

    @property
    def url(self) -> str:
        """For the application's role: a libpq URL, password included. Only after start()."""
        return self._files.url(APPLICATION_ROLE, self._files.passwords().application)

    @property
    def owner_url(self) -> str:
        """For the role that owns database and schema, runs migrations, may create databases."""
        return self._files.url(OWNER_ROLE, self._files.passwords().owner)

    @property
    def pid(self) -> int | None:
        """The postmaster's process id; None while there is none."""
        return None if self._server is None else self._server.pid

    def _start(self) -> None:
        deadline = time.monotonic() + self._start_timeout_seconds
        files = self._files
        files.make()
        self._held.enter_context(take_owner_lock(files))
        with take_keeper_lock(files, self._start_timeout_seconds) as keeper_lock:
            programs = find_programs(files.folder)
            clear_out(files.cluster, patience_seconds=self._start_timeout_seconds)
            files.prepare(programs, durable=self._durable)
            files.make_socket_folder(programs.owner)
            log_begins = files.log_bytes()
            self._server = KeptServer(files, programs)
            self._server.begin(keeper_lock)
        self._wait_until_ready(self._server, deadline, log_begins)

    def _wait_until_ready(self, server: KeptServer, deadline: float, log_begins: int) -> None:
        """Ready means that a query is answered, not that a process runs."""
        while not self._answers():
            if server.ends:
                raise self._failed("PostgreSQL ended while it was starting", log_begins)
            if time.monotonic() > deadline:
                waited = f"{self._start_timeout_seconds} s"
                raise self._failed(f"PostgreSQL was not ready after {waited}", log_begins)
            time.sleep(READY_POLL_SECONDS)

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=CONNECT_SECONDS_MAX) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _failed(self, why: str, log_begins: int) -> EmbeddedPostgresFailed:
        log = self._files.log_file
        tail = self._files.log_tail(after_byte=log_begins)
        return EmbeddedPostgresFailed(f"{why}; its log, {log}, ends:\n{tail}")
