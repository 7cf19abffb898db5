"""Streams in tight places: congested at the wrong moment, asked where they stand, told to stop."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from uuid import UUID

import pytest

from application.cloud_events import CloudEvents
from application.commands import Command
from application.commands.agents import ChangeAgent, DrainAgent, RegisterAgent, ResumeAgent
from application.erasure.disclosure import CLOSED
from application.ids import uuid7
from application.live import hub as hubs
from application.live.channel import Channel
from application.live.hub import Hub
from application.live.interest import Interest, Shown, Subscription
from application.live.ports import Ending
from application.ports import Json, Page
from domain.errors import DatabaseUnavailable
from infrastructure.postgres.history import PostgresHistory
from tests.application.desk import Desk, opened, submit
from tests.application.test_live_random_walk import Mark, Places, Reader, a_hub, settled
from tests.conftest import Database
from tests.given import by

TASKS = [Subscription(Channel("tasks"))]
OUTPUT = Channel("output", UUID(int=1))
FEW = 3


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "CHUNK_BYTES_MAX", 40)


class Speaking(Places):
    """It writes what is said, too."""

    def volatile(self, channel: Channel, message: Mapping[str, Json]) -> bytes:
        return b"0 said;"


class Small(Reader):
    """Takes a few frames at a time, and then nothing until it is told to."""

    format = Speaking()
    suddenly = 0.0
    room_for = FEW

    def write(self, frames: bytes) -> None:
        super().write(frames)
        self.room_for -= frames.count(b";")
        if self.room_for <= 0 and not self.congested:
            self.pause()

    def resume(self) -> None:
        self.room_for = FEW
        super().resume()


def said(attempt: int = 1) -> dict[str, Json]:
    return {"attempt": attempt, "text": "x", "dropped": 0}


def positions(heard: Sequence[Mark]) -> list[int]:
    return [mark[1][0] for mark in heard if mark[0] == "event" and mark[1][1] != "said"]


def registered(agent_id: UUID, **labels: str) -> RegisterAgent:
    return RegisterAgent(
        origin=by(), agent_id=agent_id, name="a", capabilities=("x",), slots=1, labels=labels
    )


async def written(desk: Desk, count: int) -> Page:
    """So many new tasks, as the hub gets them."""
    head = await asyncio.to_thread(desk.log.head)
    await asyncio.to_thread(desk.execute_many, *(submit() for _ in range(count)))
    return desk.feed.read(after=head, limit=1_000)


def test_a_stream_does_not_go_live_with_more_unsent_than_may_be(
    database: Database, rng: random.Random
) -> None:
    """What was not heard while it was congested can congest it again."""

    async def story() -> Small:
        hub = await a_hub(desk)
        reader = Small(hub, rng)
        reader.room_for = 1_000
        reader.subscribe(TASKS, 0)
        await settled(hub, [reader], 0)
        reader.pause()
        reader.room_for = 0
        await hub.show(await written(desk, 5))
        for channel in (OUTPUT, Channel("output", UUID(int=2))):
            reader.stream.hear(channel, said(), {})
        for _ in range(20):
            reader.room_for = 1
            Reader.resume(reader)
            await asyncio.sleep(0.002)
            reader.stream.hear(OUTPUT, said(), {})
            await hub.show(await written(desk, 1))
        reader.room_for = 1_000
        while reader.stream.position < hub.position:
            Reader.resume(reader)
            await asyncio.sleep(0.002)
        reader.stream.close()
        return reader

    with opened(database.url) as desk:
        reader = desk.loop.run(story())

    assert positions(reader.heard) == list(range(1, 26))
    assert not reader.pressed


def test_where_a_stream_stands_is_never_beyond_what_it_was_given(
    database: Database, rng: random.Random
) -> None:
    """Who resumes after that place misses nothing, whenever they asked."""

    async def story() -> list[tuple[int, int]]:
        hub = await a_hub(desk)
        await hub.show(await written(desk, 30))
        reader = Small(hub, rng)
        reader.subscribe(TASKS, 0)
        reader.subscribe([Subscription(Channel("agents"))], 5)
        stands = []
        while positions(reader.heard)[-1:] != [30]:
            stands.append((reader.stream.position, max([0, *positions(reader.heard)])))
            reader.resume()
            await asyncio.sleep(0)
        reader.stream.close()
        return stands

    with opened(database.url) as desk:
        stands = desk.loop.run(story())

    assert stands[0] == (0, 0)
    assert all(place <= given for place, given in stands)


def test_nothing_comes_of_what_was_dropped_while_its_history_was_being_sent(
    database: Database, rng: random.Random
) -> None:
    async def story() -> tuple[int, int]:
        hub = await a_hub(desk)
        await hub.show(await written(desk, 50))
        reader = Small(hub, rng)
        reader.subscribe([Subscription(Channel("agents"))], 50)
        await settled(hub, [reader], 50)
        reader.subscribe(TASKS, 0)
        for _ in range(1_000):
            if positions(reader.heard):
                break
            await asyncio.sleep(0.001)
        reader.stream.unsubscribe({Channel("tasks")})
        before = len(positions(reader.heard))
        for _ in range(50):
            reader.resume()
            await asyncio.sleep(0.001)
        reader.stream.close()
        return before, len(positions(reader.heard))

    with opened(database.url) as desk:
        before, after = desk.loop.run(story())

    assert 0 < before == after < 50


def test_who_is_behind_and_asks_for_more_from_now_on_is_not_given_all_at_once(
    database: Database, rng: random.Random
) -> None:
    async def story() -> int:
        hub = await a_hub(desk)
        reader = Small(hub, rng)
        reader.subscribe(TASKS, 0)
        await settled(hub, [reader], 0)
        reader.pause()
        await hub.show(await written(desk, 200))
        reader.subscribe([Subscription(Channel("agents"))], 200)
        for _ in range(200):
            reader.resume()
            await asyncio.sleep(0.001)
        reader.stream.close()
        return reader.pressed

    with opened(database.url) as desk:
        pressed = desk.loop.run(story())

    assert pressed == 0


class Broken(Reader):
    """Whatever is written to it fails, once it is live."""

    broken = False

    def write(self, frames: bytes) -> None:
        if self.broken:
            raise ValueError("It is broken.")
        super().write(frames)

    def close(self, ending: Ending) -> None:
        self.heard.append(("closed", ending))


def test_what_fails_for_one_keeps_nothing_from_the_others(
    database: Database, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reader, "suddenly", 0.0)

    async def story() -> tuple[list[Mark], list[Mark]]:
        hub = await a_hub(desk)
        broken, sound = Broken(hub, rng), Reader(hub, rng)
        broken.subscribe(TASKS, 0)
        await settled(hub, [broken], 0)
        sound.subscribe([*TASKS, Subscription(Channel("agents"))], 0)
        await settled(hub, [sound], 0)
        broken.broken = True
        await hub.show(await written(desk, 3))
        await settled(hub, [sound], 3)
        for reader in (broken, sound):
            reader.stream.close()
        return broken.heard, sound.heard

    with opened(database.url) as desk:
        broken, sound = desk.loop.run(story())

    assert positions(sound) == [1, 2, 3]
    assert broken[-1] == ("closed", Ending.FAILED)


class OnceAway(PostgresHistory):
    """The database is away when it is asked for labels for the first time."""

    away = True

    async def labels(
        self, of: Sequence[tuple[UUID, int]]
    ) -> dict[tuple[UUID, int], dict[str, str]]:
        if self.away:
            self.away = False
            raise DatabaseUnavailable("It is away.")
        return await super().labels(of)


def test_an_outage_in_the_middle_of_a_page_gives_no_event_the_labels_of_a_later_one(
    database: Database, rng: random.Random
) -> None:
    agent_id = uuid7()

    async def story() -> list[Mark]:
        store = await asyncio.to_thread(desk.log.store)
        await asyncio.to_thread(desk.execute, registered(agent_id, team="blue"))
        hub = Hub(
            OnceAway(desk.pool),
            CloudEvents(store.store_id, store.epoch),
            position=1,
            disclosure=CLOSED,
        )
        reader = Reader(hub, rng)
        wish = Subscription(Channel("agents"), labels=frozenset({("team", "red")}))
        reader.subscribe([wish], 1)
        await settled(hub, [reader], 1)
        drained = DrainAgent(origin=by(), agent_id=agent_id)
        reddened = ChangeAgent(origin=by(), agent_id=agent_id, labels={"team": "red"})
        await asyncio.to_thread(desk.execute_many, drained, reddened)
        page = desk.feed.read(after=1, limit=10)
        with pytest.raises(DatabaseUnavailable):
            await hub.show(page)
        await hub.show(page)
        await settled(hub, [reader], 3)
        reader.stream.close()
        return reader.heard

    with opened(database.url) as desk:
        heard = desk.loop.run(story())

    assert positions(heard) == [3]


def test_labels_are_looked_up_once_and_then_known(database: Database, rng: random.Random) -> None:
    class Counting(PostgresHistory):
        asked = 0

        async def labels(
            self, of: Sequence[tuple[UUID, int]]
        ) -> dict[tuple[UUID, int], dict[str, str]]:
            self.asked += len(of)
            return await super().labels(of)

    agent_id = uuid7()

    async def story() -> tuple[int, list[Mark]]:
        store = await asyncio.to_thread(desk.log.store)
        await asyncio.to_thread(desk.execute, registered(agent_id, team="blue"))
        history = Counting(desk.pool)
        hub = Hub(history, CloudEvents(store.store_id, store.epoch), position=1, disclosure=CLOSED)
        reader = Reader(hub, rng)
        reader.subscribe([Subscription(Channel("agents"), labels=frozenset({("team", "blue")}))], 1)
        await settled(hub, [reader], 1)
        for standing in (DrainAgent, ResumeAgent) * 3:
            head = hub.position
            await asyncio.to_thread(desk.execute, standing(origin=by(), agent_id=agent_id))
            await hub.show(desk.feed.read(after=head, limit=10))
        await settled(hub, [reader], 7)
        reader.stream.close()
        return history.asked, reader.heard

    with opened(database.url) as desk:
        asked, heard = desk.loop.run(story())

    assert asked == 1
    assert positions(heard) == [2, 3, 4, 5, 6, 7]


FORM, INTEREST = Speaking(), Interest.of("default", TASKS)


def followed(hub: Hub, after: int) -> list[int]:
    """Where the events stand that who stands there is given, piece by piece."""
    frames, place = b"", after
    while place < hub.position:
        chunks = hub.chunks(FORM, INTEREST, after=place)
        assert chunks, "what was shown is in memory"
        assert place < chunks[-1].position <= hub.position
        place = chunks[-1].position
        frames += b"".join(chunk.frames for chunk in chunks)
    return [int(frame.split()[0]) for frame in frames.split(b";")[:-1]]


@pytest.mark.parametrize("piece_events", [1, 7, 1_000])
def test_those_who_stand_at_one_place_are_given_what_follows_however_often_it_grew(
    database: Database, rng: random.Random, monkeypatch: pytest.MonkeyPatch, piece_events: int
) -> None:
    monkeypatch.setattr(hubs, "PIECE_EVENTS", piece_events)
    monkeypatch.setattr(hubs, "PIECES_MAX", 3)

    async def story() -> None:
        hub = await a_hub(desk)
        somebody = Reader(hub, rng)
        for _ in range(12):
            await hub.show(await written(desk, rng.randrange(1, 4)))
            for after in (0, rng.randrange(hub.position), 0):
                assert followed(hub, after) == list(range(after + 1, hub.position + 1))
        somebody.stream.close()

    with opened(database.url) as desk:
        desk.loop.run(story())


def test_what_comes_while_thousands_return_is_looked_at_once_for_all_of_them(
    database: Database, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each who returns is an event of the trail itself, which those behind have to pass."""
    looked_at: list[int] = []
    channel_for = Interest.channel_for

    def counted(self: Interest, shown: Shown) -> Channel | None:
        looked_at.append(shown.record.position)
        return channel_for(self, shown)

    monkeypatch.setattr(Interest, "channel_for", counted)
    monkeypatch.setattr(hubs, "CHUNK_BYTES_MAX", 1_000)

    async def story() -> None:
        hub = await a_hub(desk)
        somebody = Reader(hub, rng)
        for _ in range(5):
            await hub.show(await written(desk, 2))
            for _ in range(3):
                followed(hub, 0)
        somebody.stream.close()

    with opened(database.url) as desk:
        desk.loop.run(story())

    assert looked_at == list(range(1, 11))


