"""The answer of a request as it is kept with it, so that a repetition gets the same one."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

import orjson

from application.control_plane import Decided
from application.cursor import Cursor
from application.ports import KeptRequest
from application.receipt import Receipt
from domain.errors import ControlPlaneError

Outcome = Receipt | Exception
"""What became of a command; an exception says why it was refused."""


def answer_to_keep(parts: Sequence[Decided | Exception]) -> bytes:
    """What is kept of a request, part by part. Its positions count from where the log puts it."""
    return orjson.dumps([_part(part) for part in parts])


def _part(part: Decided | Exception) -> list[object]:
    if isinstance(part, Decided):
        reason = [part.refusal.code, part.refusal.message] if part.refusal else []
        return [part.aggregate_id, part.version, part.place, *reason]
    refusal = part if isinstance(part, ControlPlaneError) else Failed()
    return [None, 0, 0, refusal.code, refusal.message]


def recalled_answer(kept: KeptRequest, *, epoch: int) -> list[Outcome]:
    """The same outcomes again, marked as replayed."""
    return [_recalled(part, kept.base, epoch) for part in orjson.loads(kept.answer)]


def _recalled(part: list[object], base: int, epoch: int) -> Outcome:
    aggregate_id, version, place, *reason = part
    refusal = _refusal(*cast("list[str]", reason)) if reason else None
    if aggregate_id is None:
        return refusal or Failed()
    return Receipt(
        aggregate_id=UUID(cast("str", aggregate_id)),
        version=cast("int", version),
        cursor=Cursor(epoch, base + cast("int", place)),
        refusal=refusal,
        replayed=True,
    )


class Failed(ControlPlaneError):
    """A part of a request met a fault of ours, and is not done again under the same key."""

    code = "failed"

    def __init__(self) -> None:
        super().__init__("It went wrong on our side.")


def _refusal(code: str, message: str) -> ControlPlaneError:
    waiting = [ControlPlaneError]
    while waiting:
        kind = waiting.pop()
        if kind.code == code:
            return kind.recalled(message)
        waiting.extend(kind.__subclasses__())
    return ControlPlaneError.recalled(message)
