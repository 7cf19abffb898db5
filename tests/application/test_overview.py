"""The freeze frame: what takes the longer the more there is keeps nobody else waiting."""

import random
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from application.cursor import Cursor
from application.moments import Moment
from application.time_travel.overview import Overview
from application.time_travel.predicate.reading import Predicate
from infrastructure.postgres.time_travel import PostgresTimeTravel
from interfaces.http.schemas.time_travel import state_of
from tests.application.desk import submit
from tests.application.past import Past, a_past
from tests.application.retold import retold
from tests.conftest import Database
from tests.given import TENANT


@pytest.fixture
def past(database: Database) -> Iterator[Past]:
    with a_past(database) as past:
        yield past


class Watched(dict[UUID, Any]):
    """Says on which threads it was gone through."""

    def __init__(self, items: dict[UUID, Any]) -> None:
        super().__init__(items)
        self.by: list[str] = []

    def values(self) -> Any:
        self.by.append(threading.current_thread().name)
        return super().values()


def overview(past: Past, position: int, status: str | None, cursor: str | None = None) -> Overview:
    moment = Moment(cursor=Cursor(1, position))
    return past.run_story(
        past.overviews.overview(TENANT, moment, status=status, cursor=cursor, limit=3)
    )


def test_what_grows_with_a_frame_is_gone_through_on_the_thread_of_the_lane(
    past: Past, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.write(rng)
    past.run(submit())
    head = past.desk.log.head()
    frame = past.frame(head)
    frame.cards, frame.lines = cards, lines = Watched(frame.cards), Watched(frame.lines)
    judged: list[str] = []
    holds = Predicate.holds

    def watched(predicate: Predicate, view: Any) -> bool:
        judged.append(threading.current_thread().name)
        return holds(predicate, view)

    monkeypatch.setattr(Predicate, "holds", watched)

    for status in (None, "queued"):
        found = overview(past, head, status)
        shown = state_of(found, 1)
        assert (found.frame is frame, shown["queue"]["depth"]) == (True, frame.depth)
    task_id = overview(past, head, "queued").tasks.items[0].card.task_id
    moment = Moment(cursor=Cursor(1, head))
    past.run_story(past.things.task(TENANT, task_id, moment))
    for scan in (False, True):
        search = past.searches.first(TENANT, "agents.offline > 99", begin=None, end=None, scan=scan)
        past.run_story(search)

    gone_through = [*cards.by, *lines.by, *judged]
    assert cards.by
    assert lines.by
    assert judged
    assert all(name.startswith("lane") for name in gone_through)


def test_the_story_of_a_task_that_a_predicate_names_is_folded_on_the_thread_of_the_lane(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = submit()
    past.run(task)
    by: list[str] = []
    of_aggregate = PostgresTimeTravel.of_aggregate

    def watched(*args: Any, **options: Any) -> Any:
        by.append(threading.current_thread().name)
        return of_aggregate(*args, **options)

    monkeypatch.setattr(PostgresTimeTravel, "of_aggregate", watched)

    past.run_story(
        past.searches.first(
            TENANT, f'task["{task.task_id}"].version > 9', begin=None, end=None, scan=False
        )
    )

    assert by
    assert all(name.startswith("lane") for name in by)


def test_the_open_tasks_of_a_status_are_told_newest_id_first_page_by_page(
    past: Past, rng: random.Random
) -> None:
    past.write(rng, length=80)
    past.run(*(submit() for _ in range(5)))
    head = past.desk.log.head()

    told: list[UUID] = []
    cursor = None
    while True:
        page = overview(past, head, "queued", cursor).tasks
        told += [one.card.task_id for one in page.items]
        if (cursor := page.next_cursor) is None:
            break

    open_tasks = retold(past.records()).open_tasks(TENANT)
    queued = [of for of, task in open_tasks.items() if task["status"] == "queued"]
    assert told == sorted(queued, reverse=True)
    assert len(told) > 3
