"""What a verification finds, and where: names the first event that is not as it was sealed."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import Conflict

Row = tuple[int, bytes]
"""The position of an event, and the leaf hash that its row has now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong: a stable code, a sentence, and the positions between which it begins.

    Where one position is known, `first` and `last` are that one; None: it is not of the log.
    """

    code: str
    message: str
    first: int | None = None
    last: int | None = None


class Tampered(Conflict):
    """The log or its seals are not what was sealed."""

    code = "tampered"

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message, first=fault.first, last=fault.last)
        self.fault = fault


def where(first: int, last: int) -> str:
    """`position 7`, or `positions 7 to 9`."""
    return f"position {first}" if first >= last else f"positions {first} to {last}"


def fault_in_block(
    rows: Sequence[Row], leaves: Sequence[bytes] | None, *, after: int, until: int
) -> Fault:
    """What is wrong with a block of which the events do not make up its head.

    `leaves` are the hashes that were kept of its events, None where those are not what was sealed
    either: then no more can be known than the block. It goes from behind one position to another.
    """
    if leaves is None:
        return Fault(
            code="block_changed",
            message=f"Somewhere in {where(after + 1, until)} the log is not what was sealed, and "
            "the hashes that would tell where were changed too.",
            first=after + 1,
            last=until,
        )
    at = _first_difference(rows, leaves)
    before = rows[at - 1][0] if at else after
    if at == len(rows):
        return _missing(before + 1, until)
    position, leaf = rows[at]
    if at == len(leaves) or leaves[at] in {row[1] for row in rows[at + 1 :]}:
        return Fault(
            code="event_inserted",
            message=f"The event at position {position} was not there when the log was sealed.",
            first=position,
            last=position,
        )
    if leaf in leaves[at + 1 :]:
        return _missing(before + 1, position - 1)
    if len(rows) < len(leaves) and before + 1 < position:
        # One is gone as well, and may have stood in the gap.
        return _changed(before + 1, position)
    return _changed(position, position)


def _first_difference(rows: Sequence[Row], leaves: Sequence[bytes]) -> int:
    same = zip(rows, leaves, strict=False)
    return next(
        (at for at, (row, leaf) in enumerate(same) if row[1] != leaf), min(len(rows), len(leaves))
    )


def _changed(first: int, last: int) -> Fault:
    message = f"The event at {where(first, last)} is not what was sealed."
    return Fault(code="event_changed", message=message, first=first, last=last)


def _missing(first: int, last: int) -> Fault:
    message = f"An event that was sealed at {where(first, last)} is missing."
    return Fault(code="event_missing", message=message, first=first, last=max(first, last))
