"""The feed: every event once and in order, from memory or from the log, whoever wrote it."""

import random
from collections.abc import Iterator, Sequence

import pytest

from application import feed as module
from application.feed import Feed
from application.ports import Page, Record, UnreadableEvent, Written
from domain.errors import ConcurrentChange
from infrastructure.postgres.log import PostgresLog
from tests.application.desk import Desk, opened, submit
from tests.application.poison import poison
from tests.conftest import Database

ALL = 1_000


class CountingLog(PostgresLog):
    """Tells how often it was read."""

    reads = 0

    def read(self, *, after: int, limit: int) -> list[Record]:
        self.reads += 1
        return super().read(after=after, limit=limit)


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with opened(database.url, log=CountingLog) as desk:
        yield desk


def reads_of(desk: Desk) -> int:
    assert isinstance(desk.log, CountingLog)
    return desk.log.reads


def submitted(desk: Desk, count: int) -> int:
    """So many events, each committed by itself; the position they came to."""
    for _ in range(count):
        position = desk.execute(submit()).cursor.position
    return position


def positions(page: Page) -> list[int]:
    return [record.position for record, _ in page]


def followed(feed: Feed, *, after: int = 0, limit: int = ALL) -> list[int]:
    """The positions that a follower meets on its way to the end, page by page."""
    met: list[int] = []
    while page := feed.read(after=met[-1] if met else after, limit=limit):
        met += positions(page)
    return met


def in_the_log(desk: Desk) -> list[int]:
    return [record.position for record in desk.log.read(after=0, limit=ALL)]


def test_what_this_process_wrote_is_handed_on_from_memory_as_it_stands_in_the_log(
    desk: Desk,
) -> None:
    submitted(desk, 5)

    page = desk.feed.read(after=0, limit=ALL)

    assert reads_of(desk) == 0
    assert [record for record, _ in page] == desk.log.read(after=0, limit=ALL)
    assert [event for _, event in page] == [desk.log.decode(record) for record, _ in page]


def test_a_page_from_memory_is_as_long_as_it_may_be_and_follows_on_the_last(desk: Desk) -> None:
    submitted(desk, 5)

    assert positions(desk.feed.read(after=0, limit=2)) == [1, 2]
    assert positions(desk.feed.read(after=2, limit=2)) == [3, 4]
    assert positions(desk.feed.read(after=4, limit=2)) == [5]
    assert reads_of(desk) == 0
    assert not desk.feed.read(after=5, limit=2)


def test_what_another_process_wrote_in_between_is_read_from_the_log(database: Database) -> None:
    with opened(database.url) as there, opened(database.url, log=CountingLog) as desk:
        submitted(desk, 2)
        theirs = submitted(there, 3)
        submitted(desk, 2)
        unseen = submitted(there, 1)

        assert followed(desk.feed, limit=2) == in_the_log(desk)
        assert positions(desk.feed.recent(after=theirs, limit=ALL)) == [theirs + 1, theirs + 2]
        assert not desk.feed.recent(after=theirs - 1, limit=ALL)
        assert not desk.feed.recent(after=unseen - 1, limit=ALL)


def test_a_process_that_begins_on_a_long_log_reads_on_from_it(database: Database) -> None:
    with opened(database.url) as before:
        submitted(before, 3)
    with opened(database.url) as desk:
        submitted(desk, 2)

        assert followed(desk.feed) == [1, 2, 3, 4, 5]
        assert positions(desk.feed.recent(after=3, limit=ALL)) == [4, 5]
        assert not desk.feed.recent(after=2, limit=ALL)


def test_a_commit_that_came_to_nothing_leaves_a_gap_and_nobody_stumbles_over_it(
    database: Database,
) -> None:
    with opened(database.url) as there, opened(database.url, log=CountingLog) as desk:
        submitted(desk, 2)
        taken = there.execute(submit()).aggregate_id
        with pytest.raises(ConcurrentChange, match="under the id"):
            desk.execute(submit(taken))
        position = submitted(desk, 1)

        assert position > 4, "the refused append used a position up"
        assert followed(desk.feed) == in_the_log(desk) == [1, 2, 3, position]


