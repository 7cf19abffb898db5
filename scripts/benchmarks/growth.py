"""What a long log costs: the same figures on one that has grown and on one that is nearly empty.

Both are on the same PostgreSQL, each with a `muster up` of its own, and are measured in turns. The
log grows as it does in life: tasks are submitted, assigned, started and completed by a worker.
"""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks import ours
from benchmarks.place import Place
from benchmarks.service import CATCH_UP_SECONDS_MAX, Service, a_service
from benchmarks.timing import bounded
from benchmarks.worker import Worker

FILL_TASKS_MIN, FILL_TASKS_MAX = 500, 20_000
EVENTS_A_TASK = 4
Figures = dict[str, float]


def growth(place: Place, record: Callable[[str, float], None]) -> None:
    """The grown log's figures as shares of the empty one's, one of each a turn."""
    with ExitStack() as held:
        sides: dict[str, tuple[Service, Worker]] = {}
        for side in ("empty", "grown"):
            urls = held.enter_context(place.database())
            service = held.enter_context(a_service(place, urls))
            sides[side] = service, held.enter_context(service.worker())
            service.tasks(sides[side][1], FILL_TASKS_MIN, batched=True)
        _fill(place, *sides["grown"])
        record("growth_events", ours.count_events(sides["grown"][0].urls))
        for turn in range(place.effort.growth_rounds):
            taken: dict[str, Figures] = {}
            for side in sorted(sides, reverse=turn % 2 == 1):
                taken[side] = _figures(place, *sides[side])
            for figure, value in taken["grown"].items():
                record(f"growth_{figure}_grown", value)
                record(f"growth_{figure}_empty", taken["empty"][figure])
                record(f"growth_{figure}", value / taken["empty"][figure])
        record("growth_memory_mib", sides["grown"][0].memory_mib)


def _fill(place: Place, service: Service, worker: Worker) -> None:
    """Until the log has as many events as asked for, or the time for it is up."""
    effort = place.effort
    deadline = time.monotonic() + effort.growth_fill_seconds
    rate = float(FILL_TASKS_MIN)
    while (events := ours.count_events(service.urls)) < effort.growth_events:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            break
        print(f"  growth: {events:,} events", file=sys.stderr, flush=True)
        wanted = (effort.growth_events - events) / EVENTS_A_TASK
        wanted = min(wanted, rate * seconds)
        count = bounded(wanted, least=FILL_TASKS_MIN, most=FILL_TASKS_MAX)
        rate = service.tasks(worker, count, batched=True)
    service.check()


def _figures(place: Place, service: Service, worker: Worker) -> Figures:
    told = {
        "owner": service.urls.owner,
        "application": service.urls.application,
        "data_dir": str(place.new_folder()),
        "parts": ["append"],
        "standby": False,
        "effort": place.effort.as_argument(),
    }
    figures = {
        "status": service.status()["status"],
        "dispatch": service.tasks_rate(worker, batched=True),
        "append": place.job("commands", told)["append_256"],
    }
    ours.wait_until_projected(service.urls, CATCH_UP_SECONDS_MAX)
    return figures
