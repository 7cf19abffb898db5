"""The freeze frame at random positions of a large log of its own making.

Told `{"owner", "application", "data_dir", "events", "positions"}` of an empty database, it answers
milliseconds (`frame_*`: a whole answer of GET /v1/state but its JSON, with nothing at hand from the
one before; `take_*`: a frame kept of the live read models; `prove_*`: the same folded, and
compared) and `frames_kept`, `frames_bytes`, `open_tasks`, `unequal`, `bisect_seconds`,
`bisect_folds`. Alone: `python -m benchmarks.jobs.frames` in scripts/, with that as one line of
JSON; an `events` of 1000000 takes some five minutes.
"""

import random
import time
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from application.cursor import Cursor
from application.moments import Moment
from application.time_travel.keeper import EVENTS_APART, MODELS
from benchmarks import ours
from benchmarks.busy_past import fill
from benchmarks.jobs.job import answer
from benchmarks.timing import percentile
from infrastructure.postgres.frames import PostgresFrames
from infrastructure.postgres.pool import make_pool
from interfaces.bootstrap import ControlPlaneProcess

SIZES = """
SELECT (SELECT count(*) FROM musterroll.frames),
       (SELECT sum(length(content)) FROM musterroll.frame_parts)
"""


def _keep(urls: ours.Urls, events: int) -> dict[str, float]:
    """Fold the read models, and keep frames of them where the service would."""
    took = []
    with make_pool(urls.application, connections_max=4) as pool:
        store = PostgresFrames(pool)
        projectors = ours.projectors(pool, MODELS)
        for position in range(EVENTS_APART, events + 1, EVENTS_APART):
            for projector in projectors:
                projector.catch_up(up_to=position)
            began = time.perf_counter()
            taken = store.take(after=store.last())
            took.append((time.perf_counter() - began) * 1_000)
            assert taken == position, "both read models stand there"
        for projector in projectors:
            projector.catch_up()
    return {"take_p50": percentile(took, 0.5), "take_max": max(took)}


async def _frames(process: ControlPlaneProcess, events: int, positions: int) -> dict[str, float]:
    chance = random.Random(2)  # noqa: S311 - a benchmark
    past, took, open_tasks = process.time_travel, [], 0
    for _ in range(positions):
        moment = Moment(cursor=Cursor(process.epoch, chance.randrange(1, events)))
        past.frames.forget()
        began = time.perf_counter()
        found = await past.overviews.overview(
            ours.TENANT, moment, status=None, cursor=None, limit=50
        )
        took.append((time.perf_counter() - began) * 1_000)
        open_tasks = max(open_tasks, len(found.frame.cards))
    return {
        "frame_p50": percentile(took, 0.5),
        "frame_p99": percentile(took, 0.99),
        "frame_max": max(took),
        "open_tasks": open_tasks,
    }


async def _prove(process: ControlPlaneProcess) -> dict[str, float]:
    keeper, took = process.time_travel.keeper, []
    while True:
        began = time.perf_counter()
        if not await keeper.prove():
            break
        took.append((time.perf_counter() - began) * 1_000)
    return {"prove_p50": percentile(took, 0.5), "unequal": keeper.unequal}


async def _bisect(process: ControlPlaneProcess, events: int) -> dict[str, float]:
    process.time_travel.frames.forget()
    began = time.perf_counter()
    found = await process.time_travel.searches.first(
        ours.TENANT, f"tasks.completed > {events // 11}", begin=None, end=None, scan=False
    )
    assert found.outcome == "found", found.outcome
    return {"bisect_seconds": time.perf_counter() - began, "bisect_folds": found.folds}


async def _measure(told: dict[str, Any]) -> dict[str, float]:
    urls, events = ours.Urls(told["owner"], told["application"]), told["events"]
    ours.migrated(urls)
    began = time.perf_counter()
    fill(urls, events=events)
    figures = {"fill_seconds": time.perf_counter() - began}
    figures |= _keep(urls, events)
    with ours.somebody_else_leads(urls):
        async with ours.a_process(urls, Path(told["data_dir"])) as process:
            figures |= await _frames(process, events, told["positions"])
            figures |= await _bisect(process, events)
            figures |= await _prove(process)
    with psycopg.connect(urls.owner) as connection:
        row = connection.execute(SIZES.encode()).fetchone()
    assert row is not None, "an aggregate has a row"
    return figures | {"frames_kept": row[0], "frames_bytes": float(row[1])}


def measure(told: dict[str, Any]) -> dict[str, float]:
    """All of it."""
    return uvloop.run(_measure(told))


if __name__ == "__main__":
    answer(measure)
