"""One run of a worker: heartbeats, leases, attempts, reports, and an orderly end."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from musterroll import _retry
from musterroll._request import Request
from musterroll._routes import work
from musterroll._routes.work import AttemptRef, Grant, ReportOutcome
from musterroll._worker.attempt import Attempt, Handler
from musterroll._worker.outbox import Outbox
from musterroll._worker.vitals import Vitals, watch_loop
from musterroll.client import AsyncClient
from musterroll.errors import Unavailable
from musterroll.models import Lease

T = TypeVar("T")
log = logging.getLogger("musterroll")

POLL_SECONDS = 25
# An empty answer that came early (a draining agent's) must not turn the long poll into a storm.
EMPTY_POLL_PAUSE_SECONDS = 1.0
HEARTBEAT_SECONDS_FIRST = 5.0
# Finished work that the service has not taken yet; beyond it no more is leased.
UNDELIVERED_MAX = 1_000
# As many as a heartbeat may name.
NAMED_MAX = 1_000
FLUSH_SECONDS = 5.0
FLUSH_SECONDS_HURRIED = 1.0
ENDING_SECONDS = 6.0


class Shift:
    """Everything that happens on behalf of one agent, on one event loop."""

    def __init__(
        self,
        client: AsyncClient,
        agent_id: str,
        *,
        handlers: Mapping[str, Handler],
        slots: int,
        grace_seconds: float,
        stop: asyncio.Event,
        hurry: asyncio.Event,
    ) -> None:
        """`stop` ends the shift; `hurry` ends it without waiting for what runs."""
        self._client = client
        self._agent_id = agent_id
        self._handlers = handlers
        self._slots = slots
        self._grace_seconds = grace_seconds
        self._stop = stop
        self._hurry = hurry
        self._outbox = Outbox(self._deliver)
        self._vitals = Vitals()
        self._held: dict[AttemptRef, Attempt] = {}
        self._running: dict[asyncio.Task[None], Attempt] = {}
        self._slot_freed = asyncio.Event()
        self._heartbeat_seconds = HEARTBEAT_SECONDS_FIRST
        self._is_cut_off = False

    async def work(self) -> None:
        """Work until told to stop, then wait for what runs, and give back the rest.

        Raises Unauthorized, Forbidden, NotFound or Conflict when this agent may not work (any
        more).
        """
        leasing = _spawn(self._lease_for_ever(), "leases")
        others = [
            _spawn(self._beat_for_ever(), "heartbeats"),
            _spawn(self._outbox.run(), "reports"),
            _spawn(watch_loop(), "loop watch"),
        ]
        try:
            await _until(self._stop.wait(), leasing, *others)
            await _cancel(leasing)
            await _until(self._end(), *others)
        finally:
            for attempt in self._running.values():
                attempt.abandon()
            await _cancel(leasing, *others)
            await self._settle()

    async def _end(self) -> None:
        if self._running and not self._hurry.is_set():
            log.info("waiting up to %g s for %d tasks", self._grace_seconds, len(self._running))
            hurried = _spawn(self._hurry.wait(), "hurry")
            everything = _spawn(self._all_ended(), "running tasks")
            await asyncio.wait(
                [hurried, everything],
                timeout=self._grace_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            await _cancel(hurried, everything)
        for attempt in list(self._running.values()):
            log.info("task %s is given back", attempt.ref.task_id)
            attempt.release()
        seconds = FLUSH_SECONDS_HURRIED if self._hurry.is_set() else FLUSH_SECONDS
        try:
            await asyncio.wait_for(self._outbox.flush(), seconds)
        except TimeoutError:
            lost = len(self._outbox.undelivered)
            log.warning("the service is away: %d results are lost with this worker", lost)

    async def _all_ended(self) -> None:
        while self._running:
            await asyncio.wait(self._running)

    async def _settle(self) -> None:
        """Let cancelled handlers come to an end. Threads cannot be ended; they are left."""
        if self._running:
            await asyncio.wait(self._running, timeout=ENDING_SECONDS)
        for attempt in self._running.values():
            log.warning("the handler of task %s has not stopped", attempt.ref.task_id)
        await _cancel(*self._running)

    # Heartbeats

    async def _beat_for_ever(self) -> None:
        while True:
            await self._beat()
            await asyncio.sleep(self._heartbeat_seconds)

    async def _beat(self) -> None:
        reading, undelivered = self._vitals.read(), self._outbox.undelivered
        request = work.heartbeat(
            self._agent_id,
            cpu=reading.cpu,
            memory=reading.memory,
            queue=0,
            running=list({**self._held, **dict.fromkeys(undelivered)})[:NAMED_MAX],
        )
        try:
            orders = await self._client._run(request)
        except Unavailable as error:
            self._note(error)
            return
        self._note(None)
        self._heartbeat_seconds = max(0.1, orders.heartbeat_seconds)
        self._abandon(orders.cancel, "cancelled")
        self._abandon(orders.lost, "lost")
        self._obey(orders.state)

    def _abandon(self, named: tuple[Any, ...], why: str) -> bool:
        """Stop attempts whose results nobody wants; whether there were any."""
        known = [ref for ref in work.attempts(named) if ref in self._held]
        for ref in known:
            log.info("task %s, attempt %d, is %s: stopped", ref.task_id, ref.attempt, why)
            self._outbox.forget(ref)
            self._held.pop(ref).abandon()
        return bool(known)

    def _obey(self, state: str) -> None:
        if state == "retired":
            log.warning("this agent was retired: the worker stops")
            self._stop.set()

    # Leases

    async def _lease_for_ever(self) -> None:
        failures = 0
        while True:
            if len(self._outbox.undelivered) >= UNDELIVERED_MAX:
                await self._outbox.flush()
            free = self._slots - len(self._running)
            if free <= 0:
                self._slot_freed.clear()
                await self._slot_freed.wait()
                continue
            request = work.leases(self._agent_id, slots=free, wait_seconds=POLL_SECONDS)
            asked_at = time.monotonic()
            try:
                grant = await self._client._run(request)
            except Unavailable as error:
                failures += 1
                self._note(error)
                await asyncio.sleep(_retry.pause(failures))
                continue
            failures = 0
            came_early = time.monotonic() - asked_at < POLL_SECONDS / 2
            if not self._take(grant) and came_early:
                await asyncio.sleep(EMPTY_POLL_PAUSE_SECONDS)

    def _take(self, grant: Grant) -> bool:
        """Begin what was leased; whether the answer brought anything."""
        for lease in grant.leases:
            self._begin(lease)
        was_new = self._abandon(grant.cancel, "cancelled")
        self._obey(grant.state)
        return was_new or bool(grant.leases)

    def _begin(self, lease: Lease) -> None:
        ref = AttemptRef(lease.task_id, lease.attempt)
        if ref in self._held:
            return

        def report(members: dict[str, Any]) -> None:
            self._held.pop(ref, None)
            self._outbox.ended(ref, members)

        attempt = Attempt(
            lease, self._handlers.get(lease.kind), report=report, tell=self._teller(ref)
        )
        self._held[ref] = attempt
        self._outbox.started(ref)
        running = _spawn(attempt.run(), f"attempt {ref.task_id}")
        self._running[running] = attempt
        running.add_done_callback(self._free)

    def _teller(self, ref: AttemptRef) -> Callable[[float, str | None], None]:
        """Progress from a handler, which may be in a thread that outlives this loop."""
        loop = asyncio.get_running_loop()

        def note(fraction: float, message: str | None) -> None:
            if ref in self._held:
                self._outbox.progress(ref, fraction, message)

        def tell(fraction: float, message: str | None) -> None:
            try:
                loop.call_soon_threadsafe(note, fraction, message)
            except RuntimeError:
                log.debug("task %s goes on after its worker", ref.task_id)

        return tell

    def _free(self, running: asyncio.Task[None]) -> None:
        attempt = self._running.pop(running)
        self._held.pop(attempt.ref, None)
        self._slot_freed.set()

    # Reports

    async def _deliver(self, batch: list[bytes]) -> list[ReportOutcome]:
        """Insist, with the same Idempotency-Key, however long the service is away."""
        request: Request[list[ReportOutcome]] = work.reports(self._agent_id, batch)
        failures = 0
        while True:
            try:
                outcomes = await self._client._run(request)
            except Unavailable as error:
                failures += 1
                self._note(error)
                await asyncio.sleep(_retry.pause(failures))
            else:
                self._note(None)
                return outcomes

    def _note(self, error: Unavailable | None) -> None:
        """Say once that the service is away, and once that it is back."""
        if error is not None and not self._is_cut_off:
            log.warning("%s; results are kept, and reported when it is back", error)
        if error is None and self._is_cut_off:
            log.info("the service answers again")
        self._is_cut_off = error is not None


def _spawn(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    return asyncio.create_task(work, name=f"musterroll {name}")


async def _until(end: Coroutine[Any, Any, Any], *loops: asyncio.Task[None]) -> None:
    """Return when `end` does. Raises what a loop raises before."""
    ending = _spawn(end, "end")
    try:
        done, _ = await asyncio.wait([ending, *loops], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _cancel(ending)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
