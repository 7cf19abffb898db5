"""Identifiers that sort by the time of their making."""

import os
import time
from uuid import UUID

from application.ids import uuid7


def test_an_id_is_of_version_7_and_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= after


def test_no_two_are_alike() -> None:
    assert len({uuid7() for _ in range(20_000)}) == 20_000


def test_a_child_process_draws_others() -> None:
    uuid7()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, uuid7().bytes)
        os._exit(0)
    of_child = UUID(bytes=os.read(reading, 16))
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)

    random = of_child.int & (2**62 - 1)
    assert random not in {uuid7().int & (2**62 - 1) for _ in range(2_000)}
