"""Lines at the end of a file: on the disk once they are written, and whole or not there."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PIECE_BYTES = 4_096


class AppendedLines:
    """A file that is only ever appended to. Processes that share it take turns.

    A last line that a crash cut off is cut away before the next is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, lines: bytes) -> None:
        """All of them, or none. Raises OSError."""
        with self._opened() as file:
            size = _size_of_whole_lines(file)
            try:
                os.ftruncate(file, size)
                written = 0
                while written < len(lines):
                    written += os.write(file, lines[written:])
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)
                raise

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """By one process at a time; its name is on the disk when it is new."""
        is_new = not self.path.exists()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        file = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if is_new:
                _sync_folder(self.path.parent)
            yield file
        finally:
            os.close(file)


def _size_of_whole_lines(file: int) -> int:
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - PIECE_BYTES)
        place = os.pread(file, end - start, start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
