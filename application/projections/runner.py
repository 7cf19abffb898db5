"""Runs projections: pages of events in, rows and checkpoint out, on a thread of their own."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import structlog

from application.feed import Feed
from application.ports import (
    CheckpointMoved,
    Page,
    ReadModelPage,
    ReadModelStore,
    Record,
    UnreadableEvent,
)
from application.projections import Projection
from domain.errors import DatabaseUnavailable

PAGE_EVENTS = 10_000
POLL_SECONDS = 1.0
"""Another node's commits are found at least this often, hint or no hint."""
GATHER_SECONDS_MAX = 0.1
GATHER_SECONDS_PER_EVENT = 0.005
"""After a page, so long is gathered for the next, unless somebody waits for it: a transaction for
each commit would cost more than the commit, and a task that is done within a page is written once.
Below 200 events a second nothing is gathered that anybody would notice."""
ROWS_AT_HAND_MAX = 5_000
"""Without inputs and results; the store need not be asked for what was written just now."""
AWAY_PAUSE_SECONDS = 0.2

log = structlog.get_logger("projection")


class Projector:
    """Folds the log into one read model. Catching up, following and rebuilding are the same code.

    `changed` is told the keys of the rows of each page, once they are committed.
    """

    def __init__(
        self,
        feed: Feed,
        projection: Projection[Any, Any],
        store: ReadModelStore[Any, Any],
        *,
        changed: Callable[[Iterable[Any]], None] = lambda _: None,
    ) -> None:
        self.projection = projection
        self._changed = changed
        self._feed = feed
        self._store = store
        self._checkpoint: int | None = None
        self._at_hand: OrderedDict[Any, Any] = OrderedDict()

    def catch_up(
        self, *, up_to: int | None = None, advanced: Callable[[int], None] = lambda _: None
    ) -> int:
        """Fold what stands in the log, all of it or up to a position; the position it came to.

        Calls `advanced` with each new checkpoint. Raises DatabaseUnavailable and Unprojectable.
        """
        checkpoint = self._begin(advanced)
        while up_to is None or checkpoint < up_to:
            page = self._read(after=checkpoint)
            if not page:
                break
            try:
                checkpoint = self._fold(page, after=checkpoint)
            except CheckpointMoved:
                # Another process wrote rows meanwhile; what is at hand was dropped with the page.
                checkpoint = self._store.checkpoint()
            except Unprojectable as error:
                # Everything before it is shown: the model stands where the position says.
                sound = [entry for entry in page if entry[0].position < error.position]
                if sound:
                    with suppress(CheckpointMoved):
                        advanced(self._fold(sound, after=checkpoint))
                raise
            self._checkpoint = checkpoint
            advanced(checkpoint)
        return checkpoint

    def rebuild(self) -> None:
        """Fold the whole log anew beside the live model, then put it in its place.

        Raises DatabaseUnavailable and Unprojectable; the live model is then as it was.
        """
        twin = self._store.clear_rebuild()
        Projector(self._feed, self.projection, twin).catch_up()
        while not self._store.adopt_rebuild():
            Projector(self._feed, self.projection, twin).catch_up()

    def _begin(self, advanced: Callable[[int], None]) -> int:
        if self._checkpoint is None:
            self._checkpoint = self._store.checkpoint()
            advanced(self._checkpoint)
        return self._checkpoint

    def _read(self, *, after: int) -> Page:
        try:
            return self._feed.read(after=after, limit=PAGE_EVENTS)
        except UnreadableEvent as error:
            raise Unprojectable(self.projection.name, error.position or after) from error

    def _fold(self, page: Page, *, after: int) -> int:
        concerned = self._concerned(page)
        position = page[-1][0].position
        new: dict[Any, Any] = {}
        changed: dict[Any, Any] = {}
        try:
            with self._store.turn(after=after, to=position) as turn:
                rows = self._rows_of(concerned, turn)
                for key, record, event in concerned:
                    row = self._evolve(new.get(key) or rows.get(key), record, event)
                    if row is not None:
                        (changed if key in rows else new)[key] = row
                turn.put(list(new.values()), list(changed.values()))
        except BaseException:
            # The rows at hand were changed in place, and that was not committed.
            self._at_hand.clear()
            raise
        self._keep_at_hand({**new, **changed})
        self._changed([*new, *changed])
        return position

    def _rows_of(
        self, concerned: Sequence[tuple[Any, Record, Any]], turn: ReadModelPage[Any, Any]
    ) -> dict[Any, Any]:
        """The rows as they stand before a page, from memory or from the store."""
        rows, wanted = {}, []
        for key, event in {key: event for key, _, event in reversed(concerned)}.items():
            if key in self._at_hand:
                rows[key] = self._at_hand[key]
            elif not self.projection.begins(event):
                wanted.append(key)
        return {**rows, **turn.load(wanted)} if wanted else rows

    def _keep_at_hand(self, rows: dict[Any, Any]) -> None:
        for key, row in rows.items():
            self._at_hand.pop(key, None)
            if self.projection.is_open(row):
                self._at_hand[key] = row
        while len(self._at_hand) > ROWS_AT_HAND_MAX:
            self._at_hand.popitem(last=False)

    def _concerned(self, page: Page) -> list[tuple[Any, Record, Any]]:
        key_of = self.projection.key
        keyed = [(key_of(record, event), record, event) for record, event in page]
        return [one for one in keyed if one[0] is not None]

    def _evolve(self, row: Any, record: Record, event: Any) -> Any:
        try:
            return self.projection.evolve(row, record, event)
        except Exception as error:
            raise Unprojectable(self.projection.name, record.position) from error


