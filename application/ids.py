"""Time-ordered identifiers (UUID version 7, RFC 9562, section 5.7)."""

import os
import struct
import time
from uuid import UUID

DRAWN_AT_ONCE = 512

# Random numbers of 64 and 16 bits for ids to come: to ask the kernel for each takes longer than
# all the rest. A list is safe with threads; a child process draws its own.
_drawn: list[tuple[int, int]] = []
os.register_at_fork(after_in_child=_drawn.clear)


def uuid7() -> UUID:
    """48 bits of milliseconds, then 74 random bits; sorts by time of making to the millisecond.

    Version 4 ids spread the log's primary key and cost a quarter of the append rate at 1 M events
    (`shared/reference/performance.md`, Growth).
    """
    milliseconds = time.time_ns() // 1_000_000
    low, high = _random()
    value = (milliseconds & (2**48 - 1)) << 80
    value |= 0x7 << 76 | (high & 0xFFF) << 64
    value |= 0b10 << 62 | (low & (2**62 - 1))
    return UUID(int=value)


def _random() -> tuple[int, int]:
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            _drawn.extend(struct.iter_unpack("=QH", os.urandom(10 * DRAWN_AT_ONCE)))
