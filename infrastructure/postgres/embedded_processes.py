"""Which processes work in a folder, and how to end them. Standard library only: the keeper uses it.

Every process of a PostgreSQL server runs `postgres` with its cluster as working directory. So the
folder finds them all, also those whose postmaster was killed, and never anyone else's.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.02


def processes_in(folder: Path) -> list[int]:
    """The ids of the living `postgres` that work in folder; empty where there is no /proc."""
    try:
        wanted = folder.stat()
    except FileNotFoundError:
        return []
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # A process may end while we look, and those of other users cannot be looked into.
        with suppress(OSError):
            program = (entry / "exe").readlink().name
            if program.startswith("postgres") and os.path.samestat((entry / "cwd").stat(), wanted):
                found.append(int(entry.name))
    return found


def clear_out(cluster: Path, *, patience_seconds: float) -> None:
    """End every PostgreSQL process on the cluster, and its claim on the cluster.

    A living postmaster gets a fast shutdown and patience_seconds for it. What has no postmaster,
    or outlives that, is killed: it could only hold the cluster's memory against a new server.
    """
    postmaster = _claimed_by(cluster)
    if postmaster in processes_in(cluster):
        signal_process(postmaster, signal.SIGINT)
        _gone(cluster, patience_seconds)
    for process in processes_in(cluster):
        signal_process(process, signal.SIGKILL)
    _gone(cluster, patience_seconds)
    # With nobody left the claim is stale, and its number may by now be another program's, which
    # would keep PostgreSQL from starting. Where there is no /proc, PostgreSQL has to judge.
    if Path("/proc/self").exists():
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def signal_process(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _claimed_by(cluster: Path) -> int:
    """The postmaster named in postmaster.pid; 0 when none is."""
    try:
        first, *_ = (cluster / "postmaster.pid").read_text().split(maxsplit=1)
        return int(first)
    except (FileNotFoundError, ValueError):
        return 0


def _gone(cluster: Path, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while processes_in(cluster) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
