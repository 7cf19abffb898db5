"""Read models are the log, folded: the same rows on every way to the same position."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from application.commands.tasks import SubmitTask
from application.control_plane import ControlPlane
from application.handlers import all_handlers
from application.ids import uuid7
from application.ports import CheckpointMoved
from application.projections import runner
from application.projections.activity_feed import in_words
from application.projections.runner import ProjectionThread, Projector, Unprojectable
from application.writer import Commands, Writer
from domain.catalogue import EVENTS
from domain.task_shape import FINAL, LEASED, TaskStatus
from infrastructure.mapper import CatalogueMapper
from infrastructure.postgres.log import PostgresLog
from infrastructure.postgres.pool import make_pool
from tests.application.models import MODELS, Pool, projector_of, store_of
from tests.application.stories import a_story
from tests.clock import MovableClock
from tests.conftest import Database
from tests.given import NOON, a_specification, by
from tests.history.test_stored_events import EXAMPLES, stored

TABLES = tuple(MODELS)


@dataclass
class Roll:
    """A log that tests write to, and its read models."""

    pool: Pool
    log: PostgresLog
    commands: Commands
    clock: MovableClock
    owner_url: str

    def write(self, rng: random.Random, *, length: int = 150) -> int:
        """A random story; the position it came to."""

        async def tell() -> None:
            for command in a_story(rng, NOON, length=length):
                self.clock.move(seconds=rng.choice([0, 1]))
                await self.commands.execute_many([command])

        asyncio.run(tell())
        return self.log.head()

    def submit(self) -> int:
        command = SubmitTask(origin=by(), task_id=uuid7(), specification=a_specification())
        return asyncio.run(self.commands.execute(command)).cursor.position

    def projector(self, name: str) -> Projector:
        return projector_of(self.pool, self.log, name)

    def caught_up(self, name: str) -> str:
        self.projector(name).catch_up()
        return self.digest(name)

    def digest(self, name: str) -> str:
        return store_of(self.pool, name).digest()

    def checkpoint(self, name: str) -> int:
        return store_of(self.pool, name).checkpoint()

    def start_again(self, name: str) -> None:
        with psycopg.connect(self.owner_url) as owner:
            owner.execute(f"TRUNCATE musterroll.{name}")
            owner.execute("DELETE FROM musterroll.checkpoints WHERE name = %s", (name,))

    def poison(self, topic: str, state: bytes) -> int:
        """An event that stands in the log and cannot be read; its position."""
        with psycopg.connect(self.owner_url) as owner:
            row = owner.execute(
                "INSERT INTO musterroll.events (aggregate_id, version, topic, state, tenant, actor,"
                " command_id, correlation_id, recorded_at) VALUES (gen_random_uuid(), 1, %s, %s,"
                " 'default', 'x', gen_random_uuid(), gen_random_uuid(), now()) RETURNING position",
                (topic, state),
            ).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def roll(database: Database) -> Iterator[Roll]:
    pool = make_pool(database.url, connections_max=6)
    pool.open()
    clock, log = MovableClock(), PostgresLog(pool)
    writer = Writer(ControlPlane(log, clock, all_handlers()))
    writer.start()
    yield Roll(pool, log, Commands(writer), clock, database.owner_url)
    writer.stop()
    pool.close()


@pytest.mark.parametrize("name", TABLES)
def test_event_by_event_and_page_by_page_lead_to_the_same_rows(
    roll: Roll, rng: random.Random, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    roll.write(rng)
    in_one_page = roll.caught_up(name)

    digests = set()
    for page in (1, 7):
        roll.start_again(name)
        monkeypatch.setattr(runner, "PAGE_EVENTS", page)
        digests.add(roll.caught_up(name))

    assert digests == {in_one_page}
    assert roll.checkpoint(name) == roll.log.head()


def test_every_card_and_every_line_says_what_its_aggregate_says(
    roll: Roll, rng: random.Random
) -> None:
    roll.write(rng, length=300)
    for name in TABLES:
        roll.caught_up(name)

    with psycopg.connect(roll.owner_url, row_factory=dict_row) as owner:
        cards = owner.execute("SELECT * FROM musterroll.task_board").fetchall()
        lines = owner.execute("SELECT * FROM musterroll.agent_roster").fetchall()

    assert len(cards) > 10
    for card in cards:
        task: Any = roll.log.load(card["task_id"])
        for name in ("status", "attempt", "failures", "version", "priority", "tenant"):
            assert card[name] == getattr(task, name), name
        assert card["due_at"] == (task.due_at if task.status is TaskStatus.SCHEDULED else None)
        if task.status in LEASED:
            assert card["agent_id"] == task.agent_id
            assert card["lease_expires_at"] is not None
        assert (card["started_at"] is not None) or task.status is not TaskStatus.RUNNING
        assert (card["finished_at"] is not None) == (task.status in FINAL)
    assert len(lines) == 3
    for line in lines:
        agent: Any = roll.log.load(line["agent_id"])
        for name in ("standing", "online", "slots", "labels", "version", "name"):
            assert line[name] == getattr(agent, name), name


@pytest.mark.parametrize("name", TABLES)
def test_a_digest_changes_with_every_row(roll: Roll, name: str, rng: random.Random) -> None:
    empty = roll.digest(name)
    roll.write(rng, length=40)
    before = roll.caught_up(name)

    with psycopg.connect(roll.owner_url) as owner:
        owner.execute(
            f"UPDATE musterroll.{name} SET tenant = 'x' WHERE ctid ="
            f" (SELECT ctid FROM musterroll.{name} LIMIT 1)"
        )

    assert len({empty, before, roll.digest(name)}) == 3


@pytest.mark.parametrize("name", TABLES)
def test_an_event_that_is_not_shown_still_moves_the_checkpoint(
    roll: Roll, rng: random.Random, name: str
) -> None:
    head = roll.write(rng, length=0)
    position = roll.submit()

    assert roll.projector(name).catch_up() == position > head
    assert roll.checkpoint(name) == position


@pytest.mark.parametrize("name", TABLES)
def test_of_two_projectors_of_a_model_each_event_is_folded_by_one(
    roll: Roll, rng: random.Random, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    roll.write(rng)
    expected = roll.caught_up(name)
    roll.start_again(name)
    monkeypatch.setattr(runner, "PAGE_EVENTS", 3)

    threads = [threading.Thread(target=roll.projector(name).catch_up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert roll.digest(name) == expected
    assert roll.checkpoint(name) == roll.log.head()


@pytest.mark.parametrize("name", TABLES)
def test_a_page_that_does_not_follow_on_the_checkpoint_is_not_folded(
    roll: Roll, rng: random.Random, name: str
) -> None:
    head = roll.write(rng, length=60)
    digest = roll.caught_up(name)
    store = store_of(roll.pool, name)

    for after, to in [(0, head), (0, 5), (head - 1, head), (head + 1, head + 2)]:
        with pytest.raises(CheckpointMoved), store.turn(after=after, to=to):
            pytest.fail("the page was opened")

    assert (roll.checkpoint(name), roll.digest(name)) == (head, digest)


def test_a_model_that_was_thrown_away_does_not_begin_in_the_middle(roll: Roll) -> None:
    store = store_of(roll.pool, "task_board")

    with pytest.raises(CheckpointMoved), store.turn(after=5, to=9):
        pytest.fail("the page was opened")

    assert store.checkpoint() == 0


def test_a_page_that_fails_leaves_neither_rows_nor_checkpoint(
    roll: Roll, rng: random.Random
) -> None:
    roll.write(rng, length=60)
    store = store_of(roll.pool, "agent_roster")
    before = store.digest()

    with suppress(ZeroDivisionError), store.turn(after=0, to=9) as page:
        page.load([])
        raise ZeroDivisionError

    assert (store.checkpoint(), store.digest()) == (0, before)


@pytest.mark.parametrize("name", TABLES)
def test_a_model_rebuilt_while_events_are_appended_and_projected_equals_the_live_one(
    roll: Roll, rng: random.Random, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(runner, "PAGE_EVENTS", 20)
    roll.write(rng, length=80)
    live = ProjectionThread(roll.projector(name), advanced=lambda *_: live.wake())
    writing = threading.Thread(target=roll.write, args=(rng,), kwargs={"length": 150})
    live.start()
    writing.start()

    rebuilds = 0
    while writing.is_alive() or not rebuilds:
        roll.projector(name).rebuild()
        rebuilds += 1
        live.wake()
    writing.join()
    live.stop()

    assert live.stopped_before is None
    rebuilt = roll.caught_up(name)
    roll.start_again(name)
    assert roll.caught_up(name) == rebuilt


@pytest.mark.parametrize("name", TABLES)
def test_two_rebuilds_at_once_do_not_spoil_each_other(
    roll: Roll, rng: random.Random, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    roll.write(rng)
    expected = roll.caught_up(name)
    monkeypatch.setattr(runner, "PAGE_EVENTS", 10)

    threads = [threading.Thread(target=roll.projector(name).rebuild) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert roll.digest(name) == expected
    assert roll.checkpoint(name) == roll.log.head()


def test_a_rebuild_that_lags_is_not_put_in_the_place_of_a_model_that_came_further(
    roll: Roll, rng: random.Random
) -> None:
    roll.write(rng, length=40)
    digest, store = roll.caught_up("task_board"), store_of(roll.pool, "task_board")

    store.clear_rebuild()

    assert not store.adopt_rebuild()
    assert roll.digest("task_board") == digest


def test_a_model_that_never_began_takes_over_its_rebuild(roll: Roll, rng: random.Random) -> None:
    head = roll.write(rng, length=40)

    roll.projector("task_board").rebuild()

    rebuilt = roll.digest("task_board")
    assert roll.checkpoint("task_board") == head
    roll.start_again("task_board")
    assert roll.caught_up("task_board") == rebuilt


@pytest.mark.parametrize(
    ("topic", "state"),
    [
        ("os:system", b"{}"),
        ("task.queued", b"not json"),
        ("task.queued", b'{"timestamp": "2026-11-23T12:00:00Z"}'),
    ],
)
def test_an_event_that_cannot_be_projected_stops_the_model_before_it_and_says_so(
    roll: Roll, rng: random.Random, topic: str, state: bytes
) -> None:
    roll.write(rng, length=40)
    last_good = roll.submit()
    position = roll.poison(topic, state)
    roll.submit()

    told: list[int] = []
    with pytest.raises(Unprojectable, match=f"task_board stops before position {position}"):
        roll.projector("task_board").catch_up(advanced=told.append)

    assert roll.checkpoint("task_board") == told[-1] == last_good
    stopped = roll.digest("task_board")
    with pytest.raises(Unprojectable):
        roll.projector("task_board").rebuild()
    assert roll.digest("task_board") == stopped


def test_the_thread_of_a_model_that_cannot_go_on_ends_and_names_the_position(
    roll: Roll, rng: random.Random
) -> None:
    position = roll.poison("os:system", b"{}")
    ended = threading.Event()
    thread = ProjectionThread(roll.projector("task_board"), advanced=lambda *_: ended.set())

    thread.start()
    assert ended.wait(20)
    thread.stop()

    assert thread.stopped_before == position


def test_every_event_that_the_feed_shows_has_words_of_its_own() -> None:
    assert {example["topic"] for example in EXAMPLES} == set(EVENTS)

    for example in EXAMPLES:
        event: Any = CatalogueMapper().to_domain_event(stored(example))
        routine = {"task.queued", "task.assigned", "task.started", "task.progressed"}
        if example["topic"] not in routine:
            words = in_words(event)
            assert words.endswith("."), words
            assert " " in words, words
