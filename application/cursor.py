"""A place in the log: `epoch:position`, the same in answers, queries, streams and checkpoints."""

from dataclasses import dataclass
from typing import Self

from domain.errors import Invalid


class BadCursor(Invalid):
    """The text is no cursor."""

    code = "bad_cursor"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:40]!r} is no cursor; one looks like 1:4711.")


class CursorAhead(Invalid):
    """Nothing was ever committed there. `nearest` is the last cursor."""

    code = "cursor_ahead"

    def __init__(self, cursor: "Cursor", head: int) -> None:
        message = f"{cursor} is beyond the end of the log, which stands at {head}."
        last = str(Cursor(cursor.epoch, head))
        super().__init__(message, cursor=last, nearest=last)


POSITION_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """`position` 0 is the start of the log; a restore begins a new epoch."""

    epoch: int
    position: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises BadCursor."""
        epoch, colon, position = text.partition(":")
        parts_are_numbers = all(
            part.isascii() and part.isdigit() and len(part) <= 19 for part in (epoch, position)
        )
        if not colon or not parts_are_numbers or int(position) > POSITION_MAX:
            raise BadCursor(text)
        return cls(int(epoch), int(position))

    def __str__(self) -> str:
        return f"{self.epoch}:{self.position}"
