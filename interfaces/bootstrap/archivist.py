"""The program that does one job on archives and ends: see infrastructure/archives/child.py.

What it imports is imported where it is needed: an archive of a few events is to be taken in less
than a second, its start included.
"""

import errno
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import orjson

from application.archives.faults import DiskFull
from application.archives.ports import JobFailed
from domain.errors import ControlPlaneError
from interfaces.bootstrap.archive_jobs import JOBS
from interfaces.bootstrap.archive_jobs.context import JobContext

STDIN = 0
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
NICENESS = 10
"""Less than commands and PostgreSQL get."""
TOLD_SECONDS = 0.05
"""Progress is told no more often than so."""


class Teller:
    """Tells whoever asked, a line each."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._stage = ""
        self._told_at = 0.0

    def progress(self, stage: str, done: int, total: int) -> None:
        """Of a new stage always, otherwise now and then."""
        now = time.monotonic()
        if stage == self._stage and now - self._told_at < TOLD_SECONDS:
            return
        self._stage, self._told_at = stage, now
        self.say({"stage": stage, "done": done, "total": total})

    def say(self, message: dict[str, Any]) -> None:
        """One line, at once."""
        self._out.write(orjson.dumps(message, default=str, option=orjson.OPT_APPEND_NEWLINE))
        self._out.flush()


def main() -> None:
    """Read a line, do what it says, tell what came of it."""
    os.nice(NICENESS)
    # Whatever prints, prints to the log: the output is for lines of ours.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    line = orjson.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    teller = Teller(out)
    teller.say(outcome_of(line["kind"], line["request"], line["settings"], teller))


def outcome_of(
    kind: str, request: dict[str, Any], settings: dict[str, Any], teller: Teller
) -> dict[str, Any]:
    """`{"result"}` or `{"failure"}` of one job. `kind` is one of JOBS; anything else is a bug."""
    context = JobContext(settings)
    try:
        with _full_disk_named():
            return {"result": JOBS[kind](context, request, teller.progress)}
    except (JobFailed, ControlPlaneError) as error:
        facts = {name: fact for name, fact in error.facts.items() if fact is not None}
        return {"failure": {"code": error.code, "message": error.message, "facts": facts}}
    except Exception:  # noqa: BLE001 - the runner: whoever waits hears of it, and the log why
        traceback.print_exc()
        message = "The job failed: the log of the service says why."
        return {"failure": {"code": "job_failed", "message": message, "facts": {}}}
    finally:
        context.close()


@contextmanager
def _full_disk_named() -> Iterator[None]:
    """Raises DiskFull for what the operating system says of one, wherever it does."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = f" for {error.filename}" if error.filename else " for temporary files"
        raise DiskFull(f"There is no room left on a disk of the service{where}.") from error


def _end_with_input() -> None:
    """Who asked is gone: nobody waits for what is done here, and the next one begins anew."""
    while os.read(STDIN, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
