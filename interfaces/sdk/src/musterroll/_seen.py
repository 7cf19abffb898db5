"""Cursors, `epoch:position`: the newest one wins, and never an older one after it."""

from typing import Any


def newer(one: str | None, other: str | None) -> str | None:
    """The later of two cursors; what is not a cursor is older than all."""
    return one if place_of(one) >= place_of(other) else other


def newest_cursor(answer: Any) -> str | None:
    """The newest cursor in a command's answer, or in its outcomes."""
    if not isinstance(answer, dict):
        return None
    outcomes = answer.get("outcomes")
    if not isinstance(outcomes, list):
        return _text(answer.get("cursor"))
    told = (outcome.get("cursor") for outcome in outcomes if isinstance(outcome, dict))
    # Most are told by a whole batch: each is looked at once.
    cursors = {_text(answer.get("cursor")), *(cursor for cursor in told if isinstance(cursor, str))}
    return max(cursors, key=place_of)


def place_of(cursor: str | None) -> tuple[int, int]:
    """Epoch and position, which sort as the log does; what is not a cursor comes before all."""
    epoch, _, position = (cursor or "").partition(":")
    if epoch.isdecimal() and position.isdecimal():
        return int(epoch), int(position)
    return -1, -1


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
