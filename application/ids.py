"""Time-ordered identifiers (UUID version 7, RFC 9562, section 5.7)."""

import os
import time
from uuid import UUID


def uuid7() -> UUID:
    """48 bits of milliseconds, then 74 random bits; sorts by time of making to the millisecond.

    Version 4 ids spread the log's primary key and cost a quarter of the append rate at 1 M events
    (`shared/reference/performance.md`, Growth).
    """
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (2**48 - 1)) << 80
    value |= 0x7 << 76 | (random >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | (random & (2**62 - 1))
    return UUID(int=value)
