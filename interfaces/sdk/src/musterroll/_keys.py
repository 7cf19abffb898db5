"""Idempotency keys: UUIDv7 (RFC 9562, section 5.7), so that keys made together are neighbours.

The service keeps them in an index, which stays small where it is written when they come in order.
"""

import os
import time
from collections.abc import Callable
from uuid import UUID

NANOSECONDS_PER_MILLISECOND = 1_000_000


def new_key(clock: Callable[[], int] = time.time_ns) -> str:
    """A key that nobody else makes; those of later moments sort after it."""
    milliseconds, nanoseconds = divmod(clock(), NANOSECONDS_PER_MILLISECOND)
    # Twelve bits of the millisecond's fraction: method 3 of section 6.2.
    fraction = nanoseconds * 4096 // NANOSECONDS_PER_MILLISECOND
    version, variant = 7, 2
    time_bits = milliseconds << 80 | version << 76 | fraction << 64
    chance = int.from_bytes(os.urandom(8)) >> 2
    return str(UUID(int=time_bits | variant << 62 | chance))
