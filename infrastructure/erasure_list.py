"""The list of erasures: a file beside the database, that no older database replaces."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

import orjson

from application.erasure.errors import ErasureNotKept, ErasuresUnreadable
from application.erasure.ports import Erasure


class FileErasureList:
    """The ErasureList: a line of JSON for each erasure, appended under a lock and synced to disk.

    It holds ids, tenants, times and who asked; the names of subjects stand nowhere. A last line
    that a crash cut off was never answered for, and is cut away by whoever appends next.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[UUID] = set()

    def read(self) -> list[Erasure]:
        """Raises ErasuresUnreadable, OSError."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return []
        lines = text[: text.rfind(b"\n") + 1].splitlines()
        listed = [self._erasure(number, line) for number, line in enumerate(lines, start=1)]
        self._known.update(one.subject_id for one in listed)
        return listed

    def add(self, erasures: Sequence[Erasure]) -> None:
        """Raises ErasureNotKept; then nothing of them is kept."""
        new = [one for one in erasures if one.subject_id not in self._known]
        if not new:
            return
        try:
            with self._open() as file:
                size = _size_of_whole_lines(file)
                try:
                    os.ftruncate(file, size)
                    _write(file, b"".join(map(_line, new)))
                    os.fsync(file)
                except OSError:
                    os.ftruncate(file, size)
                    raise
        except OSError as error:
            raise ErasureNotKept(f"The list of erasures: {error.strerror}.") from error
        self._known.update(one.subject_id for one in new)

    @contextmanager
    def _open(self) -> Iterator[int]:
        new = not self._path.exists()
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if new:
                _sync_folder(self._path.parent)
            yield file
        finally:
            os.close(file)

    def _erasure(self, number: int, line: bytes) -> Erasure:
        try:
            members = orjson.loads(line)
            return Erasure(
                subject_id=UUID(members["subject_id"]),
                tenant=str(members["tenant"]),
                erased_at=datetime.fromisoformat(members["erased_at"]),
                actor=str(members["actor"]),
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ErasuresUnreadable(
                f"{self._path}, line {number}, is no erasure: put back what stood there, or remove "
                "the line if it never was one."
            ) from error


def _line(erasure: Erasure) -> bytes:
    members = {
        "subject_id": erasure.subject_id,
        "tenant": erasure.tenant,
        "erased_at": erasure.erased_at,
        "actor": erasure.actor,
    }
    return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)


def _size_of_whole_lines(file: int) -> int:
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - 4096)
        place = os.pread(file, end - start, start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


def _write(file: int, text: bytes) -> None:
    while text:
        text = text[os.write(file, text) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
