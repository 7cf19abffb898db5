"""A worker of one system: counts what its no-op handler is given.

Told `{"system", "url"}`, it answers `{"ready": true}`; to each further line it answers
`{"handled": count, "waited_ms": [...]}`, the waiting times since the last one. It ends with its
standard input.
"""

import json
import os
import sys
import threading
import time
from typing import Any, TextIO

import uvloop

from benchmarks.jobs.job import take_stdout
from benchmarks.payload import Payload
from benchmarks.systems.system import system


class Count:
    """How many tasks were handled, and how long those that carry a time had waited."""

    def __init__(self) -> None:
        self.handled = 0
        self._waited_ms: list[float] = []

    def handle(self, payload: Payload) -> None:
        """The no-op."""
        if payload["sent_ns"]:
            self._waited_ms.append((time.monotonic_ns() - payload["sent_ns"]) / 1e6)
        self.handled += 1

    def report(self) -> dict[str, Any]:
        """What there is to tell."""
        waited, self._waited_ms = self._waited_ms, []
        return {"handled": self.handled, "waited_ms": waited}


def _answer_until_end(count: Count, answers: TextIO) -> None:
    answers.writelines(json.dumps(count.report()) + "\n" for _ in sys.stdin)
    os._exit(0)  # libraries hang on to their threads, and there is nothing left to save


def main() -> None:
    answers = take_stdout()
    told = json.loads(sys.stdin.readline())
    count = Count()

    def ready() -> None:
        answers.write('{"ready": true}\n')
        threading.Thread(target=_answer_until_end, args=(count, answers), daemon=True).start()

    uvloop.run(system(told["system"], told["url"]).work(count.handle, ready))


if __name__ == "__main__":
    main()
