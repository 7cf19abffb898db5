"""Bisect: which event made a predicate true?"""

import asyncio
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from application.cursor import Cursor
from application.erasure.disclosure import Disclosure
from application.moments import Instant, Moment, Moments
from application.ports import EventLog, Record
from application.projections.task_board import TaskCard
from application.stretch import RangeTooLarge, stretch_of
from application.time_travel.frame import BOARD, Folding, Frame, without_contents
from application.time_travel.frames import Frames, event_of
from application.time_travel.ports import History
from application.time_travel.predicate.names import View
from application.time_travel.predicate.reading import Predicate, predicate_of
from domain.errors import AggregateNotFound, Invalid, Unavailable

SCANNED_MAX = 200_000
"""Positions that one request looks through one by one: some ten seconds."""
CHANGES_MAX = 10_000
"""Of each task that a predicate names."""

SECONDS_MAX = 60.0
RETRY_SECONDS = 30

Outcome = Literal["found", "held_already", "never_held"]


class TaskTooLong(Invalid):
    """A task that the predicate names has too many events to follow."""

    code = "task_too_long"


class SearchTooLong(Unavailable):
    """The search was given up: others searched too, or the range is long."""

    code = "search_too_long"

    def __init__(self) -> None:
        super().__init__(
            f"It was not found within {SECONDS_MAX:.0f} s; ask again later, for a shorter range, "
            "or for less.",
            retry_after_seconds=RETRY_SECONDS,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search came to. `event` is the one after which the predicate holds, and before which
    it does not; None unless one was found. `folds`: frames that were made; `events`: events that
    were folded for them."""

    outcome: Outcome
    event: Record | None
    begin: Instant | None
    end: Instant
    folds: int
    events: int


class Searches:
    """Looks for the event after which a predicate over the frame of a tenant holds."""

    def __init__(
        self,
        *,
        frames: Frames,
        moments: Moments,
        history: History,
        log: EventLog,
        disclosure: Disclosure,
    ) -> None:
        self._frames = frames
        self._moments = moments
        self._history = history
        self._log = log
        self._disclosure = disclosure

    async def first(
        self,
        tenant: str,
        text: str,
        *,
        begin: Moment | None,
        end: Moment | None,
        scan: bool,
        newest: int | None = None,
    ) -> Found:
        """The first event of a stretch after which it holds.

        By halves: right when the predicate, once it holds, goes on holding; else it is one of the
        events that made it true. log2(n) + 1 frames at most. With `scan` one by one, whatever the
        predicate. It holds already when it does before the stretch begins.

        Raises BadPredicate, BadStretch, RangeTooLarge, TaskTooLong, AggregateNotFound (a task that
        it names), SearchTooLong, FramesBehind, UnreadableHistory, TooMuchFolding,
        DatabaseUnavailable, and what `Moments.position` raises.
        """
        predicate = predicate_of(text)
        stretch = await stretch_of(self._moments, begin, end, newest=newest)
        if scan and stretch.until - stretch.after > SCANNED_MAX:
            nearest = Cursor(self._moments.epoch, stretch.after + SCANNED_MAX)
            raise RangeTooLarge(f"{SCANNED_MAX:,} positions, as many as are scanned", nearest)
        search = _Search(self._frames, predicate, tenant, await self._tasks(tenant, predicate))
        if scan:
            outcome, position = await search.one_by_one(self._history, stretch.after, stretch.until)
        else:
            outcome, position = await search.by_halves(stretch.after, stretch.until)
        return Found(
            outcome=outcome,
            event=await self._event(tenant, position) if outcome == "found" else None,
            begin=await self._moments.at(stretch.after) if stretch.after else None,
            end=await self._moments.at(stretch.until),
            folds=search.folds,
            events=search.events,
        )

    async def _event(self, tenant: str, position: int) -> Record:
        [record] = await asyncio.to_thread(
            self._history.of_tenant, tenant, after=position - 1, until=position
        )
        [shown] = await self._disclosure.records([record])
        return shown

    async def _tasks(
        self, tenant: str, predicate: Predicate
    ) -> dict[UUID, tuple[Sequence[int], Sequence[TaskCard]]]:
        """The tasks that it names, each as it was from event to event."""
        return {
            task_id: await self._frames.lane.once(self._changes, tenant, task_id)
            for task_id in sorted(predicate.tasks)
        }

    def _changes(self, tenant: str, task_id: UUID) -> tuple[list[int], list[TaskCard]]:
        page = self._history.of_aggregate(
            task_id, after_version=0, until=2**62, limit=CHANGES_MAX + 1
        )
        if not page or page[0].tenant != tenant or not page[0].topic.startswith("task."):
            raise AggregateNotFound("task", task_id)
        if len(page) > CHANGES_MAX:
            raise TaskTooLong(f"Task {task_id} has more than {CHANGES_MAX} events.")
        positions: list[int] = []
        cards: list[TaskCard] = []
        for record in page:
            card = copy(cards[-1]) if cards else None
            card = BOARD.evolve(card, record, event_of(self._log, record))
            assert card is not None, "the board shows every event of a task"
            without_contents(card)
            positions.append(record.position)
            cards.append(card)
        return positions, cards


class _Search:
    """One search, and what it has cost so far."""

    def __init__(
        self,
        frames: Frames,
        predicate: Predicate,
        tenant: str,
        tasks: dict[UUID, tuple[Sequence[int], Sequence[TaskCard]]],
    ) -> None:
        self._frames = frames
        self._predicate = predicate
        self._tenant = tenant
        self._tasks = tasks
        self._ends_at = time.monotonic() + SECONDS_MAX
        self.folds = self.events = 0

    async def by_halves(self, after: int, until: int) -> tuple[Outcome, int]:
        """The lowest position at which it holds, as if it held at all behind that."""
        low, high = after + 1, until + 1
        while low < high:
            # Of an even number the lower half is the smaller: what held from the beginning costs
            # one more frame, to tell it from what began to hold with the first event.
            middle = low + (high - low - 1) // 2
            if await self._holds_at(middle):
                high = middle
            else:
                low = middle + 1
        if low > until:
            return "never_held", 0
        if low == after + 1 and await self._holds_at(after):
            return "held_already", 0
        return "found", low

    async def one_by_one(self, history: History, after: int, until: int) -> tuple[Outcome, int]:
        """The first position at which it holds and did not hold before."""
        async with self._frames.lane.turn():
            folding = await self._frames.folding(self._tenant, after)
            held = await self._frames.lane.run(self._holds, folding.frame)
        self.folds = 1
        if held:
            return "held_already", 0
        position, looked_to = 0, after
        while looked_to < until and not position:
            async with self._frames.lane.turn():
                position, looked_to = await self._frames.lane.run(
                    self._scan, history, folding, looked_to, until
                )
        return ("found", position) if position else ("never_held", 0)

    def _scan(self, history: History, folding: Folding, after: int, until: int) -> tuple[int, int]:
        """Where in the next page it begins to hold, or 0; and how far the page goes."""
        page = history.of_tenant(self._tenant, after=after, until=until)
        for record in page:
            self._frames.fold_on(folding, record)
            self.events += 1
            if self._holds(folding.frame):
                return record.position, record.position
        return 0, page[-1].position if page else until

    async def _holds_at(self, position: int) -> bool:
        if not position:
            return self._holds(Frame(tenant=self._tenant))
        async with self._frames.lane.turn():
            made = await self._frames.make(self._tenant, position)
            self.folds += 1
            self.events += made.events
            return await self._frames.lane.run(self._holds, made.frame)

    def _holds(self, frame: Frame) -> bool:
        if time.monotonic() > self._ends_at:
            raise SearchTooLong
        return self._predicate.holds(View(frame, self._tasks))
