"""Keeps the read models up with the log, and makes them anew on request."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from application.projections.runner import Followed, ProjectionThread, Projector, Unprojectable
from domain.errors import AlreadyRebuilding, DatabaseUnavailable, OnStandby, ReadModelNotFound

log = structlog.get_logger("upkeep")


class ReadModelUpkeep:
    """The projections of one process; they run while it leads."""

    def __init__(
        self, projectors: Sequence[Projector], *, advanced: Callable[[str, int], None]
    ) -> None:
        self._models = {projector.projection.name: Followed(projector) for projector in projectors}
        self._thread: ProjectionThread | None = None
        self._advanced = advanced
        self._rebuilding: dict[str, asyncio.Task[None]] = {}

    @property
    def names(self) -> list[str]:
        """The read models there are."""
        return list(self._models)

    @property
    def followed(self) -> list[Followed]:
        """The read models that this process keeps up with the log: all of them or, on standby,
        none."""
        return list(self._models.values()) if self._thread else []

    def start(self) -> None:
        """Follow the log."""
        for model in self._models.values():
            model.stopped_before = None
        self._thread = ProjectionThread(list(self._models.values()), advanced=self._advanced)
        self._thread.start()

    def stop(self) -> None:
        """End after the page under way."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def wake(self, head: int) -> None:
        """Something was committed, and the log ends there now. From any thread."""
        if self._thread is not None:
            self._thread.wake(head)

    def hurry(self, name: str) -> None:
        """Somebody waits for a read model. From any thread."""
        if self._thread is not None and name in self._models:
            self._thread.hurry()

    def rebuild(self, name: str) -> None:
        """Begin to fold a read model anew beside the live one, to take its place when it is done.

        Raises ReadModelNotFound, AlreadyRebuilding, OnStandby.
        """
        if name not in self._models:
            raise ReadModelNotFound(name)
        if self._thread is None:
            raise OnStandby("Another process projects at the moment.")
        if name in self._rebuilding:
            raise AlreadyRebuilding(name)
        task = asyncio.create_task(self._rebuild(self._models[name]))
        self._rebuilding[name] = task
        task.add_done_callback(lambda _: self._rebuilding.pop(name))

    async def _rebuild(self, model: Followed) -> None:
        try:
            await asyncio.to_thread(model.projector.rebuild)
        except (DatabaseUnavailable, Unprojectable):
            log.exception("rebuild_failed", model=model.name)
            return
        log.info("rebuilt", model=model.name)
        # One that had stopped before an event it could not project goes on from here.
        model.stopped_before = None
        self.hurry(model.name)
