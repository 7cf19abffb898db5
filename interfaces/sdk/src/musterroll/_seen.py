"""Cursors, `epoch:position`: the newest one wins, and never an older one after it."""

from typing import Any


def newer(one: str | None, other: str | None) -> str | None:
    """The later of two cursors; what is not a cursor is older than all."""
    return one if _place(one) >= _place(other) else other


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
    return max(cursors, key=_place)


def _place(cursor: str | None) -> tuple[int, int]:
    epoch, _, position = (cursor or "").partition(":")
    if epoch.isdecimal() and position.isdecimal():
        return int(epoch), int(position)
    return -1, -1


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
