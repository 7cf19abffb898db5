"""Archives in a folder: every file is whole and on the disk, or is not there."""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from errno import EDQUOT, EFBIG, ELOOP, ENOENT, ENOSPC, ENXIO, EPERM
from pathlib import Path
from secrets import token_hex
from time import time
from uuid import UUID

from application.archives.faults import (
    ArchiveLocked,
    BadArchive,
    RepositoryFull,
    RepositoryUnavailable,
)
from application.archives.ports import FileMissing, Kept
from infrastructure.archives.names import checked_folder, is_ours, parts

FILES_MAX = 1_000_000
"""Of one folder; its names are held in memory to be sorted."""
LEFTOVER_SECONDS = 3_600
"""Age at which a temporary file was left by a writer that died: one is written in seconds."""
READ_BYTES = 2**20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A pipe that somebody put there must not hold up whoever opens it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.part", re.ASCII)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderRepository:
    """Implements `application.archives.ports.Repository`, on any file system with hard links.

    A file is written beside its place, synced, and linked into it, which never replaces; then the
    folder is synced. Nothing follows a link that lies inside. Only the last level of `root` is
    made: where its parent is missing, what should be mounted there is not. Once it was seen, it has
    to stay.
    """

    def __init__(self, root: Path, store_id: UUID) -> None:
        self._root = root
        self._store = str(store_id)
        self._was_there = False
        self._cleaned: set[str] = set()

    @property
    def url(self) -> str:
        """`file:///folder/store id`."""
        return (self._root.absolute() / self._store).as_uri()

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Also when somebody else puts the same file, or a kill comes between any two steps."""
        folder, file = parts(name)
        with self._translated(), self._opened(folder, make=True) as at:
            is_new = not _exists(file, at)
            if is_new:
                with _written(content, at) as temporary:
                    try:
                        os.link(temporary, file, src_dir_fd=at, dst_dir_fd=at)
                    except FileExistsError:
                        is_new = False
            # Also for one that was there: whoever linked it may have died before this.
            os.fsync(at)
            return is_new

    def replace(self, name: str, content: bytes) -> None:
        """By a rename."""
        folder, file = parts(name)
        with self._translated(), self._opened(folder, make=True) as at:
            with _written(content, at) as temporary:
                os.replace(temporary, file, src_dir_fd=at, dst_dir_fd=at)
            os.fsync(at)

    def get(self, name: str, *, bytes_max: int) -> bytes:
        """What is no plain file is missing."""
        return self._got(name, lambda file: _read(name, file, bytes_max))

    def beginning(self, name: str, *, bytes_max: int) -> bytes:
        """What is no plain file is missing."""
        return self._got(name, lambda file: _begun(name, file, bytes_max))

    def _got(self, name: str, read: Callable[[int], bytes]) -> bytes:
        """What is read of a file by its descriptor."""
        folder, file = parts(name)
        with self._translated():
            try:
                with self._opened(folder) as at:
                    return read(os.open(file, _READ, dir_fd=at))
            except OSError as error:
                if not _is_missing(error):
                    raise
                self._require_root(error)
                raise FileMissing(name) from error

    def listed(self, folder: str) -> Iterator[Kept]:
        """None where nothing was kept yet. What goes meanwhile is left out."""
        checked_folder(folder)
        with self._translated():
            try:
                with self._opened(folder) as at:
                    for file in self._files(folder, at):
                        with suppress(FileNotFoundError):
                            found = os.stat(file, dir_fd=at, follow_symlinks=False)
                            if stat.S_ISREG(found.st_mode):
                                yield _kept(f"{folder}/{file}", found)
            except FileNotFoundError as error:
                self._require_root(error)

    def delete(self, name: str) -> None:
        """Off the disk too, once this returns. What the file system keeps from being changed
        (`chattr +i`) is locked."""
        folder, file = parts(name)
        with self._translated():
            try:
                with self._opened(folder) as at:
                    os.unlink(file, dir_fd=at)
                    os.fsync(at)
            except FileNotFoundError as error:
                self._require_root(error)
            except OSError as error:
                if error.errno != EPERM:
                    raise
                raise ArchiveLocked(f"{name} is locked by the file system.") from error

    @contextmanager
    def _opened(self, folder: str, *, make: bool = False) -> Iterator[int]:
        """The descriptor of a folder of ours, of the store's own when it has no name."""
        is_first = make and folder not in self._cleaned
        if is_first and not self._was_there:
            _make_root(self._root)
        at = os.open(self._root, _FOLDER)
        try:
            for name in filter(None, (self._store, folder)):
                if is_first and (name == folder or not self._was_there):
                    _make(name, at)
                below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = below
            self._was_there = True
            if is_first:
                _clean(at)
                self._cleaned.add(folder)
            yield at
        finally:
            os.close(at)

    def _files(self, folder: str, at: int) -> list[str]:
        files = []
        with os.scandir(at) as entries:
            for entry in entries:
                if is_ours(f"{folder}/{entry.name}"):
                    files.append(entry.name)
                if len(files) > FILES_MAX:
                    raise RepositoryUnavailable(f"{self.url} has over {FILES_MAX} {folder}.")
        return sorted(files)

    def _require_root(self, error: OSError) -> None:
        """Nothing there yet is no error; that the place itself has gone is one."""
        place = self._root / self._store if self._was_there else self._root.parent
        if not place.is_dir():
            raise RepositoryUnavailable(f"{place} is not there.") from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (ENOSPC, EDQUOT, EFBIG):
                raise RepositoryFull(f"{self.url} is full: {error.strerror}.") from error
            raise RepositoryUnavailable(f"{self.url}: {error.strerror}.") from error


