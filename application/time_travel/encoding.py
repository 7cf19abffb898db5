"""A frame as bytes: one form for equal contents, whichever way they came about, and its digest.

A line of JSON for how many there are of each status that is final, then one for each open task
and each agent, in the order of their ids. Nobody holds the interpreter for long over a line.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson

from application.projections.agent_roster import RosterLine
from application.projections.task_board import TaskCard
from application.time_travel.frame import Frame
from domain.task_shape import FINAL

NOT_KEPT = frozenset({"tenant", "input", "result", "progress_message", "error_message"})
IDS = frozenset({"task_id", "agent_id", "parent_id", "subject_id"})
TIMES = frozenset({"not_before", "deadline", "registered_at"})
CARD = tuple(one.name for one in fields(TaskCard) if one.name not in NOT_KEPT)
LINE = tuple(one.name for one in fields(RosterLine) if one.name not in NOT_KEPT)
FORM = hashlib.sha256(repr((1, CARD, LINE)).encode()).hexdigest()[:16]
"""Changes with what a frame holds. Raise the number when the projections come to fold otherwise:
what was kept in another form is folded anew."""
OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z

RowT = TypeVar("RowT", TaskCard, RosterLine)


def encode(frame: Frame) -> bytes:
    """What a frame holds, but for whose it is and its position."""
    ended = {str(one): frame.counts[one] for one in FINAL if frame.counts[one]}
    lines = [orjson.dumps([ended, len(frame.cards), len(frame.lines)], option=OPTIONS)]
    lines += [_row(frame.cards[key], CARD) for key in sorted(frame.cards)]
    lines += [_row(frame.lines[key], LINE) for key in sorted(frame.lines)]
    return b"\n".join(lines)


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def decode(content: bytes, *, tenant: str, position: int) -> Frame:
    """The frame that was encoded."""
    lines = content.split(b"\n")
    ended, cards, agents = orjson.loads(lines[0])
    frame = Frame(tenant=tenant, position=position, counts=Counter(ended))
    for line in lines[1 : 1 + cards]:
        card = _read(TaskCard, CARD_READERS, line, tenant)
        card.input = card.result = card.progress_message = card.error_message = None
        frame.cards[card.task_id] = card
        frame.enter(card)
    for line in lines[1 + cards : 1 + cards + agents]:
        agent = _read(RosterLine, LINE_READERS, line, tenant)
        frame.lines[agent.agent_id] = agent
    return frame


def _row(row: TaskCard | RosterLine, names: tuple[str, ...]) -> bytes:
    return orjson.dumps([getattr(row, name) for name in names], option=OPTIONS)


Reader = Callable[[str], Any] | None


def _reader_of(name: str) -> Reader:
    if name in IDS:
        return UUID
    is_time = name in TIMES or name.endswith("_at")
    return datetime.fromisoformat if is_time else None


CARD_READERS: tuple[tuple[str, Reader], ...] = tuple((name, _reader_of(name)) for name in CARD)
LINE_READERS: tuple[tuple[str, Reader], ...] = tuple((name, _reader_of(name)) for name in LINE)


def _read(
    kind: type[RowT], readers: tuple[tuple[str, Reader], ...], line: bytes, tenant: str
) -> RowT:
    row = object.__new__(kind)
    row.tenant = tenant
    for (name, reader), value in zip(readers, orjson.loads(line), strict=True):
        setattr(row, name, value if reader is None or value is None else reader(value))
    return row
