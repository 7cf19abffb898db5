"""The order in which tasks are assigned."""

import random
from datetime import timedelta
from uuid import UUID

import pytest

from application.processes import ready_queue
from application.processes.ready_queue import ReadyQueue, Requirements
from tests.given import NOON, SECOND

REVIEW: Requirements = ("default", frozenset({"review"}))
WRITE: Requirements = ("default", frozenset({"write"}))


def an_id(number: int) -> UUID:
    return UUID(int=number)


def a_queue(*entries: tuple[int, int, int], line: Requirements = REVIEW) -> ReadyQueue:
    """Of (number, priority, seconds after noon)."""
    queue = ReadyQueue(ageing_seconds=60)
    for number, priority, seconds in entries:
        queue.put(an_id(number), line, priority=priority, queued_at=NOON + seconds * SECOND)
    return queue


def order_of(queue: ReadyQueue, *lines: Requirements) -> list[int]:
    order = []
    while best := queue.take_best(lines or (REVIEW,)):
        order.append(best[1].int)
    return order


def test_the_first_to_come_is_the_first_to_go() -> None:
    assert order_of(a_queue((1, 5, 2), (2, 5, 0), (3, 5, 1))) == [2, 3, 1]


def test_of_those_that_came_at_the_same_moment_the_first_put_goes_first() -> None:
    assert order_of(a_queue((9, 5, 0), (1, 5, 0), (5, 5, 0))) == [9, 1, 5]


def test_a_level_of_priority_weighs_as_much_as_a_minute_of_waiting() -> None:
    assert order_of(a_queue((1, 5, 0), (2, 6, 59))) == [2, 1]
    assert order_of(a_queue((1, 5, 0), (2, 6, 61))) == [1, 2]


def test_nothing_starves_however_much_comes_after_it() -> None:
    queue = a_queue((0, 0, 0))

    taken = []
    for second in range(1, 1_000):
        queue.put(an_id(second), REVIEW, priority=9, queued_at=NOON + second * SECOND)
        best = queue.take_best([REVIEW])
        assert best is not None
        taken.append(best[1].int)
        if best[1] == an_id(0):
            break

    assert len(taken) <= 9 * 60 + 1


def test_putting_a_task_again_changes_nothing() -> None:
    queue = a_queue((1, 5, 0), (2, 5, 1))

    queue.put(an_id(2), REVIEW, priority=9, queued_at=NOON)

    assert len(queue) == 2
    assert order_of(queue) == [1, 2]


def test_a_discarded_task_is_not_met_and_may_come_back_with_another_rank() -> None:
    queue = a_queue((1, 5, 0), (2, 5, 1))

    queue.discard(an_id(1))
    assert an_id(1) not in queue
    queue.put(an_id(1), REVIEW, priority=5, queued_at=NOON + 5 * SECOND)
    queue.discard(an_id(3))

    assert order_of(queue) == [2, 1]
    assert len(queue) == 0


def test_only_lines_in_which_somebody_waits_are_told() -> None:
    queue = a_queue((1, 5, 0))
    queue.put(an_id(2), WRITE, priority=5, queued_at=NOON)
    assert set(queue.lines()) == {REVIEW, WRITE}

    queue.discard(an_id(1))

    assert list(queue.lines()) == [WRITE]


def test_the_best_of_several_lines_is_taken_and_the_others_stay() -> None:
    queue = a_queue((1, 5, 1))
    queue.put(an_id(2), WRITE, priority=5, queued_at=NOON)

    assert queue.take_best([REVIEW, WRITE]) == (WRITE, an_id(2))
    assert queue.take_best([WRITE]) is None
    assert queue.take_best([]) is None
    assert order_of(queue) == [1]


def test_tasks_that_left_do_not_stay_in_memory_behind_one_that_nobody_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ready_queue, "LEFT_MAX", 10)
    queue = a_queue((0, 9, 0))

    for number in range(1, 1_000):
        queue.put(an_id(number), REVIEW, priority=0, queued_at=NOON)
        queue.discard(an_id(number))

    assert len(queue._lines[REVIEW].heap) <= 12
    assert order_of(queue) == [0]


def test_on_every_way_the_order_is_that_of_a_sorted_list(rng: random.Random) -> None:
    queue = ReadyQueue(ageing_seconds=60)
    waiting: dict[int, tuple[float, int]] = {}

    for number in range(3_000):
        match rng.randrange(4):
            case 0 | 1:
                moment = NOON + timedelta(seconds=rng.randrange(1_000))
                priority = rng.randrange(10)
                queue.put(an_id(number), REVIEW, priority=priority, queued_at=moment)
                waiting[number] = (moment.timestamp() - 60 * priority, number)
            case 2 if waiting:
                gone = rng.choice(list(waiting))
                queue.discard(an_id(gone))
                del waiting[gone]
            case 3 if waiting:
                best = min(waiting, key=lambda one: waiting[one])
                assert queue.take_best([REVIEW]) == (REVIEW, an_id(best))
                del waiting[best]

    assert len(queue) == len(waiting)
    assert order_of(queue) == sorted(waiting, key=lambda one: waiting[one])
