"""The hub: shows every event to every stream that wants it, and encodes it once."""

import asyncio
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, cast
from uuid import UUID
from weakref import WeakSet

import structlog

from application.cloud_events import CloudEvents
from application.cursor import Cursor
from application.erasure.disclosure import Disclosure
from application.live.channel import Channel
from application.live.interest import LABELLING, Interest, Shown
from application.live.listeners import Listeners
from application.live.ports import Format, History, Sink
from application.ports import Page, Record
from application.tail import Tail

COHORT_MAX = 512
"""How many connections are written to in a row, before others get their turn on the loop."""
CHUNK_BYTES_MAX = 128 * 1024
CHUNKS_MAX = 4
PIECE_EVENTS = 2_000
PIECES_MAX = 32
"""How many pieces of the way are kept for others who stand at the same place."""
POSITION_SECONDS = 5.0
"""How long the cursor of a quiet stream may stand still while the log moves."""
LOOK_SECONDS = 1.0
RECENT_MAX = 5_000
RECENT_BYTES_MAX = 16 * 2**20
LABELS_MAX = 50_000
DESERTED_SECONDS = 60.0
"""After the last stream went, so long is the newest part of the log kept for those who come back.
Then, as before the first came, nothing is done with it: a tenth of the writer's time otherwise."""

log = structlog.get_logger("hub")

Write = Callable[[bytes], None]
Labelled = dict[UUID, dict[str, str] | None]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames to be written at once, perhaps none, and the position that they lead up to."""

    frames: bytes
    position: int


@dataclass(slots=True)
class Piece:
    """What follows on a place, as far as it was asked for: of how many events it was made, and the
    chunks that came of it, the last of which can still grow."""

    position: int
    events: int = 0
    chunks: list[Chunk] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether the next piece begins behind it."""
        return self.events >= PIECE_EVENTS or len(self.chunks) >= CHUNKS_MAX

    def add(self, chunks: Sequence[Chunk], events: int) -> None:
        """Go on, with those that are made of so many further events."""
        first, *others = chunks
        # Others may be in the midst of the former list.
        former = self.chunks
        if former and len(former[-1].frames) + len(first.frames) <= CHUNK_BYTES_MAX:
            first = Chunk(former[-1].frames + first.frames, first.position)
            former = former[:-1]
        self.chunks = [*former, first, *others]
        self.position = self.chunks[-1].position
        self.events += events


class Member(Protocol):
    """A stream that is live."""

    def congested(self) -> None:
        """Leave, and go on alone."""

    def fail(self) -> None:
        """Leave, and end: it is not known what was sent."""


class Cohort:
    """Live streams with one format, interest and position. What one is written, all are."""

    def __init__(self, form: Format, interest: Interest, position: int, now: float) -> None:
        self.format = form
        self.interest = interest
        self.position = position
        self.written_at = now
        self.told = position
        self.writes: dict[Member, Write] = {}

    def give(self, chunk: Chunk, now: float) -> None:
        """One write for each. Whoever cannot take it leaves meanwhile, at the chunk's end."""
        self.position = chunk.position
        if chunk.frames:
            self.told, self.written_at = chunk.position, now
            for member, write in list(self.writes.items()):
                try:
                    write(chunk.frames)
                except Exception:  # the runner: one that is broken must not cost the others theirs
                    log.exception("write_failed")
                    member.fail()