def test_after_an_append_whose_answer_was_lost_followers_go_on_without_a_gap(
    desk: Desk,
) -> None:
    submitted(desk, 2)
    record, event = desk.feed.read(after=1, limit=1)[0]
    later = desk.execute(submit())
    lost = desk.feed.read(after=2, limit=1)
    feed = Feed(desk.log)
    feed.publish(Written(head=0, base=0), [(record, event)])

    # As `find_append` tells it: nobody knows any more where the log had stood before.
    feed.publish(Written(head=None, base=2), lost)

    assert followed(feed) == [1, 2, later.cursor.position]


@pytest.mark.parametrize("limit", ["items_max", "bytes_max"])
def test_only_the_newest_part_is_kept_and_a_reader_behind_it_reads_the_log(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    size = len(desk.feed.read(after=submitted(desk, 1) - 1, limit=1)[0][0].state)
    monkeypatch.setattr(desk.feed._tail, limit, 10 if limit == "items_max" else 10 * size)

    head = submitted(desk, 200)

    kept = [after for after in range(head) if desk.feed.recent(after=after, limit=ALL)]
    assert kept == list(range(kept[0], head))
    assert 10 <= len(kept) <= 21
    assert reads_of(desk) == 0
    assert followed(desk.feed, limit=7) == list(range(1, head + 1))
    assert reads_of(desk) > 0


def test_a_commit_larger_than_what_is_kept_is_read_from_the_log(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.feed._tail, "bytes_max", 10)
    desk.execute_many(*(submit() for _ in range(50)))

    assert followed(desk.feed) == list(range(1, 51))
    submitted(desk, 1)
    assert followed(desk.feed, after=50) == [51]


def test_a_follower_misses_and_doubles_nothing_while_many_processes_write_and_the_tail_is_trimmed(
    database: Database, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TAIL_ENTRIES_MAX", 4)
    with opened(database.url) as here, opened(database.url) as there:
        met: list[int] = []
        for _ in range(100):
            writer = rng.choice([here, here, there])
            writer.execute_many(*(submit() for _ in range(rng.choice([1, 1, 5, 12]))))
            for _ in range(rng.choice([0, 1, 3])):
                page = here.feed.read(after=met[-1] if met else 0, limit=rng.choice([1, 4, 50]))
                met += positions(page)
        met += followed(here.feed, after=met[-1])

        assert met == in_the_log(here)


# What cannot be read.


@pytest.mark.parametrize("before", [0, 1, 3])
def test_what_stands_before_an_unreadable_event_is_handed_over_then_it_is_named(
    database: Database, desk: Desk, before: int
) -> None:
    for _ in range(before):
        submitted(desk, 1)
    position = poison(database)
    submitted(desk, 2)
    feed = Feed(desk.log)

    if before:
        assert positions(feed.read(after=0, limit=ALL)) == list(range(1, before + 1))
    for _ in range(2):
        with pytest.raises(UnreadableEvent) as refused:
            feed.read(after=before, limit=ALL)
        assert refused.value.position == position
    assert positions(feed.read(after=position, limit=ALL)) == [position + 1, position + 2]


def test_followers_that_read_the_same_page_from_the_log_see_the_same_events(
    database: Database,
) -> None:
    with opened(database.url) as before:
        submitted(before, 6)
    with opened(database.url) as desk:
        pages: Sequence[Page] = [desk.feed.read(after=0, limit=4) for _ in range(3)]
        short = desk.feed.read(after=4, limit=4)
        submitted(desk, 1)

        assert [positions(page) for page in pages] == [[1, 2, 3, 4]] * 3
        assert positions(short) == [5, 6]
        assert positions(desk.feed.read(after=4, limit=4)) == [5, 6, 7]
