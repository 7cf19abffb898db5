"""Live events under chance: two nodes write, wishes change, readers stop reading and go on.

What a stream was given has to be what a look at the log says that it should have been given.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest

from application.cloud_events import CloudEvents
from application.commands import Command
from application.commands.tasks import SubmitTask
from application.erasure.disclosure import CLOSED
from application.follower import SHOWN, LogFollower, Unjudged
from application.ids import uuid7
from application.live import hub as hubs
from application.live.channel import Channel
from application.live.hub import Hub
from application.live.interest import Interest, Shown, Subscription
from application.live.ports import Ending
from application.live.stream import Order, Stream
from application.ports import Json
from application.watermarks import LOG, Watermarks
from infrastructure.postgres.history import PostgresHistory
from tests.application.desk import Desk, cancel, opened, submit
from tests.conftest import Database
from tests.given import a_specification, by

STEPS = 200
READERS_MAX = 12
SETTLED_SECONDS_MAX = 20
TEAMS = ("red", "blue")

Mark = tuple[str, Any]
Given = list[tuple[int, str]]
Span = tuple[int, int]


class Places:
    """A format that writes of an event only where it stands and over what it came."""

    def event(self, shown: Shown, channel: Channel) -> bytes:
        return f"{shown.record.position} {channel};".encode()

    def position(self, cursor: str) -> bytes:
        return b""

    def volatile(self, channel: Channel, message: Mapping[str, Json]) -> bytes:
        raise AssertionError("nothing volatile is said here")


class Reader:
    """A sink, and a stream into it, whose reader reads when the test says so."""

    format = Places()
    suddenly = 0.05
    """How often it has had enough after a write."""

    def __init__(self, hub: Hub, rng: random.Random) -> None:
        self.congested = False
        self.heard: list[Mark] = []
        self.wishes = 0
        self.pressed = 0
        self.stream = Stream(hub, self, "default")
        self._rng = rng
        self._room = asyncio.Event()

    def write(self, frames: bytes) -> None:
        self.pressed += self.congested and b"tasks" in frames
        for line in frames.decode().split(";")[:-1]:
            position, _, channel = line.partition(" ")
            self.heard.append(("event", (int(position), channel)))
        if self._rng.random() < self.suddenly:
            self.pause()

    async def drained(self) -> None:
        if self.congested:
            await self._room.wait()

    @property
    def unsent(self) -> int:
        return int(self.congested)

    def close(self, ending: Ending) -> None:
        raise AssertionError(f"closed: {ending}")

    def subscribe(self, wish: Sequence[Subscription], after: int) -> None:
        async def begin() -> bool:
            self.heard.append(("begin", (after, wish)))
            return True

        def caught_up(position: int) -> None:
            self.heard.append(("caught_up", position))

        self.wishes += 1
        self.stream.subscribe(Order(wish, after, begin, caught_up))

    def pause(self) -> None:
        self.congested = True
        self._room.clear()
        self.stream.congested()

    def resume(self) -> None:
        self.congested = False
        self._room.set()

    def change(self, wish: Sequence[Subscription], after: int) -> None:
        """Do one thing or another."""
        match self._rng.choice(["wish", "pause", "resume"]):
            case "wish":
                self.subscribe(wish, after)
            case "pause":
                self.pause()
            case "resume":
                self.resume()

    def settled(self, head: int) -> bool:
        words = [word for word, _ in self.heard]
        all_begun = words.count("begin") == words.count("caught_up") == self.wishes
        return self.stream.position == head and all_begun


def test_a_stream_is_given_what_the_log_says_that_it_should_be(
    database: Database, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that others get their turn in the middle of everything.
    monkeypatch.setattr(hubs, "COHORT_MAX", 5)
    monkeypatch.setattr(hubs, "CHUNK_BYTES_MAX", 40)
    with opened(database.url) as here, opened(database.url) as there:
        watermarks, readers = here.loop.run(walk(here, there, rng))
        shown = labelled(here)

    assert watermarks == shown[-1].record.position
    assert readers
    for reader in readers:
        require_right(reader.heard, shown)
        assert not reader.pressed, "something was written to one that takes no more"


async def walk(here: Desk, there: Desk, rng: random.Random) -> tuple[int, list[Reader]]:
    """Many steps of everybody, until all have come to the end of the log."""

    async def look_up(name: str) -> int:
        return await asyncio.to_thread(here.log.head)

    watermarks = Watermarks(look_up)
    watermarks.attach(asyncio.get_running_loop())
    hub = await a_hub(here)
    feed = Unjudged(here.feed, here.log)
    follower = LogFollower(feed, watermarks, hub.show, name=SHOWN, after=0)
    following = asyncio.create_task(follower.follow())
    readers: list[Reader] = [Reader(hub, rng)]
    tasks: list[UUID] = []
    for _ in range(STEPS):
        step = rng.choice(["here", "here", "there", "join", "change", "rest"])
        if step in {"here", "there"}:
            await write(here if step == "here" else there, tasks, rng)
            if step == "here":
                watermarks.advance(LOG, await asyncio.to_thread(here.log.head))
        elif step == "rest":
            await asyncio.sleep(rng.choice([0, 0, 0.002]))
        elif step == "join" and len(readers) < READERS_MAX:
            readers.append(Reader(hub, rng))
            readers[-1].subscribe(a_wish(tasks, rng), rng.randint(0, hub.position))
        else:
            rng.choice(readers).change(a_wish(tasks, rng), rng.randint(0, hub.position))
    head = await asyncio.to_thread(here.log.head)
    watermarks.advance(LOG, head)
    await settled(hub, readers, head)
    following.cancel()
    for reader in readers:
        reader.stream.close()
    return hub.position, [reader for reader in readers if reader.wishes]


async def a_hub(desk: Desk) -> Hub:
    """Of an empty log."""
    store = await asyncio.to_thread(desk.log.store)
    cloud_events = CloudEvents(store.store_id, store.epoch)
    return Hub(PostgresHistory(desk.pool), cloud_events, position=0, disclosure=CLOSED)


async def settled(hub: Hub, readers: list[Reader], head: int) -> None:
    """Wait until everybody has come to the end of the log."""
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    while not (hub.position == head and all(r.settled(head) for r in readers if r.wishes)):
        assert time.monotonic() < deadline, [(r.stream.position, r.heard[-3:]) for r in readers]
        for reader in readers:
            reader.resume()
        await asyncio.sleep(0.01)


async def write(desk: Desk, tasks: list[UUID], rng: random.Random) -> None:
    """A request of one node."""
    commands: list[Command] = []
    for _ in range(rng.choice([1, 1, 3, 40])):
        if tasks and rng.random() < 0.3:
            commands.append(cancel(rng.choice(tasks)))
        else:
            task_id = uuid7()
            tasks.append(task_id)
            specification = a_specification(labels={"team": rng.choice(TEAMS)})
            commands.append(SubmitTask(origin=by(), task_id=task_id, specification=specification))
    await asyncio.to_thread(desk.execute_many, *commands)


def a_wish(tasks: list[UUID], rng: random.Random) -> list[Subscription]:
    """Often the same, so that it is shared; or one channel or two, with filters or without."""
    if rng.random() < 0.6:
        return [Subscription(Channel("tasks"))]
    names = [
        "tasks",
        "agents",
        *(f"tasks.{task_id}" for task_id in rng.sample(tasks, min(2, len(tasks)))),
    ]
    types = frozenset(rng.choice([[], ["task.submitted"], ["task.cancelled"]]))
    labels = frozenset(rng.choice([[], [("team", rng.choice(TEAMS))]]))
    chosen = rng.sample(names, rng.choice([1, 2]))
    return [Subscription(Channel.parse(name), types, labels) for name in chosen]


def labelled(desk: Desk) -> list[Shown]:
    """The log, each event with the labels of its task."""
    records = desk.log.read(after=0, limit=100_000)
    labels = {
        record.aggregate_id: json.loads(record.state)["labels"]
        for record in records
        if record.topic == "task.submitted"
    }
    return [Shown(record, labels[record.aggregate_id]) for record in records]


def require_right(heard: list[Mark], shown: list[Shown]) -> None:
    """Go through what a reader heard, wish by wish."""
    held: dict[Channel, Subscription] = {}
    stands: int | None = None
    events: Given = []
    place = 0
    while place < len(heard):
        word, said = heard[place]
        place += 1
        if word != "begin":
            # Live, or at the reader's own pace, between one wish and the next.
            events, place = events_from(heard, place - 1)
            assert stands is not None
            assert events == given(shown, held.values(), stands, events[-1][0])
            stands = events[-1][0]
            continue
        after, wish = said
        came, place = events_from(heard, place)
        word, seam = heard[place]
        assert word == "caught_up", word
        place += 1
        former, held = list(held.values()), held | {one.channel: one for one in wish}
        ways = ways_to(seam, after=after, stands=after if stands is None else stands)
        assert any(
            came
            == [
                *given(shown, former, *behind),
                *given(shown, wish, *history),
                *given(shown, held.values(), *both),
            ]
            for behind, history, both in ways
        ), (after, wish, came, seam)
        stands = seam
    end = shown[-1].record.position
    assert stands is not None
    assert given(shown, held.values(), stands, end) == []


def ways_to(seam: int, *, after: int, stands: int) -> Iterator[tuple[Span, Span, Span]]:
    """What may be sent between a wish and its seam: what the former wishes lack before it begins,
    its own history, and then both.

    A reader was somewhere behind the last event that it wanted, and nobody but it knows where.
    """
    yield (stands, after), (0, 0), (max(after, stands), seam)
    for at in range(max(after, stands), seam + 1):
        yield (stands, at), (after, at), (at, seam)


def test_who_joins_while_the_others_are_being_given_something_is_given_it_once(
    database: Database, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "CHUNK_BYTES_MAX", 40)
    monkeypatch.setattr(Reader, "suddenly", 0.0)

    async def story() -> tuple[list[Mark], list[Mark]]:
        hub = await a_hub(desk)
        first, second = Reader(hub, rng), Reader(hub, rng)
        first.subscribe([Subscription(Channel("tasks"))], 0)
        await settled(hub, [first], 0)
        await asyncio.to_thread(desk.execute_many, *(submit() for _ in range(40)))
        showing = asyncio.create_task(hub.show(desk.feed.read(after=0, limit=100)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert 0 < len(events_from(first.heard, 2)[0]) < 40, "it is in the middle"
        second.subscribe([Subscription(Channel("tasks"))], 0)
        await showing
        await settled(hub, [first, second], 40)
        return first.heard, second.heard

    with opened(database.url) as desk:
        was_there, came_late = desk.loop.run(story())

    everything = [("event", (position, "tasks")) for position in range(1, 41)]
    assert was_there[2:] == everything
    assert [mark for mark in came_late if mark[0] == "event"] == everything


def events_from(heard: list[Mark], place: int) -> tuple[Given, int]:
    """The events that come one after another, and where something else comes."""
    events = []
    while place < len(heard) and heard[place][0] == "event":
        events.append(heard[place][1])
        place += 1
    return events, place


def given(shown: list[Shown], wish: Iterable[Subscription], after: int, until: int) -> Given:
    """What of the log belongs to a wish."""
    interest = Interest.of("default", wish)
    found = [
        (one.record.position, interest.channel_for(one))
        for one in shown
        if after < one.record.position <= until
    ]
    return [(position, str(channel)) for position, channel in found if channel is not None]
