"""Bisect: the event that made a predicate true, in few frames."""

import math
import random
from collections.abc import Iterator
from typing import Any

import pytest

from application.moments import Moment
from application.stretch import BadStretch, RangeTooLarge
from application.time_travel import search as searching
from application.time_travel.search import Found, SearchTooLong, TaskTooLong
from domain.errors import AggregateNotFound
from tests.application.desk import cancel, submit
from tests.application.past import OTHER, Past, a_past
from tests.application.retold import retold
from tests.conftest import Database
from tests.given import TENANT


@pytest.fixture
def past(database: Database) -> Iterator[Past]:
    with a_past(database) as past:
        yield past


def look(past: Past, text: str, *, scan: bool = False, **options: Any) -> Found:
    options = {"begin": None, "end": None} | options
    return past.run_story(past.searches.first(TENANT, text, scan=scan, **options))


def position_of(found: Found) -> int | None:
    return None if found.event is None else found.event.position


def test_a_planted_event_is_found_in_few_frames(past: Past, rng: random.Random) -> None:
    for _ in range(12):
        head = past.write(rng, length=rng.randint(1, 30))
        task = submit()
        past.run(submit(tenant=OTHER), task)
        planted = head + 2
        past.run(cancel(task.task_id))
        past.write(rng, length=rng.randint(1, 30))
        head = past.desk.log.head()

        past.frames.forget()
        found = look(past, f'task["{task.task_id}"].version >= 1')
        scanned = look(past, f'task["{task.task_id}"].version >= 1', scan=True)

        assert (found.outcome, position_of(found)) == ("found", planted)
        assert position_of(scanned) == planted
        assert found.folds <= math.log2(head) + 1
        assert found.event is not None
        assert found.event.aggregate_id == task.task_id


def test_what_only_grows_is_found_where_the_history_says(past: Past, rng: random.Random) -> None:
    head = past.write(rng, length=250)
    records = past.records()

    def first(total: int) -> int | None:
        for position in range(1, head + 1):
            story = retold(one for one in records if one.position <= position)
            if sum(story.counts(TENANT).values()) >= total:
                return position
        return None

    for total in (1, 2, rng.randint(3, 8), 10_000):
        found = look(past, f"tasks.total >= {total}")

        assert position_of(found) == first(total)
        assert found.outcome == ("found" if first(total) else "never_held")
        assert found.folds <= math.log2(head) + 1


def test_what_comes_and_goes_is_found_by_a_scan_at_its_first_coming(
    past: Past, rng: random.Random
) -> None:
    past.write(rng, length=250)
    records = past.records()
    depths = [retold(records[: n + 1]).counts(TENANT).get("queued", 0) for n in range(len(records))]
    wanted = rng.randint(1, max(depths))

    scanned = look(past, f"queue.depth = {wanted}", scan=True)
    bisected = look(past, f"queue.depth = {wanted}")

    place = depths.index(wanted) if wanted in depths else None
    assert position_of(scanned) == (None if place is None else records[place].position)
    if bisected.outcome == "found":
        at = position_of(bisected)
        assert at is not None
        assert depths[at - 1] == wanted != depths[at - 2]


def test_what_held_before_the_range_is_told_from_what_begins_with_it(past: Past) -> None:
    past.run(submit(), submit(), submit(), submit())

    for scan in (False, True):
        assert look(past, "tasks.total >= 0", scan=scan).outcome == "held_already"
        begun = look(past, "tasks.total >= 1", scan=scan)
        assert (begun.outcome, position_of(begun)) == ("found", 1)
        second = Moment.parse("1:2")
        assert look(past, "tasks.total >= 1", begin=second, scan=scan).outcome == "held_already"
        within = look(past, "tasks.total >= 2", begin=second, scan=scan)
        assert (within.outcome, position_of(within)) == ("found", 2)
        before = look(past, "tasks.total >= 4", end=Moment.parse("1:3"), scan=scan)
        assert before.outcome == "never_held"


def test_a_scan_says_what_it_costs_and_takes_only_so_much(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.run(submit(), submit(), submit(), submit())

    assert look(past, "tasks.total > 9", scan=True).events == 4
    monkeypatch.setattr(searching, "SCANNED_MAX", 3)
    with pytest.raises(RangeTooLarge) as refusal:
        look(past, "tasks.total > 9", scan=True)
    assert refusal.value.facts["nearest"] == "1:3"
    assert look(past, "tasks.total > 9", scan=True, end=Moment.parse("1:3")).events == 3


def test_a_search_that_takes_too_long_is_given_up(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.run(submit(), submit())
    monkeypatch.setattr(searching, "SECONDS_MAX", -1.0)

    for scan in (False, True):
        with pytest.raises(SearchTooLong) as refusal:
            look(past, "tasks.total > 9", scan=scan)
        # It depends on what else is looked up: another time it may be found.
        assert refusal.value.retry_after_seconds == 30


def test_a_task_that_is_not_there_or_has_too_long_a_story_cannot_be_searched_for(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = submit(), submit(tenant=OTHER)
    past.run(mine, theirs, cancel(mine.task_id))

    with pytest.raises(AggregateNotFound):
        look(past, f'task["{theirs.task_id}"].version > 0')
    monkeypatch.setattr(searching, "CHANGES_MAX", 1)
    with pytest.raises(TaskTooLong):
        look(past, f'task["{mine.task_id}"].version > 0')


def test_a_range_that_ends_before_it_begins_is_refused(past: Past) -> None:
    past.run(submit(), submit())

    with pytest.raises(BadStretch):
        look(past, "true", begin=Moment.parse("1:2"), end=Moment.parse("1:1"))
