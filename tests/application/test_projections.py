"""Read models are the log, folded: the same rows on every way to the same position."""

import queue
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from application.feed import Feed
from application.ports import CheckpointMoved, Record
from application.projections import runner
from application.projections.activity_feed import in_words
from application.projections.runner import Followed, ProjectionThread, Projector, Unprojectable
from application.projections.task_board import TaskBoardProjection
from domain.catalogue import EVENTS
from domain.task_shape import FINAL, LEASED, TaskStatus
from infrastructure.mapper import CatalogueMapper
from infrastructure.postgres.log import PostgresLog
from tests.application.desk import Desk, cancel, opened, submit
from tests.application.models import MODELS, Pool, projector_of, store_of
from tests.application.poison import poison
from tests.application.stories import a_story
from tests.clock import MovableClock
from tests.conftest import Database
from tests.given import NOON
from tests.history.test_stored_events import EXAMPLES, stored

TABLES = tuple(MODELS)
WAITING = """SELECT count(*) FROM pg_locks AS lock WHERE NOT granted AND pid IN (
    SELECT pid FROM pg_stat_activity WHERE datname = current_database())"""


@dataclass
class Roll:
    """A log that tests write to, and its read models."""

    desk: Desk
    clock: MovableClock
    database: Database

    @property
    def pool(self) -> Pool:
        return self.desk.pool

    @property
    def log(self) -> PostgresLog:
        return self.desk.log

    def write(self, rng: random.Random, *, length: int = 150) -> int:
        """A random story; the position it came to."""

        async def tell() -> None:
            for command in a_story(rng, NOON, length=length):
                self.clock.move(seconds=rng.choice([0, 1]))
                await self.desk.commands.execute_many([command])

        self.desk.loop.run(tell())
        return self.log.head()

    def submit(self) -> int:
        return self.desk.execute(submit()).cursor.position

    def projector(self, name: str, *, feed: Feed | None = None) -> Projector:
        return projector_of(self.pool, feed or self.desk.feed, name)

    def caught_up(self, name: str) -> str:
        self.projector(name).catch_up()
        return self.digest(name)

    def digest(self, name: str) -> str:
        return store_of(self.pool, name).digest()

    def checkpoint(self, name: str) -> int:
        return store_of(self.pool, name).checkpoint()

    def start_again(self, name: str) -> None:
        with psycopg.connect(self.database.owner_url) as owner:
            owner.execute(f"TRUNCATE musterroll.{name}")
            owner.execute("DELETE FROM musterroll.checkpoints WHERE name = %s", (name,))


@pytest.fixture
def roll(database: Database) -> Iterator[Roll]:
    clock = MovableClock()
    with opened(database.url, clock=clock) as desk:
        yield Roll(desk, clock, database)


