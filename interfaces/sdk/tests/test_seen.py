import pytest

from musterroll._seen import newer, newest_cursor


@pytest.mark.parametrize(
    ("one", "other", "newest"),
    [
        (None, "1:5", "1:5"),
        ("1:5", None, "1:5"),
        ("1:9", "1:10", "1:10"),
        ("1:10", "1:9", "1:10"),
        ("1:999", "2:1", "2:1"),
        ("2:1", "1:999", "2:1"),
        ("1:5", "nonsense", "1:5"),
        (None, None, None),
    ],
)
def test_the_later_cursor_wins(one: str | None, other: str | None, newest: str | None) -> None:
    assert newer(one, other) == newest


def test_the_newest_of_a_batch_counts() -> None:
    outcomes = [{"cursor": "1:7"}, {"error": {"code": "invalid"}}, {"cursor": "1:8"}, {"cursor": 3}]

    assert newest_cursor({"outcomes": outcomes}) == "1:8"
    assert newest_cursor({"cursor": "1:4"}) == "1:4"
    assert newest_cursor(None) is None
