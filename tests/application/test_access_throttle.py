"""Failed sign-ins are counted."""

import pytest

from application.accounts import throttle
from application.accounts.account import TooManyAttempts
from application.accounts.throttle import Throttle


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_after_the_last_failure_the_next_attempt_has_to_wait() -> None:
    throttle = Throttle(3, clock=Clock())

    for _ in range(3):
        throttle.require("alice")
        throttle.fail("alice")

    with pytest.raises(TooManyAttempts) as refusal:
        throttle.require("alice")
    assert refusal.value.retry_after_seconds == 20


def test_other_names_are_not_held_up() -> None:
    throttle = Throttle(1, clock=Clock())

    throttle.fail("alice")

    throttle.require("bob")


def test_time_gives_attempts_back() -> None:
    clock = Clock()
    throttle = Throttle(3, clock=clock)
    for _ in range(3):
        throttle.fail("alice")

    clock.now += 20

    throttle.require("alice")
    throttle.fail("alice")
    with pytest.raises(TooManyAttempts):
        throttle.require("alice")


def test_failures_that_came_all_at_once_are_paid_for_later() -> None:
    clock = Clock()
    throttle = Throttle(3, clock=clock)
    for _ in range(9):
        throttle.fail("alice")

    clock.now += 60
    with pytest.raises(TooManyAttempts) as refusal:
        throttle.require("alice")

    assert refusal.value.retry_after_seconds == 80


def test_a_good_name_never_collects_more_than_its_attempts() -> None:
    clock = Clock()
    throttle = Throttle(2, clock=clock)
    throttle.fail("alice")
    clock.now += 86_400

    throttle.fail("alice")
    throttle.fail("alice")

    with pytest.raises(TooManyAttempts):
        throttle.require("alice")


def test_a_flood_of_names_takes_a_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "BUCKETS_MAX", 10)
    throttled = Throttle(1, clock=Clock())

    for number in range(100):
        throttled.fail(number)

    assert len(throttled._buckets) == 10
    with pytest.raises(TooManyAttempts):
        throttled.require(99)
    throttled.require(0)
