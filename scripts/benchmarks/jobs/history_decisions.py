"""Decisions explained and replayed, on a log of its own making.

Told `{"owner", "application", "data_dir", "decisions"}` of an empty database, it answers
`{"decided_events", "why_p50", "why_p99", "why_http_p50", "why_http_p99", "what_if_seconds",
"what_if_decisions", "what_if_loop_p99"}`: milliseconds but for `what_if_seconds`; the last is how
late the event loop came back to others meanwhile.
"""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from application.stretch import Stretch
from benchmarks import ours
from benchmarks.decided import Decided, fill
from benchmarks.jobs.job import answer
from benchmarks.timing import percentile
from interfaces.bootstrap import ControlPlaneProcess
from interfaces.http.app import create_app
from interfaces.http.server import bind
from musterroll import AsyncClient

OTHER_POLICY = "least_outstanding"
HTTP_SECONDS = 3.0
LOAD_SECONDS_MAX = 60
TICK_SECONDS = 0.001


async def _why(process: ControlPlaneProcess, past: Decided) -> dict[str, float]:
    took = []
    for task_id in past.task_ids:
        began = time.perf_counter()
        story = await process.why.of(ours.TENANT, task_id)
        took.append((time.perf_counter() - began) * 1_000)
        assert len(story.steps) == 3, "submitted, assigned, completed"
    return {"why_p50": percentile(took, 0.5), "why_p99": percentile(took, 0.99)}


async def _what_if(process: ControlPlaneProcess) -> dict[str, float]:
    head = await process.queries.head()
    late: list[float] = []
    ticking = asyncio.create_task(_tick(late))
    began = time.perf_counter()
    found = await process.what_if.compare(
        ours.TENANT, OTHER_POLICY, Stretch(after=0, until=head), differences_max=100
    )
    seconds = time.perf_counter() - began
    ticking.cancel()
    with suppress(asyncio.CancelledError):
        await ticking
    assert found.estimate is not None, "it was simulated too"
    return {
        "what_if_seconds": seconds,
        "what_if_decisions": found.replay.decisions,
        "what_if_loop_p99": percentile(late, 0.99),
    }


async def _tick(late: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK_SECONDS)
        late.append((time.perf_counter() - began - TICK_SECONDS) * 1_000)


async def _over_http(process: ControlPlaneProcess, past: Decided) -> dict[str, float]:
    """By the process that runs already; the server starts it and stops it again."""
    listener = bind("127.0.0.1", 0, behind_proxy=False)
    listener.listen()
    port = listener.getsockname()[1]
    config = uvicorn.Config(create_app(process), log_level="error", access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{port}"
    async with AsyncClient(url, username="admin", password=ours.PASSWORD) as client:
        told = {
            "port": port,
            "token": await client.token(),
            "requests": "gets",
            "paths": [f"/v1/tasks/{task_id}/why" for task_id in past.task_ids],
            "connections": 1,
            "warm_up_seconds": 1,
            "seconds": HTTP_SECONDS,
        }
    result = await asyncio.to_thread(_load, told)
    server.should_exit = True
    await serving
    return {"why_http_p50": result["p50_ms"], "why_http_p99": result["p99_ms"]}


def _load(told: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.jobs.http_load"],
        input=json.dumps(told) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=LOAD_SECONDS_MAX,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


async def _measure(told: dict[str, Any]) -> dict[str, float]:
    urls = ours.Urls(told["owner"], told["application"])
    data_dir = Path(told["data_dir"])
    ours.migrated(urls)
    past = fill(urls, decisions=told["decisions"])
    figures: dict[str, float] = {"decided_events": past.events}
    # Nothing that is asked here needs a read model: nobody folds a new log meanwhile.
    with ours.somebody_else_leads(urls):
        async with ours.a_process(urls, data_dir) as process:
            figures |= await _why(process, past) | await _what_if(process)
        # A server starts and stops the process that it serves.
        return figures | await _over_http(ours.made(urls, data_dir), past)


def measure(told: dict[str, Any]) -> dict[str, float]:
    """All of it."""
    return uvloop.run(_measure(told))


if __name__ == "__main__":
    answer(measure)
