"""How often a second this disk makes 8 KiB durable: told `{"folder", "seconds"}`."""

import os
import tempfile
import time
from typing import Any

from benchmarks.jobs.job import answer

BLOCK = b"x" * 8_192
FILE_BLOCKS = 2_048


def measure(told: dict[str, Any]) -> float:
    """Write a block, make it durable, and again: what a database does for one commit after another.

    The file has its size before, as a segment of PostgreSQL's log has.
    """
    with tempfile.TemporaryFile(dir=told["folder"]) as file:
        file.write(BLOCK * FILE_BLOCKS)
        file.flush()
        os.fsync(file.fileno())
        written = 0
        began = time.perf_counter()
        while time.perf_counter() - began < told["seconds"]:
            os.pwrite(file.fileno(), BLOCK, written % FILE_BLOCKS * len(BLOCK))
            os.fdatasync(file.fileno())
            written += 1
        return written / (time.perf_counter() - began)


if __name__ == "__main__":
    answer(measure)
