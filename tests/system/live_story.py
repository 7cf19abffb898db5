"""A service under load that is killed again and again, while those who watch it are cut off.

At the end everybody is asked what they saw: it has to be the log, or the part of it that they
wished to see, in order, each event once.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.system.live_watchers import (
    START,
    BareWatcher,
    LibraryWatcher,
    StreamWatcher,
    Watcher,
    Wish,
)
from tests.system.service import ServiceProcess

EVERYTHING = ("tasks", "agents", "collaborations", "system")
RED = ("colour", "red")
WISHES = (
    Wish(EVERYTHING),
    Wish(EVERYTHING, after="now"),
    Wish(("tasks", "agents")),
    Wish(("tasks",), types=("task.cancelled",)),
    Wish(("tasks",), label=RED),
    Wish(("agents",)),
)
KINDS: tuple[type[Watcher], ...] = (LibraryWatcher, BareWatcher, StreamWatcher)
AGAIN_SECONDS = 0.02
PAUSE_SECONDS = 0.004
CAUGHT_UP_SECONDS_MAX = 60
PAGE_EVENTS = 1_000
LIFE_SECONDS = 1.0, 3.0
"""How long the service lives, at least and at most, between two kills."""


@dataclass
class Outcome:
    """What happened, and what was wrong; nothing, one hopes."""

    events: int = 0
    shown: int = 0
    cuts: int = 0
    kills: int = 0
    connections: int = 0
    wrong: list[str] = field(default_factory=list)


class Story:
    """One service, its watchers, its writer, and whoever breaks things."""

    def __init__(self, service: ServiceProcess, rng: random.Random, *, watchers: int) -> None:
        self._service = service
        self._rng = rng
        self._token = ""
        self._sign_in()
        choices = itertools.cycle(itertools.product(WISHES, KINDS))
        self._watchers = [
            kind(service.url, lambda: self._token, wish)
            for wish, kind in itertools.islice(choices, watchers)
            if wish.after == START or kind is not StreamWatcher
        ]
        self._acknowledged: set[str] = set()
        self._outcome = Outcome()

    async def tell(self, *, cuts: int, kills: int) -> Outcome:
        """Break things so often, at random moments, then compare. Raises what a watcher does."""
        watching = [asyncio.create_task(one.watch()) for one in self._watchers]
        writing = asyncio.create_task(self._write())
        try:
            await asyncio.gather(self._kill(kills), self._cut(cuts, kills))
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            log = await asyncio.to_thread(log_of, self._service)
            await self._until_caught_up(log, watching)
        finally:
            for task in [*watching, writing]:
                task.cancel()
            await asyncio.gather(*watching, writing, return_exceptions=True)
        self._compare(log)
        return self._outcome

    # What happens.

    async def _write(self) -> None:
        """Commands of several kinds, each repeated under its key until it is answered."""
        async with httpx.AsyncClient(base_url=self._service.url, timeout=10) as client:
            agent = await self._command(client, "/v1/agents", name="a", capabilities=["k"])
            for number in itertools.count():
                colour = self._rng.choice(["red", "blue"])
                task = {"kind": "nobodys", "labels": {"colour": colour}}
                tasks = [task] * self._rng.choice([1, 1, 1, 2, 20])
                made = await self._command(client, "/v1/tasks/batch", tasks=tasks)
                ids = [one["task_id"] for one in made["outcomes"]]
                self._acknowledged.update(ids)
                if number % 3 == 0:
                    await self._command(client, f"/v1/tasks/{ids[0]}/cancel")
                if number % 10 == 0:
                    turn = "drain" if number % 20 else "resume"
                    await self._command(client, f"/v1/agents/{agent['agent_id']}/{turn}")
                await asyncio.sleep(PAUSE_SECONDS * self._rng.random())

    async def _command(self, client: httpx.AsyncClient, path: str, **body: Any) -> Any:
        key = f"story-{self._rng.getrandbits(64):x}"
        while True:
            with suppress(httpx.TransportError):
                bearer = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": key}
                answer = await client.post(path, json=body, headers=bearer)
                if answer.status_code not in {401, 503}:
                    return answer.raise_for_status().json()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _kill(self, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(self._rng.uniform(*LIFE_SECONDS))
            await asyncio.to_thread(self._service.kill)
            await asyncio.to_thread(self._service.start)
            await asyncio.to_thread(self._sign_in)
            self._outcome.kills += 1

    async def _cut(self, times: int, kills: int) -> None:
        """Spread over about the time that the kills take, so that both meet in every way."""
        seconds = max(1, kills) * sum(LIFE_SECONDS) / times
        while self._outcome.cuts < times:
            await asyncio.sleep(self._rng.uniform(0, 2 * seconds))
            one = self._rng.choice(self._watchers)
            if one.connected:
                one.cut(self._rng)
                self._outcome.cuts += 1

    def _sign_in(self) -> None:
        with self._service.client() as client:
            self._token = client.headers["Authorization"].removeprefix("Bearer ")

    # What came of it.

    async def _until_caught_up(
        self, log: Sequence[Mapping[str, Any]], watching: Sequence[asyncio.Task[None]]
    ) -> None:
        """Raises what ended a watcher; those who do not come so far are found when compared."""
        head = int(log[-1]["id"].partition(":")[2])
        deadline = time.monotonic() + CAUGHT_UP_SECONDS_MAX
        while any(one.position < head for one in self._watchers):
            for task in watching:
                if task.done():
                    task.result()
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(0.05)

    def _compare(self, log: Sequence[Mapping[str, Any]]) -> None:
        labels = {
            event["subject"]: event["data"]["labels"]
            for event in log
            if event["type"] == "task.submitted"
        }
        outcome = self._outcome
        outcome.events = len(log)
        lost = self._acknowledged - {subject.removeprefix("task/") for subject in labels}
        if lost:
            outcome.wrong.append(f"acknowledged, and not in the log: {sorted(lost)}")
        for one in self._watchers:
            begins = 0 if one.wish.after == START else position_of(one.began or "1:0")
            wanted = [
                event["id"]
                for event in log
                if position_of(event["id"]) > begins and one.wish.wants(event, labels)
            ]
            outcome.shown += len(one.ids)
            outcome.connections += one.connections
            if one.ids != wanted:
                outcome.wrong.append(f"{type(one).__name__} {one.wish}: {told(one.ids, wanted)}")


def log_of(service: ServiceProcess, after: str | None = None) -> list[dict[str, Any]]:
    """All events behind a cursor, by default from the start, but for what tells who read them."""
    events: list[dict[str, Any]] = []
    with service.client() as client:
        while True:
            asked = {"limit": str(PAGE_EVENTS)} | ({"after": after} if after else {})
            page = client.get("/v1/events", params=asked).raise_for_status().json()
            events += [one for one in page["items"] if not one["type"].startswith("audit.")]
            if not page["items"]:
                return events
            after = page["next_cursor"]


def position_of(cursor: str) -> int:
    """Where an event stands in the log."""
    return int(cursor.partition(":")[2])


def told(got: Sequence[str], wanted: Sequence[str]) -> str:
    """How what somebody saw differs from what they should have seen."""
    missing, surplus = sorted(set(wanted) - set(got)), sorted(set(got) - set(wanted))
    doubled = len(got) - len(set(got))
    ordered = "in order" if list(got) == sorted(got, key=position_of) else "out of order"
    words = f"{len(got)} of {len(wanted)} events, {ordered}, {doubled} doubled"
    return f"{words}, missing {missing[:5]} ({len(missing)}), surplus {surplus[:5]}"
