"""Frames of any position: from the nearest that is at hand or was kept, and the events behind."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import structlog
from eventsourcing.domain import AggregateEvent

from application.lane import Lane
from application.ports import EventLog, Record, UnreadableEvent
from application.projections.task_board import TaskCard
from application.time_travel.encoding import decode, digest_of, encode
from application.time_travel.frame import BOARD, FOLDED, Folding, Frame
from application.time_travel.ports import FramePart, FrameStore, History, KeptFrame
from domain.errors import Unavailable

TAIL_MAX = 100_000
"""Positions behind a kept frame that are folded for one request: some 4 s. Frames are kept far
closer, unless the log was there before them or grew too fast; then they are made meanwhile."""
RECALLED_AT_ONCE = 1_000
AT_HAND_MAX = 8
CARDS_AT_HAND_MAX = 100_000
"""Some 100 MB, whatever number of frames holds them."""

ResultT = TypeVar("ResultT")

log = structlog.get_logger("frames")


class FramesBehind(Unavailable):
    """Too much of the log lies between this moment and the last frame that was kept before it."""

    code = "frames_behind"


class UnreadableHistory(Unavailable):
    """An event stands there that this release cannot read."""

    code = "unreadable_history"


@dataclass(frozen=True, slots=True)
class Made:
    """A frame, and how many events were folded for it."""

    frame: Frame
    events: int


class Frames:
    """Makes frames, one at a time. `Lane` says when. `unequal`: the positions of those that were
    kept and are not what is folded; there should be none."""

    def __init__(self, history: History, store: FrameStore, log: EventLog) -> None:
        self.lane = Lane()
        self.unequal: set[int] = set()
        self._history = history
        self._store = store
        self._log = log
        self._at_hand: OrderedDict[tuple[str, int], Frame] = OrderedDict()

    async def at(self, tenant: str, position: int) -> Frame:
        """The frame of a tenant at a position.

        Raises FramesBehind, UnreadableHistory, TooMuchFolding, DatabaseUnavailable.
        """
        found = self._at_hand.get((tenant, position))
        if found is None:
            async with self.lane.turn():
                found = (await self.make(tenant, position)).frame
        return found

    async def looked_at(
        self, tenant: str, position: int, look: Callable[[Frame], ResultT]
    ) -> tuple[Frame, ResultT]:
        """The same, and what is seen by a look that takes the longer the more the frame holds.

        Raises what `at` and the look raise.
        """
        async with self.lane.turn():
            found = self._at_hand.get((tenant, position))
            frame = found or (await self.make(tenant, position)).frame
            return frame, await self.lane.run(look, frame)

    async def make(
        self, tenant: str, position: int, *, kept_before: int | None = None, aside: bool = False
    ) -> Made:
        """The same within one's turn in the lane; `aside`: from what was kept alone, at or before
        `kept_before`, whatever is at hand.

        Raises FramesBehind, UnreadableHistory, DatabaseUnavailable.
        """
        base, after = await self._base(tenant, position, kept_before, aside=aside)
        if position - after > TAIL_MAX and not aside:
            raise FramesBehind(
                f"{position - after} events lie before this moment that no frame was kept of; "
                "frames are being made.",
                retry_after_seconds=30,
            )
        folding, events = Folding(base, self.recall), 0
        while page := await self.lane.run(self._fold, folding, after, position):
            events += len(page)
            after = page[-1].position
        frame = folding.frame
        frame.position = position
        if not aside:
            self._keep_at_hand(frame)
        return Made(frame, events)

    def forget(self) -> None:
        """Drop what is at hand: it is made anew."""
        self._at_hand.clear()

    async def folding(self, tenant: str, position: int) -> Folding:
        """A frame to go on from, within one's turn. Raises what `make` does."""
        return Folding((await self.make(tenant, position)).frame, self.recall)

    def fold_on(self, folding: Folding, record: Record) -> None:
        """One event further. Blocks, rarely. Raises UnreadableHistory, DatabaseUnavailable."""
        if record.topic.startswith(FOLDED):
            folding.apply(record, event_of(self._log, record))

    def recall(self, task_id: UUID, before: int) -> TaskCard:
        """The card of a task as it stood before a position. Blocks. Raises UnreadableHistory,
        DatabaseUnavailable."""
        card: TaskCard | None = None
        while page := self._history.of_aggregate(
            task_id,
            after_version=card.version if card else 0,
            until=before - 1,
            limit=RECALLED_AT_ONCE,
        ):
            for record in page:
                card = BOARD.evolve(card, record, event_of(self._log, record))
        assert card is not None, f"{task_id} was retried before it was submitted"
        return card

    async def _base(
        self, tenant: str, position: int, kept_before: int | None, *, aside: bool
    ) -> tuple[Frame, int]:
        """The nearest frame, and the position behind which the events of the tenant go on."""
        at_hand = [at for of, at in self._at_hand if of == tenant and at <= position]
        nearest = max(at_hand, default=0) if not aside else 0
        kept_at = position if kept_before is None else kept_before
        kept = await self.lane.run(self._store.newest, tenant, kept_at)
        if kept is not None and kept.holds_until > nearest:
            frame = await self.lane.run(_decoded, tenant, kept)
            return frame or await self._made_anew(tenant, kept), kept.holds_until
        if nearest:
            self._at_hand.move_to_end((tenant, nearest))
            return self._at_hand[tenant, nearest], nearest
        return Frame(tenant=tenant), 0

    async def _made_anew(self, tenant: str, kept: KeptFrame) -> Frame:
        """In place of one that is not what was kept, from the one before. It stays on record."""
        log.error("kept_frame_differs_from_its_digest", position=kept.position, tenant=tenant)
        self.unequal.add(kept.position)
        before = kept.position - 1
        made = await self.make(tenant, kept.position, kept_before=before, aside=True)
        part = await self.lane.run(part_of, made.frame)
        await self.lane.run(self._store.mend, kept.position, part)
        made.frame.position = kept.holds_until
        return made.frame

    def _fold(self, folding: Folding, after: int, until: int) -> "list[Record]":
        page = self._history.of_tenant(folding.frame.tenant, after=after, until=until)
        for record in page:
            self.fold_on(folding, record)
        return list(page)

    def _keep_at_hand(self, frame: Frame) -> None:
        self._at_hand[frame.tenant, frame.position] = frame
        self._at_hand.move_to_end((frame.tenant, frame.position))
        while len(self._at_hand) > 1 and (
            len(self._at_hand) > AT_HAND_MAX
            or sum(len(one.cards) for one in self._at_hand.values()) > CARDS_AT_HAND_MAX
        ):
            self._at_hand.popitem(last=False)


def event_of(log: EventLog, record: Record) -> AggregateEvent:
    """The event of a record. Raises UnreadableHistory."""
    try:
        return log.decode(record)
    except UnreadableEvent as error:
        raise UnreadableHistory(
            f"The event at {record.position} cannot be read by this release."
        ) from error


def digest(frame: Frame) -> str:
    """Of all that a frame holds: equal frames have equal ones. Some 3 us a card."""
    return digest_of(encode(frame))


def part_of(frame: Frame) -> FramePart:
    """A frame as it is kept. Some 3 us a card."""
    content = encode(frame)
    return FramePart(
        tenant=frame.tenant,
        digest=digest_of(content),
        content=content,
        open_tasks=len(frame.cards),
    )


def _decoded(tenant: str, kept: KeptFrame) -> Frame | None:
    """None: the content is not what was kept."""
    if kept.content is None:
        return Frame(tenant=tenant, position=kept.holds_until)
    if digest_of(kept.content) != kept.digest:
        return None
    return decode(kept.content, tenant=tenant, position=kept.holds_until)
