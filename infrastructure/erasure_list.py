"""The list of erasures: a file beside the database, that no older database replaces."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import orjson

from application.erasure.errors import ErasureNotKept, ErasuresUnreadable
from application.erasure.ports import Erasure
from infrastructure.appended_lines import AppendedLines


class FileErasureList:
    """The ErasureList: a line of JSON for each erasure, appended under a lock and synced to disk.

    It holds ids, tenants, times and who asked; the names of subjects stand nowhere. A last line
    that a crash cut off was never answered for, and is cut away by whoever appends next.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = AppendedLines(path)
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
            self._lines.append(b"".join(map(_line, new)))
        except OSError as error:
            raise ErasureNotKept(f"The list of erasures: {error.strerror}.") from error
        self._known.update(one.subject_id for one in new)

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
