"""Where a run takes place: a folder on a real disk, one PostgreSQL for all, a database for each.

The folder is gone at the end, and so is what a killed run left behind, once the next one begins.
"""

import fcntl
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from benchmarks import ours
from benchmarks.children import Child
from benchmarks.effort import Effort
from benchmarks.environment import PEERS_PYTHON

JOB_SECONDS_MAX = 300.0
NOT_A_DISK = frozenset({"tmpfs", "ramfs"})


class NotMeasured(Exception):
    """Something is not there to be measured; the run goes on without it."""


class Place:
    """What every measurement needs at hand."""

    def __init__(
        self, folder: Path, server: ours.Urls, effort: Effort, no_peers: str | None
    ) -> None:
        self.folder = folder
        self.server = server
        self.effort = effort
        self._no_peers = no_peers
        self._numbers = itertools.count(1)

    @property
    def ours_python(self) -> str:
        """The Python of this checkout's environment."""
        return sys.executable

    @property
    def peers_python(self) -> str:
        """The Python of the peers' environment. Raises NotMeasured."""
        if self._no_peers:
            raise NotMeasured(self._no_peers)
        return str(PEERS_PYTHON)

    @property
    def has_peers(self) -> bool:
        """Whether the peers' environment is there."""
        return self._no_peers is None

    @property
    def log(self) -> Path:
        """A new file each time: what one program writes to its standard error."""
        return self.folder / f"log-{next(self._numbers)}"

    def new_folder(self) -> Path:
        """An empty folder of one measurement's own."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    @contextmanager
    def database(self) -> Iterator[ours.Urls]:
        """A fresh database, dropped at the end. Making one checkpoints, so all begin alike."""
        name = f"bench_{next(self._numbers)}"
        with psycopg.connect(self.server.owner, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY".encode())
        try:
            yield ours.Urls(_named(self.server.owner, name), _named(self.server.application, name))
        finally:
            with psycopg.connect(self.server.owner, autocommit=True) as connection:
                # FORCE is refused while autovacuum is in it, which a plain drop sends away.
                connection.execute(f"DROP DATABASE {name}".encode())

    def job(
        self,
        module: str,
        told: dict[str, Any],
        *,
        python: str | None = None,
        seconds_max: float = JOB_SECONDS_MAX,
    ) -> Any:
        """What a job answers. Raises ChildFailed."""
        words = [python or self.ours_python, "-m", f"benchmarks.jobs.{module}"]
        with Child(words, log=self.log) as child:
            return child.ask(told, seconds_max)


@contextmanager
def a_place(parent: Path, effort: Effort, no_peers: str | None) -> Iterator[Place]:
    """The one place there is at a time in a folder, which may be missing.

    Raises NotMeasured when a bench runs there already.
    """
    with ExitStack() as held:
        parent.mkdir(parents=True, exist_ok=True)
        held.enter_context(_alone(parent))
        for left_behind in parent.glob("run-*"):
            shutil.rmtree(left_behind)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        server = held.enter_context(ours.postgres(folder / "postgres"))
        yield Place(folder, server, effort, no_peers)


def file_system(folder: Path) -> str:
    """The kind of file system that a folder lies on, such as ext4."""
    path = str(folder.resolve())
    lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    mounts = [(line.split()[1], line.split()[2]) for line in lines]
    above = [mount for mount in mounts if (path + "/").startswith(mount[0].rstrip("/") + "/")]
    return max(above, key=lambda mount: len(mount[0]))[1]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise NotMeasured("another bench runs here: two would measure each other") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _named(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{database}").geturl()