class Hub:
    """Follows the log for all streams of this process. Belongs to the event loop.

    `position` is where it stands: every stream that is live has been given everything up to there,
    or is about to be, by a cohort that has not come so far yet.
    """

    def __init__(
        self,
        history: History,
        cloud_events: CloudEvents,
        *,
        position: int,
        disclosure: Disclosure,
    ) -> None:
        self.position = position
        self._disclosure = disclosure
        self._history = history
        self._cloud_events = cloud_events
        self._recent: Tail[Shown] = Tail(
            Shown.size, items_max=RECENT_MAX, bytes_max=RECENT_BYTES_MAX, after=position
        )
        self._cohorts: dict[tuple[Format, Interest], list[Cohort]] = defaultdict(list)
        self._pieces: OrderedDict[tuple[Format, Interest, int], Piece] = OrderedDict()
        self._labels: OrderedDict[UUID, dict[str, str]] = OrderedDict()
        self._labels_wanted: Counter[str] = Counter()
        self._written = 0
        self._streams: WeakSet[Member] = WeakSet()
        self._deserted_at = -DESERTED_SECONDS
        self.listeners = Listeners()

    def enter(self, stream: Member) -> None:
        """A stream is there from now on, live or not yet."""
        self._streams.add(stream)

    def depart(self, stream: Member) -> None:
        """It is there no longer."""
        self._streams.discard(stream)
        self._deserted_at = _now()

    async def show(self, page: Page) -> None:
        """Take in what comes next in the log, and give it to all who are live."""
        if not self._streams and _now() - self._deserted_at >= DESERTED_SECONDS:
            self.position = page[-1][0].position
            self._recent.begin(self.position)
            # What they say may change unseen.
            self._labels.clear()
            return
        shown = await self._shown([record for record, _ in page])
        labels = self._labels_along(shown, page)
        await self._look_up_labels([one for one in shown if self._labels_wanted[one.record.tenant]])
        for one in shown:
            if one.labels is not None or one.record.aggregate_id in labels:
                labels[one.record.aggregate_id] = one.labels
        self._remember(labels)
        # From here to the first cohort nothing waits: who joins now joins at the new position.
        self._recent.extend([one.record.position for one in shown], shown)
        former, self.position = self.position, page[-1][0].position
        aggregate_ids = {record.aggregate_id for record, _ in page}
        for cohort in [cohort for cohorts in self._cohorts.values() for cohort in cohorts]:
            if cohort.position == former and not cohort.interest.may_want(aggregate_ids):
                cohort.position = self.position
            elif cohort.position < self.position:
                await self._bring_up_or_dissolve(cohort)

    async def tell_positions(self) -> None:
        """For ever: move the cursors of those who saw nothing of what happened."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = _now()
            for cohorts in list(self._cohorts.values()):
                for cohort in cohorts:
                    quiet = now - cohort.written_at >= POSITION_SECONDS - LOOK_SECONDS
                    if quiet and cohort.told < cohort.position:
                        cursor = self.cursor(cohort.position)
                        cohort.give(Chunk(cohort.format.position(cursor), cohort.position), now)

    def cursor(self, position: int) -> str:
        """The text of a position."""
        return str(Cursor(self._cloud_events.epoch, position))

    def chunks(self, form: Format, interest: Interest, *, after: int) -> list[Chunk] | None:
        """What follows on a position, from memory, a piece of the way to the hub's own.

        None when it is not there. Those who stand at the same place are given the same.
        """
        key = form, interest, after
        piece = self._pieces.pop(key, None) or Piece(after)
        if not piece.whole and (piece.position < self.position or not piece.chunks):
            room = PIECE_EVENTS - piece.events
            recent = self._recent.after(piece.position, room)
            if recent is None:
                return None
            if interest.needs_labels and _some_unknown(recent, interest.tenant):
                return None
            up_to = recent[-1].record.position if len(recent) == room else self.position
            more = self.chunks_of(form, recent, interest.channel_for, up_to=up_to)
            piece.add(list(islice(more, CHUNKS_MAX)), len(recent))
        # The ones that were asked for last are kept.
        self._pieces[key] = piece
        if len(self._pieces) > PIECES_MAX:
            self._pieces.popitem(last=False)
        return piece.chunks

    def chunks_of(
        self,
        form: Format,
        page: Sequence[Shown],
        channel_for: Callable[[Shown], Channel | None],
        *,
        up_to: int,
    ) -> Iterator[Chunk]:
        """The frames of those that come over a channel, in order, in chunks that can be written.

        The last one leads up to `up_to`. What is not taken is not encoded.
        """
        frames: list[bytes] = []
        size = position = 0
        for shown in page:
            channel = channel_for(shown)
            if channel is None:
                continue
            if size >= CHUNK_BYTES_MAX:
                yield Chunk(b"".join(frames), position)
                frames, size = [], 0
            frame = self._frame(form, shown, channel)
            frames.append(frame)
            size += len(frame)
            position = shown.record.position
        yield Chunk(b"".join(frames), up_to)

    async def history(
        self, interest: Interest, *, after: int, until: int
    ) -> tuple[list[Shown], int]:
        """A page of the log itself, and how far it leads. Raises DatabaseUnavailable."""
        records, looked_up_to = await self._history.read(interest, after=after, until=until)
        page = await self._shown(records)
        if interest.needs_labels:
            await self._look_up_labels(page)
        return page, looked_up_to

    def forget(self, subject_id: UUID) -> None:
        """Forget what was shown in clear of a subject: it was erased."""
        self._pieces.clear()
        for shown in self._recent.after(self._recent.begins_after) or ():
            if shown.key is not None and shown.key.subject_id == subject_id:
                shown.cloud_event = b""
                shown.frames.clear()

    def join(self, stream: Member, sink: Sink, interest: Interest) -> Cohort:
        """Make a stream live that was given everything up to the hub's position."""
        cohorts = self._cohorts[sink.format, interest]
        for cohort in cohorts:
            if cohort.position == self.position and len(cohort.writes) < COHORT_MAX:
                break
        else:
            cohort = Cohort(sink.format, interest, self.position, _now())
            cohorts.append(cohort)
        cohort.writes[stream] = sink.write
        return cohort

    def leave(self, stream: Member, cohort: Cohort) -> int:
        """Take a stream out of the live ones; the position up to which it was given everything."""
        del cohort.writes[stream]
        if not cohort.writes:
            key = cohort.format, cohort.interest
            self._cohorts[key].remove(cohort)
            if not self._cohorts[key]:
                del self._cohorts[key]
        return cohort.position

    def want_labels(self, tenant: str, count: int) -> None:
        """So many more (or fewer) streams of a tenant filter by labels."""
        self._labels_wanted[tenant] += count
        if not self._labels_wanted[tenant]:
            del self._labels_wanted[tenant]

    async def _bring_up_or_dissolve(self, cohort: Cohort) -> None:
        try:
            await self._bring_up(cohort)
        except Exception:  # the runner: what cannot be encoded for some is no matter of the others
            log.exception("cohort_failed")
            for member in list(cohort.writes):
                member.congested()

    async def _bring_up(self, cohort: Cohort) -> None:
        while cohort.position < self.position and cohort.writes:
            chunks = self.chunks(cohort.format, cohort.interest, after=cohort.position)
            assert chunks is not None, "what was just taken in is in memory"
            for chunk in chunks:
                cohort.give(chunk, _now())
                self._written += len(cohort.writes) if chunk.frames else 0
                # What was given is sent in between, and who cannot take it leaves.
                if self._written >= COHORT_MAX or len(chunks) > 1:
                    self._written = 0
                    await asyncio.sleep(0)

    def _frame(self, form: Format, shown: Shown, channel: Channel) -> bytes:
        frame = shown.frames.get((form, channel))
        if frame is None:
            if not shown.cloud_event:
                record, key = shown.record, shown.key
                as_shown = self._disclosure.opened(record, key) if key else record
                shown.cloud_event = self._cloud_events.encode(as_shown)
                shown.cursor = self.cursor(shown.record.position)
            frame = shown.frames[form, channel] = form.event(shown, channel)
        return frame

    async def _shown(self, records: Sequence[Record]) -> list[Shown]:
        """Records on their way, with what opens them once somebody wants them. Raises
        DatabaseUnavailable."""
        keys = await self._disclosure.keys(records)
        return [Shown(record, key=keys.get(record.position)) for record in records]

    def _labels_along(self, shown: Sequence[Shown], page: Page) -> Labelled:
        """Tell each event the labels that its aggregate has by then, where that is known; returns
        those that the page itself changes, None for those that it makes unknown."""
        changed: Labelled = {}
        for one, (record, event) in zip(shown, page, strict=True):
            aggregate_id = record.aggregate_id
            if event is None:
                changed[aggregate_id] = None
            elif record.topic in LABELLING:
                changed[aggregate_id] = cast("Any", event).labels
            one.labels = changed.get(aggregate_id, self._labels.get(aggregate_id))
        return changed

    def _remember(self, labels: Labelled) -> None:
        for aggregate_id, known in labels.items():
            self._labels.pop(aggregate_id, None)
            if known is not None:
                self._labels[aggregate_id] = known
        while len(self._labels) > LABELS_MAX:
            self._labels.popitem(last=False)

    async def _look_up_labels(self, page: Iterable[Shown]) -> None:
        unknown = {(s.record.aggregate_id, s.record.version): s for s in page if s.labels is None}
        if unknown:
            found = await self._history.labels(list(unknown))
            for place, shown in unknown.items():
                shown.labels = found.get(place, {})


def _some_unknown(page: Iterable[Shown], tenant: str) -> bool:
    return any(shown.labels is None and shown.record.tenant == tenant for shown in page)


def _now() -> float:
    return asyncio.get_running_loop().time()
