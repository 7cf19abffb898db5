"""Figures of a tenant, for whoever listens to `metrics`: each second, unless that costs much."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict

from application.cursor import Cursor
from application.duties import cancelled
from application.live.channel import Channel
from application.live.listeners import Listeners
from application.ports import Clock, Json
from application.queries import ReadModels
from application.watermarks import LOG, Watermarks
from domain.errors import DatabaseUnavailable
from domain.task_shape import TaskStatus

INTERVAL_SECONDS = 1.0
TIME_SHARE_MAX = 0.05
"""How much of the time is spent on asking, for all tenants together: a count of a million tasks
takes some tenths of a second, and so is made every few seconds."""
METRICS = Channel("metrics")


class TenantFigures:
    """Asks for the figures of those tenants that somebody listens to. Belongs to the event loop."""

    def __init__(
        self,
        models: ReadModels,
        watermarks: Watermarks,
        clock: Clock,
        *,
        epoch: int,
        read_models: Sequence[str],
        leading: Callable[[], bool],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._watermarks = watermarks
        self._clock = clock
        self._epoch = epoch
        self._read_models = read_models
        self._leading = leading
        self._timer = timer
        self._pace = LogPace(watermarks.position(LOG), timer)
        self._due: dict[str, float] = {}

    async def publish(self, listeners: Listeners) -> None:
        """Tell them for ever, each tenant's at most once a second and nobody's to nobody."""
        while not cancelled():
            await asyncio.sleep(INTERVAL_SECONDS)
            self._pace.look(self._watermarks.position(LOG))
            tenants = listeners.tenants(METRICS.family)
            self._due = {tenant: self._due.get(tenant, 0.0) for tenant in tenants}
            for tenant in [one for one, due in self._due.items() if due <= self._timer()]:
                await self._publish_of(tenant, listeners)

    async def of(self, tenant: str) -> dict[str, Json]:
        """The figures now: `{"at", "cursor", "tasks", "agents", "log", "read_models", "leading"}`.

        `tasks` counts every status, `agents` is a Fleet; they are no older than the cursor. `log`
        is that of all tenants: `{"position", "events_per_second"}`. `read_models` tells how many
        events each is behind it. Raises DatabaseUnavailable.
        """
        leading = self._leading()
        checkpoints = {name: await self._checkpoint(name, leading) for name in self._read_models}
        counts = await self._models.task_counts(tenant)
        fleet = await self._models.fleet(tenant)
        head = self._watermarks.position(LOG)
        return {
            "at": self._clock(),
            "cursor": str(Cursor(self._epoch, min(checkpoints.values()))),
            "tasks": {str(status): counts.get(status, 0) for status in TaskStatus},
            "agents": asdict(fleet),
            "log": {"position": head, "events_per_second": self._pace.events_per_second},
            "read_models": {name: max(head - place, 0) for name, place in checkpoints.items()},
            "leading": leading,
        }

    async def _publish_of(self, tenant: str, listeners: Listeners) -> None:
        began = self._timer()
        # What is not known is not told; a question that failed may have taken long as well.
        with suppress(DatabaseUnavailable):
            listeners.tell(tenant, METRICS, await self.of(tenant))
        now = self._timer()
        pause = (now - began) * len(self._due) / TIME_SHARE_MAX
        self._due[tenant] = now + pause if pause > INTERVAL_SECONDS else 0.0

    async def _checkpoint(self, name: str, leading: bool) -> int:
        # Where another process projects, nobody tells this one.
        if leading:
            return self._watermarks.position(name)
        return await self._models.checkpoint(name)


class LogPace:
    """How fast the log grows, between the two latest looks at it."""

    def __init__(self, position: int, timer: Callable[[], float]) -> None:
        self.events_per_second = 0.0
        self._timer = timer
        self._position, self._at = position, timer()

    def look(self, position: int) -> None:
        """The log has come to a position by now."""
        now = self._timer()
        if now > self._at:
            self.events_per_second = round((position - self._position) / (now - self._at), 1)
        self._position, self._at = position, now