class Unprojectable(Exception):
    """An event could not be projected. It is not skipped: the model stops there, and says so."""

    def __init__(self, name: str, position: int) -> None:
        super().__init__(f"{name} stops before position {position}")
        self.position = position


class Followed:
    """A read model that is kept up with the log, until it meets an event it cannot show.

    `stopped_before` is the position of that event, None as long as all is well.
    """

    def __init__(self, projector: Projector) -> None:
        self.name = projector.projection.name
        self.projector = projector
        self.stopped_before: int | None = None


class ProjectionThread:
    """Keeps read models up with the log until it is stopped.

    One thread for all of them: each has its own checkpoint and transactions, but threads of their
    own would only wait for one another and for the interpreter's lock.
    """

    def __init__(self, models: Sequence[Followed], *, advanced: Callable[[str, int], None]) -> None:
        self.models = models
        self._advanced = advanced
        self._head = self._reached = 0
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="projections", daemon=True)

    def start(self) -> None:
        """Begin to follow the log."""
        self._thread.start()

    def stop(self) -> None:
        """End after the page under way."""
        self._stopping = True
        self._wake.set()
        self._hurry.set()
        self._thread.join()

    def wake(self, head: int) -> None:
        """Something was committed, and the log has come that far at least."""
        # What another process committed may be heard of before one's own commit that came before.
        self._head = max(self._head, head)
        self._wake.set()

    def hurry(self) -> None:
        """Somebody waits: gather no longer."""
        self._hurry.set()

    def _run(self) -> None:
        told = False
        while not self._stopping:
            self._wake.clear()
            self._hurry.clear()
            head = self._head if told else None
            before = self._reached
            try:
                for model in self.models:
                    self._follow(model, head)
            except DatabaseUnavailable:
                self._hurry.wait(AWAY_PAUSE_SECONDS)
                told = False
                continue
            events = self._reached - before
            self._hurry.wait(min(GATHER_SECONDS_MAX, events * GATHER_SECONDS_PER_EVENT))
            told = self._wake.wait(POLL_SECONDS)

    def _tell(self, name: str, position: int) -> None:
        self._reached = max(self._reached, position)
        self._advanced(name, position)

    def _follow(self, model: Followed, head: int | None) -> None:
        if model.stopped_before is not None or self._stopping:
            return
        try:
            model.projector.catch_up(
                up_to=head, advanced=lambda position: self._tell(model.name, position)
            )
        except DatabaseUnavailable:
            raise
        except Exception as error:
            model.stopped_before = error.position if isinstance(error, Unprojectable) else 0
            log.critical(
                "read_model_stopped", model=model.name, before=model.stopped_before, exc_info=error
            )
