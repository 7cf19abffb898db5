"""A place in the log, read and told."""

import pytest
from hypothesis import given, strategies

from application.cursor import POSITION_MAX, BadCursor, Cursor
from tests.randomly import repeatably


@repeatably
@given(strategies.integers(0, 10**9), strategies.integers(0, POSITION_MAX))
def test_what_is_told_is_read_again(epoch: int, position: int) -> None:
    cursor = Cursor(epoch, position)

    assert Cursor.parse(str(cursor)) == cursor


def test_cursors_are_ordered_by_epoch_and_then_by_position() -> None:
    assert Cursor(1, 9) < Cursor(1, 10) < Cursor(2, 0)


NO_CURSORS = """
,:,1,1:,:1,1:2:3,-1:2,1:-2,+1:2, 1:2,1:2 ,a:b,1.0:2,1:1_0,\u0663:\u0661,\u00b2:1
""".strip("\n").split(",")


@pytest.mark.parametrize(
    "text", [*NO_CURSORS, "1:2\n", "\x00:1", "1:9223372036854775808", "1:" + "9" * 5_000]
)
def test_what_is_no_cursor_is_refused_and_not_repeated_at_length(text: str) -> None:
    with pytest.raises(BadCursor, match="is no cursor") as refusal:
        Cursor.parse(text)

    assert len(refusal.value.message) < 250
