"""The replays of this process: opened, found, removed, and forgotten when nobody listens."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from application.cloud_events import CloudEvents
from application.erasure.disclosure import Disclosure
from application.ids import uuid7
from application.live.listeners import Listeners
from application.live.ports import History
from application.moments import Moment, Moments
from application.replays.replay import Replay
from application.replays.score import Score
from application.stretch import stretch_of
from domain.errors import AggregateNotFound, Conflict

REPLAYS_OF_TENANT_MAX = 20
REPLAYS_MAX = 100
POSITIONS_MAX = 1_000_000
"""How long a stretch of the log may be, whatever of it belongs to whom."""
ABANDONED_SECONDS = 600.0
"""How long a replay is kept that nobody listens to."""


class TooManyReplays(Conflict):
    """The tenant, or all tenants together, have as many as can be."""

    code = "too_many_replays"

    def __init__(self) -> None:
        super().__init__(
            f"There may be {REPLAYS_OF_TENANT_MAX} replays of a tenant and {REPLAYS_MAX} of all; "
            "remove one."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be played: from one moment to another (None: to the end of the log) at a speed,
    idle time beyond `gap_seconds_max` (None: none of it) passed over."""

    begin: Moment
    end: Moment | None
    speed: float
    gap_seconds_max: float | None


class Replays:
    """Opens replays and plays them, in tasks of the event loop."""

    def __init__(
        self,
        moments: Moments,
        history: History,
        listeners: Listeners,
        cloud_events: CloudEvents,
        disclosure: Disclosure,
    ) -> None:
        self._moments = moments
        self._history = history
        self._listeners = listeners
        self._cloud_events = cloud_events
        self._disclosure = disclosure
        self._open: dict[UUID, Replay] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def open(self, tenant: str, wanted: Wanted, *, newest: int | None = None) -> Replay:
        """A new replay, which begins when somebody listens. Without an end it ends at `newest`.

        Raises TooManyReplays, and what `stretch_of` raises.
        """
        stretch = await stretch_of(
            self._moments, wanted.begin, wanted.end, newest=newest, positions_max=POSITIONS_MAX
        )
        begin = await self._moments.at(await self._moments.position(wanted.begin))
        score = Score(
            replay_id=uuid7(),
            tenant=tenant,
            stretch=stretch,
            begin=begin,
            end=await self._moments.at(stretch.until),
            gap_seconds_max=wanted.gap_seconds_max,
        )
        of_tenant = sum(one.score.tenant == tenant for one in self._open.values())
        if of_tenant >= REPLAYS_OF_TENANT_MAX or len(self._open) >= REPLAYS_MAX:
            raise TooManyReplays
        replay = Replay(
            score,
            wanted.speed,
            history=self._history,
            listeners=self._listeners,
            cloud_events=self._cloud_events,
            disclosure=self._disclosure,
        )
        self._open[score.replay_id] = replay
        self._tasks[score.replay_id] = asyncio.create_task(self._keep(replay))
        return replay

    def find(self, tenant: str, replay_id: UUID) -> Replay:
        """Raises AggregateNotFound, for another tenant's and another process's too."""
        replay = self._open.get(replay_id)
        if replay is None or replay.score.tenant != tenant:
            raise AggregateNotFound("replay", replay_id)
        return replay

    def tenant_of(self, replay_id: UUID) -> str | None:
        """Whose it is; None where there is none."""
        replay = self._open.get(replay_id)
        return replay.score.tenant if replay else None

    async def remove(self, tenant: str, replay_id: UUID) -> None:
        """Whoever listens is told. Raises AggregateNotFound."""
        self.find(tenant, replay_id).close("removed")
        await self._end(replay_id)

    async def stop(self) -> None:
        """End them all."""
        for replay_id in list(self._tasks):
            await self._end(replay_id)

    async def _end(self, replay_id: UUID) -> None:
        task = self._tasks.get(replay_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _keep(self, replay: Replay) -> None:
        playing = asyncio.create_task(replay.run())
        try:
            await replay.until_abandoned(ABANDONED_SECONDS)
            replay.close("abandoned")
        finally:
            playing.cancel()
            await asyncio.wait([playing])
            replay.forget()
            del self._open[replay.score.replay_id], self._tasks[replay.score.replay_id]
