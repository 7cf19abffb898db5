"""The freeze frame: everything of a tenant as of a moment, with a page of its tasks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from heapq import nlargest, nsmallest
from uuid import UUID

from application.cursor import BadCursor, Cursor
from application.moments import Instant, Moment, Moments
from application.ports import Clock
from application.projections.task_board import TaskCard
from application.queries import TaskStanding
from application.time_travel.bottlenecks import Bottleneck, bottlenecks, in_use
from application.time_travel.frame import Frame
from application.time_travel.frames import Frames, digest
from application.time_travel.ports import History
from application.time_travel.things import AgentThen, Things, reasons
from domain.task_shape import FINAL

AGENTS_SHOWN_MAX = 1_000
KINDS_SHOWN_MAX = 100
ID_END = 2**128
LOOKED_AT_MAX = 1_000
"""Tasks that are looked at for one page, where few of them may have the status that is asked
for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksThen:
    """A page of tasks. It may hold fewer than asked for, and there be more: `next_cursor` tells."""

    items: Sequence[TaskStanding[TaskCard]]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What takes the longer to tell of a frame the more there is in it. `agents`: whom to show;
    `by_kind`: the kinds of which most is queued; `slots` and `running`: of those that serve."""

    digest: str
    agents: Sequence[UUID]
    bottlenecks: Sequence[Bottleneck]
    by_kind: Sequence[tuple[str, int]]
    oldest_queued: TaskCard | None
    serving: int
    slots: int
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What there was. `agents`: the first 1,000 by name."""

    at: Instant
    frame: Frame
    seen: Seen
    tasks: TasksThen
    agents: Sequence[AgentThen]


class Overviews:
    """Makes them. Everything is of the caller's tenant alone."""

    def __init__(
        self, *, frames: Frames, things: Things, moments: Moments, history: History, clock: Clock
    ) -> None:
        self._frames = frames
        self._things = things
        self._moments = moments
        self._history = history
        self._clock = clock

    async def overview(
        self,
        tenant: str,
        moment: Moment | None,
        *,
        status: str | None,
        cursor: str | None,
        limit: int,
    ) -> Overview:
        """As of a moment, or of now.

        Raises BadCursor, FramesBehind, UnreadableHistory, TooMuchFolding, DatabaseUnavailable, and
        what `Moments.position` raises; BeforeHistory too while the log is empty.
        """
        position = await self._moments.position(moment)
        at = await self._moments.at(position)
        now = at.time
        if moment is None or moment.time is not None:
            now = self._clock() if moment is None else moment.time or now
        frame, seen = await self._frames.looked_at(tenant, position, partial(_seen, now=now))
        return Overview(
            at=at,
            frame=frame,
            seen=seen,
            tasks=await self._tasks(frame, status, cursor, limit),
            agents=await self._things.agents(frame, seen.agents),
        )

    async def _tasks(
        self, frame: Frame, status: str | None, cursor: str | None, limit: int
    ) -> TasksThen:
        if status is not None and status not in FINAL:
            cards, following = await self._open(frame, status, cursor, limit)
        else:
            cards, following = await self._submitted(frame, status, cursor, limit)
        why = await self._frames.lane.once(reasons, cards, frame)
        items = [
            TaskStanding(card=card, waiting_reason=reason)
            for card, reason in zip(cards, why, strict=True)
        ]
        return TasksThen(items=items, next_cursor=following)

    async def _open(
        self, frame: Frame, status: str, cursor: str | None, limit: int
    ) -> tuple[list[TaskCard], str | None]:
        """From the frame, newest id first."""
        before = _id_of(cursor) if cursor else None
        ids = await self._frames.lane.once(_newest, frame, status, before, limit + 1)
        cards = await self._things.cards(ids[:limit], frame.position)
        more = len(cards) < len(ids)
        return cards, str(cards[-1].task_id) if more else None

    async def _submitted(
        self, frame: Frame, status: str | None, cursor: str | None, limit: int
    ) -> tuple[list[TaskCard], str | None]:
        """From the log, those submitted last first."""
        before = self._position_of(cursor) if cursor else frame.position + 1
        cards: list[TaskCard] = []
        looked_at = 0
        while before and len(cards) < limit and looked_at < LOOKED_AT_MAX:
            wanted = limit - len(cards) if status is None else limit
            records, down_to = await asyncio.to_thread(
                self._history.submitted, frame.tenant, before=before, limit=wanted
            )
            looked_at += max(len(records), LOOKED_AT_MAX // 5)
            ids = [record.aggregate_id for record in records]
            found = await self._things.cards(ids, frame.position)
            for card, record in zip(found, records, strict=False):
                if len(cards) == limit:
                    break
                before = record.position
                if status in {None, card.status}:
                    cards.append(card)
            else:
                if len(found) == len(records):
                    before = down_to
        return cards, str(Cursor(self._moments.epoch, before)) if before > 1 else None

    def _position_of(self, text: str) -> int:
        cursor = Cursor.parse(text)
        if cursor.epoch != self._moments.epoch:
            raise BadCursor(text)
        return cursor.position


def _seen(frame: Frame, *, now: datetime) -> Seen:
    by_name = nsmallest(AGENTS_SHOWN_MAX, frame.lines.values(), key=lambda line: line.name)
    serving = frame.serving
    slots, running = in_use(frame, serving)
    return Seen(
        digest=digest(frame),
        agents=[line.agent_id for line in by_name],
        bottlenecks=bottlenecks(frame, now=now),
        by_kind=[(of, count) for of, count in frame.queued.most_common(KINDS_SHOWN_MAX) if count],
        oldest_queued=frame.oldest_queued(),
        serving=len(serving),
        slots=slots,
        running=running,
    )


def _newest(frame: Frame, status: str, before: UUID | None, limit: int) -> list[UUID]:
    """Of one status, newest id first. Numbers compare some five times as fast as ids do."""
    bound = before.int if before else ID_END
    numbers = (
        card.task_id.int
        for card in frame.cards.values()
        if card.status == status and card.task_id.int < bound
    )
    return [UUID(int=number) for number in nlargest(limit, numbers)]


def _id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadCursor(text) from None
