"""Identifiers that sort by the time of their making."""

import time

from application.ids import uuid7


def test_an_id_is_of_version_7_and_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= after


def test_no_two_are_alike() -> None:
    assert len({uuid7() for _ in range(20_000)}) == 20_000