@pytest.mark.parametrize("name", TABLES)
def test_event_by_event_and_page_by_page_from_memory_and_from_the_log_lead_to_the_same_rows(
    roll: Roll, rng: random.Random, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    roll.write(rng)
    in_one_page = roll.caught_up(name)

    digests = set()
    for page in (1, 7):
        for feed in (roll.desk.feed, Feed(roll.log)):
            roll.start_again(name)
            monkeypatch.setattr(runner, "PAGE_EVENTS", page)
            roll.projector(name, feed=feed).catch_up()
            digests.add(roll.digest(name))

    assert digests == {in_one_page}
    assert roll.checkpoint(name) == roll.log.head()


def test_every_card_and_every_line_says_what_its_aggregate_says(
    roll: Roll, rng: random.Random
) -> None:
    roll.write(rng, length=300)
    for name in TABLES:
        roll.caught_up(name)

    with psycopg.connect(roll.database.owner_url, row_factory=dict_row) as owner:
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

    with psycopg.connect(roll.database.owner_url) as owner:
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

    feeds = [roll.desk.feed, roll.desk.feed, Feed(roll.log)]
    threads = [threading.Thread(target=roll.projector(name, feed=f).catch_up) for f in feeds]
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
    model = Followed(roll.projector(name))
    live = ProjectionThread([model], advanced=lambda *_: live.wake(roll.log.head()))
    writing = threading.Thread(target=roll.write, args=(rng,), kwargs={"length": 150})
    live.start()
    writing.start()

    rebuilds = 0
    while writing.is_alive() or not rebuilds:
        roll.projector(name).rebuild()
        rebuilds += 1
        live.wake(roll.log.head())
    writing.join()
    live.stop()

    assert model.stopped_before is None
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


def test_a_rebuild_that_begins_in_the_midst_of_the_first_page_of_another_takes_back_all_of_it(
    roll: Roll,
) -> None:
    store = store_of(roll.pool, "task_board")
    twin = store.clear_rebuild()
    beginning = threading.Thread(target=store.clear_rebuild)

    with twin.turn(after=0, to=7) as turn:
        turn.load([uuid4()])
        beginning.start()
        with psycopg.connect(roll.database.owner_url, autocommit=True) as owner:
            while owner.execute(WAITING).fetchone() == (0,):
                time.sleep(0.01)
    beginning.join()

    assert twin.checkpoint() == 0


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
    position = poison(roll.database, topic, state)
    roll.submit()

    told: list[int] = []
    with pytest.raises(Unprojectable, match=f"task_board stops before position {position}"):
        roll.projector("task_board").catch_up(advanced=told.append)

    assert roll.checkpoint("task_board") == told[-1] == last_good
    stopped = roll.digest("task_board")
    with pytest.raises(Unprojectable):
        roll.projector("task_board").rebuild()
    assert roll.digest("task_board") == stopped


class Progress:
    """How far the read models have come that a thread follows, as it tells."""

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._positions: dict[str, int] = {}

    def advanced(self, name: str, position: int) -> None:
        self._told.put((name, position))

    def wait_for(self, name: str, position: int) -> None:
        while self._positions.get(name, -1) < position:
            told, came_to = self._told.get(timeout=20)
            self._positions[told] = came_to


@contextmanager
def kept_up(*models: Followed) -> Iterator[tuple[ProjectionThread, Progress]]:
    """A thread that follows the log while the test goes on."""
    progress = Progress()
    thread = ProjectionThread(models, advanced=progress.advanced)
    thread.start()
    yield thread, progress
    thread.stop()


def test_a_model_that_cannot_go_on_names_the_position(roll: Roll) -> None:
    position = poison(roll.database)
    model = Followed(roll.projector("task_board"))

    with kept_up(model) as (_, progress):
        progress.wait_for("task_board", 0)

    assert model.stopped_before == position


def test_a_model_that_cannot_go_on_keeps_no_other_from_it(roll: Roll) -> None:
    class Puzzled(TaskBoardProjection):
        """Cannot show what was cancelled."""

        def evolve(self, row: Any, record: Record, event: Any) -> Any:
            if record.topic == "task.cancelled":
                raise ZeroDivisionError
            return super().evolve(row, record, event)

    task_id = roll.desk.execute(submit()).aggregate_id
    position = roll.desk.execute(cancel(task_id)).cursor.position
    head = roll.submit()
    board = Projector(roll.desk.feed, Puzzled(), store_of(roll.pool, "task_board"))
    models = Followed(board), Followed(roll.projector("activity_feed"))

    with kept_up(*models) as (thread, progress):
        progress.wait_for("activity_feed", head)
        later = roll.submit()
        thread.wake(later)
        progress.wait_for("activity_feed", later)

    assert [model.stopped_before for model in models] == [position, None]
    assert roll.checkpoint("task_board") == position - 1


def test_a_thread_folds_what_another_process_wrote_without_being_told(
    roll: Roll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.01)

    with (
        kept_up(Followed(roll.projector("task_board"))) as (_, progress),
        opened(roll.database.url) as there,
    ):
        progress.wait_for("task_board", 0)
        position = there.execute(submit()).cursor.position

        progress.wait_for("task_board", position)


def test_a_thread_that_is_told_that_somebody_waits_gathers_no_longer(
    roll: Roll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GATHER_SECONDS_MAX", 600)
    monkeypatch.setattr(runner, "GATHER_SECONDS_PER_EVENT", 600)
    first = roll.submit()

    with kept_up(Followed(roll.projector("task_board"))) as (thread, progress):
        progress.wait_for("task_board", first)
        second = roll.submit()
        thread.wake(second)
        thread.hurry()

        progress.wait_for("task_board", second)


def test_every_event_that_the_feed_shows_has_words_of_its_own() -> None:
    assert {example["topic"] for example in EXAMPLES} == set(EVENTS)

    for example in EXAMPLES:
        event: Any = CatalogueMapper().to_domain_event(stored(example))
        routine = {"task.queued", "task.assigned", "task.started", "task.progressed"}
        if example["topic"] not in routine and not example["topic"].startswith(
            ("audit.", "archive.")
        ):
            words = in_words(event)
            assert words.endswith("."), words
            assert " " in words, words
