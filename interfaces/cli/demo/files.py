"""Which files of a folder the demo works on, and how they are read, whatever they hold."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FILES_WALKED_MAX = 20_000
READ_BYTES_MAX = 1024 * 1024
SNIFFED_BYTES = 4096
UNUSABLE_MAX = 2_000
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class NotText(Exception):
    """The file is empty, binary, not a regular file, or cannot be read; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The chosen files, and how many the folder holds beside them."""

    root: Path
    files: tuple[Path, ...]
    seen: int
    unusable: int


def read_text(path: Path) -> str:
    """The file's text, at most its first MiB; what is not UTF-8 is read as Latin-1.

    Raises NotText.
    """
    content = _read_bytes(path, READ_BYTES_MAX)
    _require_text(content[:SNIFFED_BYTES])
    if content.startswith(_UTF16_MARKS):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # A character cut in two by the limit is no reason to doubt the encoding.
        if error.end >= len(content) - 4:
            return content.decode("utf-8-sig", errors="ignore")
        return content.decode("latin-1")


def is_python(path: Path) -> bool:
    """Whether a file is taken for Python."""
    return path.suffix in {".py", ".pyi"}


def choose_files(root: Path, limit: int, *, only_python: bool = False) -> Selection:
    """At most `limit` readable text files, spread evenly over everything below `root`.

    `root` may be one file. Links are not followed, so that a loop of them ends.
    """
    found = [path for path in _walk(root) if is_python(path) or not only_python]
    chosen: list[Path] = []
    unusable = 0
    for path in _evenly(found, limit):
        if len(chosen) == limit or unusable == UNUSABLE_MAX:
            break
        if _holds_text(path):
            chosen.append(path)
        else:
            unusable += 1
    return Selection(root=root, files=tuple(sorted(chosen)), seen=len(found), unusable=unusable)


def _walk(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        yield root
        return
    walked = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name not in SKIPPED_FOLDERS
        )
        for name in sorted(names):
            if walked == FILES_WALKED_MAX:
                return
            walked += 1
            if not name.startswith("."):
                yield Path(folder, name)


def _evenly(paths: Sequence[Path], limit: int) -> Iterator[Path]:
    """All paths, beginning with `limit` that lie evenly among them; the others stand in for those
    that turn out unusable.
    """
    step = max(1.0, len(paths) / limit)
    first = {int(number * step) for number in range(limit) if int(number * step) < len(paths)}
    yield from (paths[index] for index in sorted(first))
    yield from (path for index, path in enumerate(paths) if index not in first)


def _holds_text(path: Path) -> bool:
    try:
        str(path).encode()  # A name in no encoding cannot travel as JSON.
        _require_text(_read_bytes(path, SNIFFED_BYTES))
    except (NotText, UnicodeEncodeError):
        return False
    return True


def _require_text(beginning: bytes) -> None:
    if not beginning.strip():
        raise NotText("it is empty")
    if b"\0" in beginning and not beginning.startswith(_UTF16_MARKS):
        raise NotText("it is binary")


def _read_bytes(path: Path, limit: int) -> bytes:
    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NotText("it is not a regular file")
            return file.read(limit)
    except OSError as error:
        raise NotText(error.strerror or "it cannot be read") from error
