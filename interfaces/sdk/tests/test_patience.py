"""How long a service is waited for, and what is said of it."""

import logging

import pytest

from musterroll._live.patience import Patience
from musterroll._live.wanted import Place
from musterroll.errors import Unavailable

AWAY = Unavailable("no answer", code="unreachable")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_service_that_was_never_there_is_waited_for_within_the_budget(clock: Clock) -> None:
    patience = Patience(1.0, clock=clock)

    assert patience.pause(AWAY) <= 0.1
    clock.now += 1.0

    with pytest.raises(Unavailable):
        patience.pause(AWAY)


def test_a_service_that_was_there_is_waited_for_without_end(clock: Clock) -> None:
    patience = Patience(0.0, clock=clock)
    patience.reached()

    pauses = []
    for _ in range(20):
        clock.now += 10
        pauses.append(patience.pause(AWAY))

    assert pauses[0] <= 0.1
    assert 2.5 <= pauses[-1] <= 5.0


@pytest.mark.parametrize(("lasted", "again"), [(1.0, False), (6.0, True)])
def test_a_connection_that_lasted_begins_anew(clock: Clock, lasted: float, again: bool) -> None:
    patience = Patience(0.0, clock=clock)
    for _ in range(20):
        patience.reached()
        patience.pause(AWAY)

    patience.reached()
    clock.now += lasted

    assert (patience.pause(AWAY) <= 0.1) is again


def test_a_connection_that_brought_something_begins_anew(clock: Clock) -> None:
    patience = Patience(0.0, clock=clock)
    patience.reached()
    for _ in range(20):
        patience.pause(AWAY)

    patience.progressed()

    assert patience.pause(AWAY) <= 0.1


@pytest.mark.parametrize(("asked", "seconds"), [("7", 7.0), ("3600", 60.0)])
def test_the_service_says_how_long_to_stay_away(asked: str, seconds: float) -> None:
    patience = Patience(100.0)
    busy = Unavailable("busy", code="http_429", extra={"retry_after": asked})

    assert patience.pause(busy) == seconds


def test_what_is_no_answer_of_the_service_is_not_waited_for() -> None:
    patience = Patience(100.0)
    patience.reached()

    with pytest.raises(Unavailable):
        patience.pause(Unavailable("nonsense", code="unexpected_answer"))


def test_an_outage_is_told_of_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    patience = Patience(100.0)

    with caplog.at_level(logging.INFO, logger="musterroll"):
        patience.reached()
        patience.pause(AWAY)
        patience.reached()
        assert caplog.messages == []
        for _ in range(5):
            patience.pause(AWAY)
        patience.reached()
        patience.reached()

    assert caplog.messages == ["no answer; waiting for it", "the service answers again"]


def test_a_place_only_moves_ahead() -> None:
    place = Place()

    moved = [place.move(cursor) for cursor in ("1:9", "1:10", "1:10", "1:9", "2:1", "nonsense")]

    assert moved == [True, True, False, False, True, False]
    assert place.cursor == "2:1"
