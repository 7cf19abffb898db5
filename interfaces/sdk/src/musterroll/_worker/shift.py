"""One run of a worker: heartbeats, leases, attempts, reports, and an orderly end."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from musterroll import _retry
from musterroll._request import Request
from musterroll._routes import work
from musterroll._routes.work import AttemptRef, Grant, ReportOutcome
from musterroll._worker.attempt import Attempt
from musterroll._worker.handlers import Handler, Handlers
from musterroll._worker.outbox import Outbox
from musterroll._worker.outlet import Outlet
from musterroll._worker.vitals import Vitals, watch_loop
from musterroll.client import AsyncClient
from musterroll.errors import Unavailable
from musterroll.task import Task

T = TypeVar("T")
log = logging.getLogger("musterroll")

POLL_SECONDS = 25
# An empty answer that came early (a draining agent's) must not turn the long poll into a storm.
EMPTY_POLL_PAUSE_SECONDS = 1.0
HEARTBEAT_SECONDS_FIRST = 5.0
# Tasks that end one by one, a moment apart, are followed by one request for leases, not by many.
GATHER_SECONDS = 0.002
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
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._agent_id = agent_id
        self._handlers = Handlers(handlers)
        self._slots = slots
        self._grace_seconds = grace_seconds
        self._stop = stop
        self._hurry = hurry
        self._outbox = Outbox(self._deliver)
        self._outlet = Outlet(self._deliver_output)
        self._vitals = Vitals()
        self._held: dict[AttemptRef, Attempt] = {}
        self._running: set[Attempt] = set()
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
            _spawn(self._outlet.run(), "output"),
            _spawn(watch_loop(), "loop watch"),
        ]
        try:
            await _until(self._stop.wait(), leasing, *others)
            await _cancel(leasing)
            await _until(self._end(), *others)
        finally:
            for attempt in list(self._running):
                attempt.abandon()
            await _cancel(leasing, *others)
            await self._settle()
            self._handlers.close()

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
        for attempt in list(self._running):
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
            self._slot_freed.clear()
            await self._slot_freed.wait()

    async def _settle(self) -> None:
        """Let cancelled handlers come to an end. Threads cannot be ended; they are left."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._all_ended(), ENDING_SECONDS)
        for attempt in self._running:
            log.warning("the handler of task %s has not stopped", attempt.ref.task_id)

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
            await self._outbox.room()
            free = await self._free_slots()
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

    async def _free_slots(self) -> int:
        """Wait until a slot is free; a worker that was busy waits a moment for more of them."""
        if len(self._running) >= self._slots:
            while len(self._running) >= self._slots:
                self._slot_freed.clear()
                await self._slot_freed.wait()
            if self._slots - len(self._running) < self._slots // 4:
                await asyncio.sleep(GATHER_SECONDS)
        return self._slots - len(self._running)

    def _take(self, grant: Grant) -> bool:
        """Begin what was leased; whether the answer brought anything."""
        for task in grant.tasks:
            self._begin(task)
        was_new = self._abandon(grant.cancel, "cancelled")
        self._obey(grant.state)
        return was_new or bool(grant.tasks)

    def _begin(self, task: Task) -> None:
        attempt = Attempt(task, self)
        if attempt.ref in self._held:
            return
        task._tell = self._tell
        task._write = self._write
        self._held[attempt.ref] = attempt
        self._running.add(attempt)
        self._outbox.started(attempt.ref)
        attempt.begin(self._handlers)

    # What attempts tell

    def report(self, attempt: Attempt, members: dict[str, Any]) -> None:
        self._held.pop(attempt.ref, None)
        self._outbox.ended(attempt.ref, members)

    def freed(self, attempt: Attempt) -> None:
        self._running.discard(attempt)
        self._held.pop(attempt.ref, None)
        self._slot_freed.set()

    def _tell(self, task: Task, fraction: float, message: str | None) -> None:
        """Take progress from a handler, which may be in a thread that outlives this loop."""
        ref = AttemptRef(task.id, task.attempt)
        try:
            self._loop.call_soon_threadsafe(self._note_progress, ref, fraction, message)
        except RuntimeError:
            log.debug("task %s goes on after its worker", ref.task_id)

    def _note_progress(self, ref: AttemptRef, fraction: float, message: str | None) -> None:
        if ref in self._held:
            self._outbox.progress(ref, fraction, message)

    def _write(self, task: Task, text: str) -> None:
        """Take output from a handler, which may be in a thread."""
        if not task.cancelled:
            self._outlet.write(AttemptRef(task.id, task.attempt), text)

    async def _deliver_output(self, batch: list[bytes]) -> None:
        await self._client._run(work.output(self._agent_id, batch))

    # Reports

    async def _deliver(self, batch: list[bytes]) -> list[ReportOutcome]:
        """Insist, with the same Idempotency-Key, however long the service is away.

        What the tasks wrote goes before: after its end nobody listens to a task.
        """
        await self._outlet.flush()
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
            log.warning("%s Results are kept, and reported when it is back.", error)
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
