"""Sealed values: how what is personal stands in the log.

One text, wherever it stands: `$sealed:1:<id of the subject>:<mark and ciphertext>`. The mark is
made with a secret of the service over the ciphertext and its place, so that no text of a caller's
can be taken for one, nor one of another task or field, even after its key is gone.
"""

import hmac
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from application.erasure.ports import SubjectVault

ERASED = "[erased]"
"""What is shown, and recorded, of a subject that was erased."""
LOCKED = "[locked]"
"""What is shown of a subject whose key cannot be opened here, and may be elsewhere."""
PREFIX = "$sealed:1:"
PREFIX_BYTES = PREFIX.encode()
ID_ENDS = len(PREFIX) + 32
IN_TEXT = re.compile(r"\$sealed:1:[0-9a-f]{32}:[A-Za-z0-9+/]+={0,2}")
MARK_BYTES = 16

INPUT, RESULT, TEXT = b"input", b"result", b"text"
"""The sorts of content. One sort does not open as another; INPUT and RESULT are JSON."""

PERSONAL: Mapping[str, Mapping[str, bytes]] = {
    "task.submitted": {"input": INPUT},
    "task.rejected": {"reason": TEXT},
    "task.progressed": {"message": TEXT},
    "task.completed": {"result": RESULT},
    "task.attempt_failed": {"message": TEXT},
    "task.failed": {"message": TEXT},
    "task.cancelled": {"reason": TEXT},
}
"""By topic, the fields that are sealed when the task is about a subject."""
PERSONAL_OF_ROWS: Mapping[str, bytes] = {
    "input": INPUT,
    "result": RESULT,
    "progress_message": TEXT,
    "error_message": TEXT,
}
"""The same in the rows of the task board."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value belongs: to a task, as one of the sorts of content."""

    task_id: UUID
    sort: bytes

    def of(self, subject_id: UUID) -> bytes:
        """What is authenticated with it."""
        return subject_id.bytes + self.task_id.bytes + self.sort


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed value, taken apart."""

    subject_id: UUID
    mark: bytes
    content: bytes

    @classmethod
    def parse(cls, value: Any) -> Self | None:
        """None for everything else. Whether it is genuine is another question."""
        if not isinstance(value, str) or not value.startswith(PREFIX):
            return None
        if value[ID_ENDS : ID_ENDS + 1] != ":":
            return None
        try:
            content = a2b_base64(value[ID_ENDS + 1 :])
            subject_id = UUID(hex=value[len(PREFIX) : ID_ENDS])
        except ValueError:
            return None
        return cls(subject_id, content[:MARK_BYTES], content[MARK_BYTES:])

    def genuine(self, place: Place, vault: SubjectVault) -> bool:
        """Whether this service sealed it, for this place."""
        return hmac.compare_digest(self.mark, vault.mark(place.of(self.subject_id), self.content))

    def __str__(self) -> str:
        # A value may be large, and what is copied once less is worth it.
        text = b2a_base64(self.mark + self.content, newline=False)
        return b"".join((PREFIX_BYTES, self.subject_id.hex.encode(), b":", text)).decode()
