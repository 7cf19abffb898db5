"""The newest part of the log in memory: without a gap, and no larger than it may be."""

from hypothesis import given
from hypothesis import strategies as st

from application.tail import Tail

ITEMS_MAX, BYTES_MAX = 4, 40

pages = st.lists(
    st.lists(st.binary(max_size=3 * BYTES_MAX // 2), min_size=1, max_size=12), max_size=8
)


@given(pages=pages)
def test_what_it_keeps_is_the_end_of_what_came_within_its_bounds(pages: list[list[bytes]]) -> None:
    tail: Tail[bytes] = Tail(len, items_max=ITEMS_MAX, bytes_max=BYTES_MAX, after=10)
    came: list[bytes] = []

    for page in pages:
        came.extend(page)
        first = 10 + len(came) - len(page) + 1
        tail.extend(range(first, first + len(page)), page)

        kept = tail.after(tail.begins_after)
        assert kept is not None
        assert kept == came[len(came) - len(kept) :]
        assert tail.begins_after == 10 + len(came) - len(kept)
        assert tail.ends_at == 10 + len(came)
        assert len(kept) <= 2 * ITEMS_MAX
        assert sum(map(len, kept)) <= 2 * BYTES_MAX


@given(pages=pages)
def test_it_cuts_no_more_than_it_has_to(pages: list[list[bytes]]) -> None:
    tail: Tail[bytes] = Tail(len, items_max=ITEMS_MAX, bytes_max=BYTES_MAX)
    position = 0

    for page in pages:
        before = tail.after(tail.begins_after) or []
        tail.extend(range(position + 1, position + 1 + len(page)), page)
        position += len(page)

        everything, kept = [*before, *page], tail.after(tail.begins_after) or []
        if len(kept) < len(everything):
            one_more = everything[len(everything) - len(kept) - 1 :]
            assert len(one_more) > ITEMS_MAX or sum(map(len, one_more)) > BYTES_MAX


def test_it_knows_nothing_of_what_was_before_it_began_anew() -> None:
    tail: Tail[bytes] = Tail(len, items_max=ITEMS_MAX, bytes_max=BYTES_MAX)
    tail.extend([1, 2], [b"one", b"two"])

    tail.begin(7)
    tail.extend([8], [b"eight"])

    assert tail.after(1) is None
    assert tail.after(7) == [b"eight"]
    assert tail.after(8) == []