def test_the_newest_events_are_kept_for_those_who_left_just_now_and_not_for_nobody(
    database: Database, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        hub = await a_hub(desk)
        await hub.show(await written(desk, 3))
        assert hub.chunks(FORM, INTEREST, after=0) is None, "nobody has ever come"

        reader = Reader(hub, rng)
        await hub.show(await written(desk, 3))
        reader.stream.close()
        await hub.show(await written(desk, 3))
        assert followed(hub, 3) == [4, 5, 6, 7, 8, 9], "whoever left may come back"

        monkeypatch.setattr(hubs, "DESERTED_SECONDS", 0.0)
        await hub.show(await written(desk, 3))
        assert hub.position == 12
        assert hub.chunks(FORM, INTEREST, after=9) is None, "nobody came back"

    with opened(database.url) as desk:
        desk.loop.run(story())


def test_labels_that_changed_while_nobody_was_there_are_not_taken_for_the_present_ones(
    database: Database, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an agent of a team; when everybody goes, and it changes teams, and somebody comes; then
    what it does from then on is of its new team."""
    monkeypatch.setattr(hubs, "DESERTED_SECONDS", 0.0)
    agent_id = uuid7()

    async def happens(hub: Hub, command: Command) -> None:
        head = hub.position
        await asyncio.to_thread(desk.execute, command)
        await hub.show(desk.feed.read(after=head, limit=10))

    async def seen(hub: Hub, team: str, *commands: Command) -> list[int]:
        reader = Reader(hub, rng)
        wish = Subscription(Channel("agents"), labels=frozenset({("team", team)}))
        reader.subscribe([wish], hub.position)
        for command in commands:
            await happens(hub, command)
        await settled(hub, [reader], hub.position)
        reader.stream.close()
        return positions(reader.heard)

    async def story() -> None:
        hub = await a_hub(desk)
        drain = DrainAgent(origin=by(), agent_id=agent_id)
        resume = ResumeAgent(origin=by(), agent_id=agent_id)
        assert await seen(hub, "red", registered(agent_id, team="red"), drain) == [1, 2]
        await happens(hub, ChangeAgent(origin=by(), agent_id=agent_id, labels={"team": "blue"}))
        assert await seen(hub, "blue", resume, drain) == [4, 5]

    with opened(database.url) as desk:
        desk.loop.run(story())
