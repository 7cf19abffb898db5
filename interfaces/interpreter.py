"""How the interpreter shares its time in a process that serves."""

import gc
import sys

THREAD_TURN_SECONDS = 0.0005
"""How long a projection's thread may keep the event loop waiting; Python's own 5 ms are longer than
a commit takes."""
COLLECT_EVERY = (20_000, 20, 20)
"""Allocations, and generations, between collections. At Python's own 700 the collector took 15 %
of the time under load, and stopped everything for 0.1 s now and then."""


def settle() -> None:
    """Once everything is loaded and running: what is there now stays, and is not looked at again.

    For a process that does nothing else: what becomes garbage later in what is there now, is not
    collected.
    """
    sys.setswitchinterval(THREAD_TURN_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_EVERY)
