"""Runs a projection: pages of events in, rows and checkpoint out, on a thread of its own."""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import structlog

from application.ports import CheckpointMoved, EventLog, ReadModelStore, Record, UnreadableEvent
from application.projections import Projection
from domain.errors import DatabaseUnavailable

PAGE_EVENTS = 2_000
POLL_SECONDS = 1.0
"""Another node's commits are found at least this often, hint or no hint."""
AWAY_PAUSE_SECONDS = 0.2

log = structlog.get_logger("projection")


class Projector:
    """Folds the log into one read model. Catching up, following and rebuilding are the same code.

    `changed` is told the keys of the rows of each page, once they are committed.
    """

    def __init__(
        self,
        event_log: EventLog,
        projection: Projection[Any, Any],
        store: ReadModelStore[Any, Any],
        *,
        changed: Callable[[Iterable[Any]], None] = lambda _: None,
    ) -> None:
        self.projection = projection
        self._changed = changed
        self._log = event_log
        self._store = store

    def catch_up(self, *, advanced: Callable[[int], None] = lambda _: None) -> int:
        """Fold everything that stands in the log; the position it came to.

        Calls `advanced` with each new checkpoint. Raises DatabaseUnavailable and Unprojectable.
        """
        checkpoint = self._store.checkpoint()
        advanced(checkpoint)
        while page := self._log.read(after=checkpoint, limit=PAGE_EVENTS):
            try:
                checkpoint = self._fold(page, after=checkpoint)
            except CheckpointMoved:
                checkpoint = self._store.checkpoint()
            except Unprojectable as error:
                # Everything before it is shown: the model stands where the position says.
                sound = [record for record in page if record.position < error.position]
                if sound:
                    with suppress(CheckpointMoved):
                        advanced(self._fold(sound, after=checkpoint))
                raise
            advanced(checkpoint)
        return checkpoint

    def rebuild(self) -> None:
        """Fold the whole log anew beside the live model, then put it in its place.

        Raises DatabaseUnavailable and Unprojectable; the live model is then as it was.
        """
        twin = self._store.clear_rebuild()
        Projector(self._log, self.projection, twin).catch_up()
        while not self._store.adopt_rebuild():
            Projector(self._log, self.projection, twin).catch_up()

    def _fold(self, page: list[Record], *, after: int) -> int:
        concerned = self._concerned(page)
        position = page[-1].position
        with self._store.turn(after=after, to=position) as turn:
            rows = turn.load({key for key, _, _ in concerned}) if concerned else {}
            changed = {}
            for key, record, event in concerned:
                row = self._evolve(rows.get(key), record, event)
                if row is not None:
                    rows[key] = changed[key] = row
            if changed:
                turn.put(list(changed.values()))
        self._changed(changed)
        return position

    def _concerned(self, page: list[Record]) -> list[tuple[Any, Record, Any]]:
        concerned = []
        for record in page:
            try:
                event = self._log.decode(record)
                key = self.projection.key(record, event)
            except UnreadableEvent as error:
                raise Unprojectable(self.projection.name, record.position) from error
            if key is not None:
                concerned.append((key, record, event))
        return concerned

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


class ProjectionThread:
    """Keeps one read model up with the log until it is stopped."""

    def __init__(self, projector: Projector, *, advanced: Callable[[str, int], None]) -> None:
        self.name = projector.projection.name
        self.stopped_before: int | None = None
        self._projector = projector
        self._advanced = advanced
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def start(self) -> None:
        """Begin to follow the log."""
        self._thread.start()

    def stop(self) -> None:
        """End after the page under way."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """Something was committed."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._projector.catch_up(advanced=lambda p: self._advanced(self.name, p))
            except DatabaseUnavailable:
                self._stopping.wait(AWAY_PAUSE_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001 - the runner: nothing may pass unseen
                self._give_up(error)
                return
            self._wake.wait(POLL_SECONDS)

    def _give_up(self, error: Exception) -> None:
        self.stopped_before = error.position if isinstance(error, Unprojectable) else 0
        log.critical(
            "read_model_stopped", model=self.name, before=self.stopped_before, exc_info=error
        )
