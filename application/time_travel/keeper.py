"""Keeps frames now and then, so that no moment is far from one, and proves that they are right."""

import asyncio
import time

import structlog

from application.time_travel.frames import TAIL_MAX, Frames, part_of
from application.time_travel.ports import FramePart, FrameStore
from application.watermarks import Watermarks

EVENTS_APART = 10_000
"""Between two frames: the events behind the nearest are folded in some 0.3 s, on average in half of
that (scripts/benchmarks/jobs/frames.py)."""
EVENTS_PER_TASK = 0.25
"""A frame of very many open tasks is worth more events: else frames would outgrow the log."""
EVENTS_APART_MAX = int(0.8 * TAIL_MAX)
GAP_MAX = 2
"""Wider than so many times what it should be, it is filled: the log is older than its frames, or it
grew faster than they were taken."""
LOOK_SECONDS = 5.0
NOT_YET_SECONDS = 0.05
"""The read models stand at one position between two pages only."""
EFFORT_MAX = 0.05
"""At most this share of the time is spent, however fast the log grows: filling and proving read
the log a second time, and what others do goes first."""
PAUSE_SECONDS_MIN = 0.2
MODELS = ("task_board", "agent_roster")

log = structlog.get_logger("frames")


class FrameKeeper:
    """Work of the leader."""

    def __init__(self, frames: Frames, store: FrameStore, watermarks: Watermarks) -> None:
        self._frames = frames
        self._store = store
        self._watermarks = watermarks
        self._apart = EVENTS_APART
        self._taken_last = False

    @property
    def unequal(self) -> int:
        """At so many positions, what is folded differs from what the live read models were, or what
        was kept from what stands there; it should be none."""
        return len(self._frames.unequal)

    async def run(self) -> None:
        """For ever. Raises DatabaseUnavailable, UnreadableHistory."""
        await asyncio.to_thread(self._store.forget_other_forms)
        self._frames.unequal.update(await asyncio.to_thread(self._store.unequal))
        while True:
            last = await asyncio.to_thread(self._store.last)
            began = time.monotonic()
            if await self.step(last):
                took = time.monotonic() - began
                await asyncio.sleep(max(took * (1 / EFFORT_MAX - 1), PAUSE_SECONDS_MIN))
            elif self._come_to() >= last + self._apart:
                await asyncio.sleep(NOT_YET_SECONDS)
            else:
                await self._watermarks.reached(
                    MODELS[0], last + self._apart, timeout_seconds=LOOK_SECONDS
                )

    async def step(self, last: int) -> bool:
        """A piece of work; False when there is none, or none that can be done now. Taking what is
        due and what is left to fill and prove take turns, so that neither waits for ever.

        Raises DatabaseUnavailable, UnreadableHistory.
        """
        wished = int(EVENTS_PER_TASK * await asyncio.to_thread(self._store.size))
        self._apart = max(EVENTS_APART, min(wished, EVENTS_APART_MAX))
        due = self._come_to() >= last + self._apart
        if not due or self._taken_last:
            self._taken_last = False
            if await self.fill() or await self.prove():
                return True
        self._taken_last = due and await asyncio.to_thread(self._store.take, after=last) is not None
        return self._taken_last

    async def fill(self) -> bool:
        """Fold the frames that are missing in the first gap that is too wide, if there is one."""
        former = await asyncio.to_thread(self._store.gap, GAP_MAX * self._apart)
        if former is None:
            return False
        position = former + self._apart
        tenants = await asyncio.to_thread(self._store.tenants, after=former, until=position)
        parts = await self._folded(tenants, former, position)
        await asyncio.to_thread(self._store.keep, position, parts)
        return True

    async def prove(self) -> bool:
        """Fold what was taken of the live read models, and compare; False: all is compared.

        What differs is told loudly and stays on record; what was folded takes its place.
        """
        neighbours = await asyncio.to_thread(self._store.unproven)
        if neighbours is None:
            return False
        former, position = neighbours
        # Frames that were filled in between may hold what was taken here of a tenant.
        live = await asyncio.to_thread(self._store.digests, position)
        tenants = await asyncio.to_thread(self._store.tenants, after=former, until=position)
        parts = await self._folded(sorted({*tenants, *live}), former, position)
        folded = {part.tenant: part.digest for part in parts}
        if folded == live:
            await asyncio.to_thread(self._store.prove, position)
            return True
        self._frames.unequal.add(position)
        differing = [of for of in folded | live if folded.get(of) != live.get(of)]
        log.error("frame_differs_from_read_models", position=position, tenants=differing[:20])
        await asyncio.to_thread(self._store.refute, position, parts)
        self._frames.forget()
        return True

    async def _folded(self, tenants: list[str], former: int, position: int) -> list[FramePart]:
        parts, lane = [], self._frames.lane
        for tenant in tenants:
            async with lane.turn(patient=True):
                made = await self._frames.make(tenant, position, kept_before=former, aside=True)
                parts.append(await lane.run(part_of, made.frame))
        return parts

    def _come_to(self) -> int:
        return min(map(self._watermarks.position, MODELS))
