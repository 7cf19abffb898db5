"""Keeps the read models up with the log, and makes them anew on request."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from application.projections.runner import ProjectionThread, Projector, Unprojectable
from domain.errors import AlreadyRebuilding, DatabaseUnavailable, OnStandby, ReadModelNotFound

log = structlog.get_logger("upkeep")


class ReadModelUpkeep:
    """The projections of one process; they run while it leads."""

    def __init__(
        self, projectors: Sequence[Projector], *, advanced: Callable[[str, int], None]
    ) -> None:
        self.threads: list[ProjectionThread] = []
        self._projectors = {projector.projection.name: projector for projector in projectors}
        self._advanced = advanced
        self._rebuilding: dict[str, asyncio.Task[None]] = {}

    @property
    def names(self) -> list[str]:
        """The read models there are."""
        return list(self._projectors)

    def start(self) -> None:
        """Follow the log, each on a thread of its own."""
        self.threads = [self._follow(projector) for projector in self._projectors.values()]

    def stop(self) -> None:
        """End after the pages under way."""
        threads, self.threads = self.threads, []
        for thread in threads:
            thread.stop()

    def wake(self) -> None:
        """Something was committed. From any thread."""
        for thread in self.threads:
            thread.wake()

    def rebuild(self, name: str) -> None:
        """Begin to fold a read model anew beside the live one, to take its place when it is done.

        Raises ReadModelNotFound, AlreadyRebuilding, OnStandby.
        """
        if name not in self._projectors:
            raise ReadModelNotFound(name)
        if not self.threads:
            raise OnStandby("Another process projects at the moment.")
        if name in self._rebuilding:
            raise AlreadyRebuilding(name)
        task = asyncio.create_task(self._rebuild(self._projectors[name]))
        self._rebuilding[name] = task
        task.add_done_callback(lambda _: self._rebuilding.pop(name))

    async def _rebuild(self, projector: Projector) -> None:
        name = projector.projection.name
        try:
            await asyncio.to_thread(projector.rebuild)
        except (DatabaseUnavailable, Unprojectable):
            log.exception("rebuild_failed", model=name)
            return
        log.info("rebuilt", model=name)
        # A model that had stopped before an event it could not project goes on from here.
        for place, thread in enumerate(self.threads):
            if thread.name == name and thread.stopped_before is not None:
                self.threads[place] = self._follow(projector)

    def _follow(self, projector: Projector) -> ProjectionThread:
        thread = ProjectionThread(projector, advanced=self._advanced)
        thread.start()
        return thread
