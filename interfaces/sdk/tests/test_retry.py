from datetime import UTC, datetime

import pytest

from musterroll._retry import next_pause, pause, retry_after_seconds


def test_pauses_double_up_to_a_limit_and_are_spread() -> None:
    shortest = [pause(n, draw=lambda: 0.0) for n in (1, 2, 3, 4, 100)]
    longest = [pause(n, draw=lambda: 1.0) for n in (1, 2, 3, 4, 100)]

    assert shortest == [0.05, 0.1, 0.2, 0.4, 2.5]
    assert longest == [0.1, 0.2, 0.4, 0.8, 5.0]


def test_no_pause_reaches_beyond_the_budget() -> None:
    assert next_pause(1, elapsed_seconds=0, budget_seconds=0) is None
    assert next_pause(1, elapsed_seconds=29, budget_seconds=30) is not None
    assert next_pause(1, elapsed_seconds=29, budget_seconds=30, retry_after="2") is None


def test_retry_after_is_kept() -> None:
    assert next_pause(1, elapsed_seconds=0, budget_seconds=30, retry_after="7") == 7.0
    assert next_pause(9, elapsed_seconds=0, budget_seconds=30, retry_after="0") == 0.1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("Wed, 21 Oct 2026 07:28:10 GMT", 10.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    now = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)

    assert retry_after_seconds(value, now=now) == seconds
