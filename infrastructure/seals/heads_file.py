"""Heads in a file outside of the database: a line of JSON each, on the disk when it is written."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import orjson

from application.seals.head import BadHead, Head
from application.seals.ports import HeadsDiffer
from infrastructure.appended_lines import AppendedLines

LINE_BYTES_MAX = 4_096
"""A head takes some 600."""
FILE_NAME = "heads.ndjson"


class NdjsonHeads:
    """Implements `application.seals.ports.HeadsFile`.

    A line that a crash or a full disk cut off is taken away before the next is written. Processes
    that share the file take turns. Lines of another log stay where they are.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = AppendedLines(path)

    def last(self, log: UUID) -> Head | None:
        """From the end backwards: almost always the last line. Raises OSError, HeadsDiffer."""
        if not self._path.exists():
            return None
        with self._path.open("rb") as file:
            for line in _lines_backwards(file):
                try:
                    head = Head.parse(orjson.loads(line))
                except (orjson.JSONDecodeError, BadHead) as error:
                    raise HeadsDiffer(f"A line at the end of {self._path} is no head.") from error
                if head.log == log:
                    return head
        return None

    def append(self, heads: Sequence[Head]) -> None:
        """All of them, or none. Raises OSError."""
        lines = (orjson.dumps(head.members(), option=orjson.OPT_APPEND_NEWLINE) for head in heads)
        self._lines.append(b"".join(lines))


def read_heads(path: Path) -> Iterator[tuple[int, object]]:
    """Every line's number and JSON, None where it is none; a torn line at the end is left out.
    Raises OSError."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES_MAX):
            number += 1
            if not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
                return
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError:
                yield number, None


def _lines_backwards(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines, last first, read in pieces."""
    end, rest, torn = file.seek(0, os.SEEK_END), b"", True
    while end > 0:
        start = max(0, end - 64 * LINE_BYTES_MAX)
        file.seek(start)
        pieces = (file.read(end - start) + rest).split(b"\n")
        if torn:
            pieces.pop()
            torn = False
        rest, end = (pieces.pop(0) if pieces else b""), start
        yield from reversed(pieces)
    if rest:
        yield rest
