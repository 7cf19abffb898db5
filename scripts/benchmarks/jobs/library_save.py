"""The library as it is shipped: eventsourcing's save() with its PostgreSQL recorder, in 8 threads.

Told `{"url", "seconds", "warm_up_seconds", "threads"}`, it answers events a second. Each save is of
a new aggregate with one event of the bench's payload, as submitting a task is.
"""

import threading
import time
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.jobs.job import answer
from benchmarks.payload import KIND, payload


class Submission(Aggregate):
    """An aggregate in the library's own style."""

    class Submitted(Aggregate.Created):
        """What our task.submitted says."""

        kind: str
        input: dict[str, Any]
        requires: list[str]
        priority: int
        max_attempts: int
        timeout_seconds: int

    @event(Submitted)
    def __init__(
        self,
        *,
        kind: str,
        input: dict[str, Any],  # noqa: A002 - the event's own field
        requires: list[str],
        priority: int,
        max_attempts: int,
        timeout_seconds: int,
    ) -> None:
        self.kind = kind
        self.requires = requires
        self.priority = priority
        self.max_attempts = max_attempts
        self.timeout_seconds = timeout_seconds


def _a_submission() -> Submission:
    return Submission(
        kind=KIND,
        input=dict(payload()),
        requires=[KIND],
        priority=5,
        max_attempts=3,
        timeout_seconds=300,
    )


def _environment(url: str, threads: int) -> dict[str, str]:
    parts = urlsplit(url)
    host = parse_qs(parts.query)["host"][0]
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": host,
        "POSTGRES_PORT": parse_qs(parts.query)["port"][0],
        "POSTGRES_USER": unquote(parts.username or ""),
        "POSTGRES_PASSWORD": unquote(parts.password or ""),
        "POSTGRES_POOL_SIZE": str(threads),
        "POSTGRES_MAX_OVERFLOW": str(threads),
    }


def _saved_a_second(application: "Application[UUID]", threads: int, seconds: float) -> float:
    saved = [0] * threads
    began = time.perf_counter()

    def save(place: int) -> None:
        while time.perf_counter() - began < seconds:
            application.save(_a_submission())
            saved[place] += 1

    running = [threading.Thread(target=save, args=(place,)) for place in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(saved) / (time.perf_counter() - began)


def measure(told: dict[str, Any]) -> float:
    """Durable: save() returns after the commit."""
    application = Application[UUID](env=_environment(told["url"], told["threads"]))
    _saved_a_second(application, told["threads"], told["warm_up_seconds"])
    rate = _saved_a_second(application, told["threads"], told["seconds"])
    head = application.recorder.max_notification_id()
    assert head is not None
    assert head >= rate * told["seconds"], "every event that was counted is in the log"
    application.close()
    return rate


if __name__ == "__main__":
    answer(measure)
