"""A replay: a stretch of the log, played to whoever listens to its channel."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any, cast

import orjson
import structlog

from application.cloud_events import CloudEvents
from application.cursor import Cursor
from application.duties import cancelled
from application.erasure.disclosure import Disclosure
from application.erasure.keyring import SubjectKey
from application.live.interest import Interest
from application.live.listeners import Listeners, Reader
from application.live.ports import History
from application.live.room import Stalled
from application.ports import Record
from application.replays.clock import PlayClock
from application.replays.score import Score
from domain.errors import Conflict, DatabaseUnavailable

READERS_WAITED_FOR_SECONDS = 30.0
"""For one event. Whoever has no room for it by then is sent away."""
EVENTS_IN_A_ROW = 50
"""Shown before others get a turn of the event loop."""
AWAY_PAUSE_SECONDS = 0.2

log = structlog.get_logger("replay")


class ReplayState(StrEnum):
    """`waiting`: it would play, but nobody listens."""

    WAITING = "waiting"
    PLAYING = "playing"
    PAUSED = "paused"
    ENDED = "ended"


class ReplayEnded(Conflict):
    """Everything was played: open another one to see it again."""

    code = "replay_ended"

    def __init__(self) -> None:
        super().__init__("Everything was played; another replay shows it again.")


class Replay:
    """Plays while somebody listens; the clock stands still while nobody does, or while a listener
    has no room. So whoever is there from the beginning gets every event. Belongs to the event loop.
    """

    def __init__(
        self,
        score: Score,
        speed: float,
        *,
        history: History,
        listeners: Listeners,
        cloud_events: CloudEvents,
        disclosure: Disclosure,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.score = score
        self.played = 0
        self.position = score.stretch.after
        self.ended = False
        self._history = history
        self._listeners = listeners
        self._cloud_events = cloud_events
        self._disclosure = disclosure
        self._clock = PlayClock(speed, timer)
        self._paused = False
        self._steps = 0
        self._told: set[Reader] = set()
        self._ending: dict[str, Any] = {}
        self._changed = asyncio.Event()
        listeners.watch(score.tenant, score.channel, self._changed.set)

    @property
    def state(self) -> ReplayState:
        """In a word."""
        if self.ended:
            return ReplayState.ENDED
        if self._paused:
            return ReplayState.PAUSED
        return ReplayState.PLAYING if self._heard else ReplayState.WAITING

    @property
    def speed(self) -> float:
        """Recorded seconds in a second."""
        return self._clock.speed

    @property
    def cursor(self) -> Cursor:
        """Everything up to here was played."""
        return Cursor(self._cloud_events.epoch, self.position)

    # What its listeners may ask of it. Each raises ReplayEnded.

    def pause(self) -> None:
        """Show nothing more, until it is to play or to step."""
        self._change(paused=True)

    def play(self) -> None:
        """Go on from where it stands."""
        self._change(paused=False)

    def step(self, events: int) -> None:
        """Pause, but for so many events, which come at once."""
        self._change(paused=True, steps=events)

    def change_speed(self, speed: float) -> None:
        """From here on."""
        self._change(paused=self._paused, steps=self._steps)
        self._clock.change_speed(speed)

    async def run(self) -> None:
        """Play all of it. Ends when it is played, or cannot be."""
        reason = "played"
        try:
            await self._play()
        except Exception:  # the runner: whoever listens has to hear of it
            log.exception("replay_failed", replay_id=str(self.score.replay_id))
            reason = "failed"
        self.close(reason)

    def close(self, reason: str) -> None:
        """Say that nothing more comes, and why: `played`, `failed`, `removed` or `abandoned`."""
        if not self.ended:
            self.ended = True
            self._ending = {"kind": "end", "reason": reason, "played": self.played}
            self._tell(self._ending)

    async def until_abandoned(self, seconds: float) -> None:
        """Wait until nobody has listened for so long; once it has ended, until nobody came."""
        came = asyncio.Event()
        self._listeners.watch(self.score.tenant, self.score.channel, came.set)
        try:
            while True:
                came.clear()
                if self.ended:
                    self._greet()
                async with asyncio.timeout(None if self._heard and not self.ended else seconds):
                    await came.wait()
        except TimeoutError:
            return
        finally:
            self._listeners.unwatch(self.score.tenant, self.score.channel, came.set)

    def forget(self) -> None:
        """It is played no longer."""
        self._listeners.unwatch(self.score.tenant, self.score.channel, self._changed.set)

    def _change(self, *, paused: bool, steps: int = 0) -> None:
        if self.ended:
            raise ReplayEnded
        self._paused, self._steps = paused, steps
        self._changed.set()

    @property
    def _heard(self) -> bool:
        return self._listeners.heard(self.score.tenant, self.score.channel)

    async def _play(self) -> None:
        began = None
        async for record, key in self._records():
            began = began or record.recorded_at
            moment = (record.recorded_at - began).total_seconds()
            ready = False
            while not ready:
                await self._due(moment)
                # It may have been paused while it waited for its readers.
                ready = await self._room() and (not self._paused or self._steps > 0)
            self._show(record, key)
            if self.played % EVENTS_IN_A_ROW == 0:
                await asyncio.sleep(0)
        while not self._heard:
            await self._wait(None)
        await self._room()

    async def _due(self, moment: float) -> None:
        """Wait until the event of that moment may be shown."""
        gap_max = self.score.gap_seconds_max
        while True:
            self._changed.clear()
            self._greet()
            if self._heard and self._steps:
                self._clock.put_forward(moment)
                return
            if self._heard and not self._paused:
                self._clock.run()
            else:
                self._clock.stand()
            if gap_max is not None:
                self._clock.put_forward(moment - gap_max)
            seconds = self._clock.seconds_until(moment)
            if seconds is not None and seconds <= 0:
                return
            await self._wait(seconds)

    async def _wait(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    async def _room(self) -> bool:
        """Wait until all who listen have room, and send those away who make the others wait long.

        Whether anybody listens then. Nothing is awaited after the last look, so that nobody comes
        unseen.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + READERS_WAITED_FOR_SECONDS
        while waited_for := [one for one in self._readers if not one.has_room]:
            self._clock.stand()
            for listener in waited_for:
                try:
                    async with asyncio.timeout_at(ends_at):
                        await listener.room()
                except (TimeoutError, Stalled):
                    listener.send_away()
        self._greet()
        return self._heard

    def _show(self, record: Record, key: SubjectKey | None) -> None:
        self._steps = max(self._steps - 1, 0)
        self.played += 1
        self.position = record.position
        # Only now is it opened: its subject may have been erased while it waited.
        shown = record if key is None else self._disclosure.opened(record, key)
        event = orjson.Fragment(self._cloud_events.encode(shown))
        at = record.recorded_at
        self._tell({"kind": "event", "number": self.played, "at": at, "event": event})

    def _greet(self) -> None:
        """Tell whoever is new what is played, before they get anything of it."""
        listening = set(self._readers)
        for listener in listening - self._told:
            listener.hear(self.score.channel, self._beginning(), {})
            if self.ended:
                listener.hear(self.score.channel, self._ending, {})
        self._told = listening

    def _beginning(self) -> dict[str, Any]:
        return {
            "kind": "begin",
            "replay_id": self.score.replay_id,
            "from": self.score.begin.members(),
            "to": self.score.end.members(),
            "speed": self.speed,
            "played": self.played,
        }

    def _tell(self, message: dict[str, Any]) -> None:
        self._listeners.tell(self.score.tenant, self.score.channel, message)

    @property
    def _readers(self) -> list[Reader]:
        # Streams alone listen to replays.
        listening = self._listeners.of(self.score.tenant, self.score.channel)
        return cast("list[Reader]", listening)

    async def _records(self) -> AsyncIterator[tuple[Record, SubjectKey | None]]:
        """All of them with what opens them, page by page, through outages of the database."""
        interest = Interest.in_everything(self.score.tenant)
        after, until = self.score.stretch.after, self.score.stretch.until
        while after < until:
            try:
                page, looked_up_to = await self._history.read(interest, after=after, until=until)
                keys = await self._disclosure.keys(page)
            except DatabaseUnavailable as error:
                if cancelled():
                    raise asyncio.CancelledError from error
                await asyncio.sleep(AWAY_PAUSE_SECONDS)
                continue
            after = looked_up_to
            for record in page:
                yield record, keys.get(record.position)