@contextmanager
def _written(content: bytes, at: int) -> Iterator[str]:
    """The name of a temporary file, on the disk; gone at the end."""
    temporary = f".{token_hex(8)}.part"
    try:
        file = os.open(temporary, _WRITE, 0o600, dir_fd=at)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        finally:
            os.close(file)
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=at)


def _read(name: str, file: int, bytes_max: int) -> bytes:
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise FileMissing(name)
        pieces, size = [], 0
        while size <= bytes_max and (piece := os.read(file, min(READ_BYTES, bytes_max + 1 - size))):
            pieces.append(piece)
            size += len(piece)
        if max(size, found.st_size) > bytes_max:
            raise BadArchive("file_too_large", f"It has over {bytes_max} bytes", file=name)
        return b"".join(pieces)
    finally:
        os.close(file)


def _begun(name: str, file: int, bytes_max: int) -> bytes:
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise FileMissing(name)
        return os.read(file, bytes_max)
    finally:
        os.close(file)


def _make_root(root: Path) -> None:
    with suppress(FileExistsError):
        root.mkdir(mode=0o700)
        parent = os.open(root.parent, _FOLDER)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def _make(name: str, at: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=at)
    # Also for one that was there: whoever made it may have died before this.
    os.fsync(at)


def _clean(at: int) -> None:
    """Of what writers left that died."""
    with os.scandir(at) as entries:
        left = [entry.name for entry in entries if _TEMPORARY.fullmatch(entry.name)]
    for name in left:
        with suppress(FileNotFoundError):
            if time() - os.stat(name, dir_fd=at, follow_symlinks=False).st_mtime > LEFTOVER_SECONDS:
                os.unlink(name, dir_fd=at)


def _exists(file: str, at: int) -> bool:
    try:
        os.stat(file, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is_missing(error: OSError) -> bool:
    """Of a file that is opened: there is none, or a link, or a socket."""
    return error.errno in (ENOENT, ELOOP, ENXIO)


def _kept(name: str, found: os.stat_result) -> Kept:
    kept_at = datetime.fromtimestamp(found.st_mtime, UTC)
    return Kept(name=name, size=found.st_size, kept_at=kept_at)
