"""What sealing costs those who append, and how fast a log is sealed and verified.

Told `{"owner", "application", "data_dir", "rounds", "seconds", "events"}`, it answers
`{figure: value}`: the appending in rounds with sealing and without, in turns; then the rest on a
log of so many events more. The CPU of an event is that of this process and of those that it began,
so PostgreSQL is in it only when it runs by itself: `python -m benchmarks.jobs.seals alone`, on a
PostgreSQL of its own, on disk.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from benchmarks import our_seals, ours
from benchmarks.jobs.job import answer
from benchmarks.timing import rate_in_flight

IN_FLIGHT = 256
WARM_UP_SECONDS = 2.0
ALONE = {"rounds": 9, "seconds": 3.0, "events": 1_000_000}


async def _append(urls: ours.Urls, data_dir: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """Submissions a second through the writer of a process that does nothing else but seal.

    What was appended without seals is sealed before the clock runs again.
    """
    rates: dict[str, list[float]] = {"off": [], "on": []}
    efforts: dict[str, list[float]] = {"off": [], "on": []}
    async with ours.a_process(urls, data_dir) as process:
        sealer = our_seals.a_sealer(urls, data_dir, process.watermarks)

        async def submit() -> None:
            await process.commands.execute(ours.submit_task())

        async def measured(how: str) -> None:
            before = our_seals.cpu_seconds()
            count, found = await rate_in_flight(submit, in_flight=IN_FLIGHT, seconds=seconds)
            rates[how].append(found)
            efforts[how].append((our_seals.cpu_seconds() - before) / count)

        await rate_in_flight(submit, in_flight=IN_FLIGHT, seconds=WARM_UP_SECONDS)
        for number in range(rounds):
            for how in ("off", "on") if number % 2 else ("on", "off"):
                our_seals.seal_everything(sealer)
                if how == "off":
                    await measured(how)
                    continue
                async with our_seals.sealing(sealer):
                    await measured(how)
    shares = [on / off for on, off in zip(rates["on"], rates["off"], strict=True)]
    return {
        "append_without_sealing": median(rates["off"]),
        "append_with_sealing": median(rates["on"]),
        "sealing_cost_percent": 100 * (1 - median(shares)),
        "append_cpu_microseconds": 1e6 * median(efforts["off"]),
        "append_sealed_cpu_microseconds": 1e6 * median(efforts["on"]),
        "sealing_cost_percent_rounds": [round(100 * (1 - share), 2) for share in shares],
    }


def _sealed_and_verified(urls: ours.Urls, data_dir: Path, events: int) -> dict[str, float]:
    our_seals.fill(urls, events)
    sealer = our_seals.a_sealer(urls, data_dir)
    began = time.perf_counter()
    our_seals.seal_everything(sealer)
    sealing = time.perf_counter() - began
    found = [our_seals.verified(urls) for _ in range(3)]
    assert all(verdict.fault is None for verdict, _, _ in found), found[0][0].fault
    return {
        "seal_events": events / sealing,
        "verify_events": median(verdict.sealed / took for verdict, took, _ in found),
        "verify_events_a_cpu_second": median(verdict.sealed / cpu for verdict, _, cpu in found),
        "sealed_events": events,
    }


def measure(told: dict[str, Any]) -> dict[str, Any]:
    """The figures, events a second where nothing else is said."""
    urls, data_dir = ours.Urls(told["owner"], told["application"]), Path(told["data_dir"])
    ours.migrated(urls)
    with ours.somebody_else_leads(urls):
        figures = uvloop.run(_append(urls, data_dir, told["rounds"], told["seconds"]))
    return figures | _sealed_and_verified(urls, data_dir, told["events"])


def alone() -> dict[str, Any]:
    """On a PostgreSQL of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="musterroll-seals-") as folder,
        ours.postgres(Path(folder) / "postgres") as urls,
    ):
        told = {"owner": urls.owner, "application": urls.application, "data_dir": folder}
        return measure({**told, **ALONE})


if __name__ == "__main__":
    if sys.argv[1:] == ["alone"]:
        sys.stdout.write(json.dumps(alone(), indent=2) + "\n")
    else:
        answer(measure)
