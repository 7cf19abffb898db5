"""The clock of a replay runs at its speed, stands still, and is put forward, never back."""

from application.replays.clock import PlayClock


class Hands:
    """A time that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_stands_until_it_is_run_and_then_runs_at_its_speed() -> None:
    hands = Hands()
    clock = PlayClock(10, hands)

    hands.now += 5
    assert (clock.now, clock.seconds_until(30)) == (0, None)
    clock.run()
    hands.now += 2

    assert clock.now == 20
    assert clock.seconds_until(30) == 1


def test_it_goes_on_from_where_it_stood() -> None:
    hands = Hands()
    clock = PlayClock(2, hands)
    clock.run()
    hands.now += 3
    clock.stand()
    hands.now += 50
    clock.run()
    hands.now += 1

    assert clock.now == 8


def test_another_speed_counts_from_here_on() -> None:
    hands = Hands()
    clock = PlayClock(1, hands)
    clock.run()
    hands.now += 4
    clock.change_speed(100)
    hands.now += 1

    assert clock.now == 104
    clock.stand()
    clock.change_speed(0.5)
    assert (clock.now, clock.seconds_until(200)) == (104, None)


def test_it_is_put_forward_and_never_back() -> None:
    hands = Hands()
    clock = PlayClock(1, hands)
    clock.run()

    clock.put_forward(60)
    clock.put_forward(10)
    hands.now += 1

    assert clock.now == 61
