"""The long run of scripts/live_faults.py: kills and cuts, then burdens, on a durable PostgreSQL."""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Self

import psutil

from benchmarks.children import Child
from benchmarks.cores import cores, settle
from infrastructure.postgres.embedded import EmbeddedPostgres
from tests.system.live_bare import PATH
from tests.system.live_story import KINDS, WISHES, Story, log_of
from tests.system.service import ROOT, ServiceProcess

RESULT = ROOT / "scripts" / "benchmarks" / "results" / "live_faults.json"
FOLDER = ROOT / ".tools" / "faults"
SEED = "MUSTERROLL_TEST_SEED"
ORDER_SECONDS_MAX = 300.0
MEBIBYTE = 2**20
MEMORY_LOOK_SECONDS = 0.2
P99_TIMES_MAX, MEMORY_BYTES_MAX = 2.0, MEBIBYTE
EVERYTHING = ["tasks", "agents", "collaborations", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """The sizes of a run."""

    cuts: int
    kills: int
    watchers: int
    healthy: int
    burdens: dict[str, int]
    #: How long commands are timed, without burdens and with them, s.
    baseline_seconds: float
    burdened_seconds: float


A_SECOND = 50
TEXT_BYTES = 2_000
"""Of each task's input: a reader that stalls soon has 256 KiB unsent beside the kernel's part."""
FULL = Effort(
    cuts=1_000,
    kills=50,
    watchers=36,
    healthy=50,
    burdens={
        "deaf": 10,
        "late": 12,
        "deaf_stream": 10,
        "trickling": 10,
        "mute": 10,
        "flapping": 10,
        "idle": 500,
    },
    baseline_seconds=20,
    burdened_seconds=75,
)
QUICK = Effort(
    cuts=40,
    kills=3,
    watchers=len(WISHES) * len(KINDS),
    healthy=20,
    burdens={
        "deaf": 2,
        "late": 12,
        "deaf_stream": 2,
        "trickling": 2,
        "mute": 2,
        "flapping": 2,
        "idle": 20,
    },
    baseline_seconds=3,
    burdened_seconds=50,
)


def main() -> int:
    """0 when everything held, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="live_faults.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    quick = parser.parse_args().quick
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    seed = int(os.environ.get(SEED, random.SystemRandom().randrange(2**32)))
    tell(f"seed: {seed} ({SEED}={seed} repeats it)")
    effort = QUICK if quick else FULL
    began = time.monotonic()
    result: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "seed": seed}
    result["effort"] = asdict(effort)
    with a_service() as service:
        result["kills_and_cuts"] = kills_and_cuts(service, random.Random(seed), effort)
    with a_service() as service:
        result["burdens"] = burdens(service, effort)
    result["wrong"] = [*result["kills_and_cuts"].pop("wrong"), *result["burdens"].pop("wrong")]
    result["seconds"] = round(time.monotonic() - began)
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if not quick:
        RESULT.write_text(text, encoding="utf-8")
    return 1 if result["wrong"] else 0


def kills_and_cuts(service: ServiceProcess, rng: random.Random, effort: Effort) -> dict[str, Any]:
    """Every watcher sees its part of the log once, in order."""
    tell(f"{effort.cuts} cut connections and {effort.kills} kills")
    story = Story(service, rng, watchers=effort.watchers)
    return asdict(asyncio.run(story.tell(cuts=effort.cuts, kills=effort.kills)))


def burdens(service: ServiceProcess, effort: Effort) -> dict[str, Any]:
    """What healthy subscribers notice of those that are not, and what these cost."""
    server_core, load_core = cores()
    settle(service.pid, server_core)
    words = [sys.executable, "-m", "benchmarks.jobs.live_load"]
    with Child(words, log=FOLDER / "load.log") as load:
        settle(load.pid, load_core)
        return _Burdened(service, load, effort).measure()


class _Burdened:
    """Commands are timed up to their delivery: with healthy subscribers alone, then with others."""

    def __init__(self, service: ServiceProcess, load: Child, effort: Effort) -> None:
        self._service = service
        self._load = load
        self._effort = effort
        with service.client() as client:
            self._token = client.headers["Authorization"].removeprefix("Bearer ")

    def measure(self) -> dict[str, Any]:
        """Figures, how everybody ended, and what is wrong with that."""
        effort = self._effort
        port = int(self._service.url.rpartition(":")[2])
        self._ask("server", port=port, path=PATH, token=self._token, posts=8)
        healthy = {"count": effort.healthy, "keep": effort.healthy}
        self._ask("connect", **healthy, subscribe={"channels": EVERYTHING, "after": "now"})
        tell(f"{effort.healthy} healthy subscribers alone")
        self._latency(2)
        at_first = self._memory_bytes()
        baseline = self._latency(effort.baseline_seconds)
        # Tasks that are open are kept in memory, whoever listens.
        grown = max(0, self._memory_bytes() - at_first) / effort.baseline_seconds
        tell(f"the same with {effort.burdens}")
        words = [sys.executable, "-m", "tests.system.live_burdens"]
        with Child(words, log=FOLDER / "burdens.log") as others:
            settle(others.pid, cores()[1])
            told = {"url": self._service.url, "token": self._token, "counts": effort.burdens}
            expected = self._memory_bytes() + int(grown * effort.burdened_seconds)
            others.ask(told, ORDER_SECONDS_MAX)
            watching = _MemoryWatch(self._service.pid)
            with watching:
                burdened = self._latency(effort.burdened_seconds)
            ended = others.ask(None, ORDER_SECONDS_MAX)
        clients = sum(count for kind, count in effort.burdens.items() if kind != "idle")
        result = {
            "baseline": baseline,
            "burdened": burdened,
            "p99_times": burdened["p99_ms"] / baseline["p99_ms"],
            "memory_bytes_a_busy_client": max(0, watching.most - expected) // clients,
            "ended": ended,
        }
        return result | {"wrong": self._wrong(result)}

    def _wrong(self, result: dict[str, Any]) -> list[str]:
        wrong = []
        if result["p99_times"] > P99_TIMES_MAX:
            wrong.append(f"the others' p99 is {result['p99_times']:.2f} times the baseline's")
        if result["memory_bytes_a_busy_client"] > MEMORY_BYTES_MAX:
            wrong.append(
                f"{result['memory_bytes_a_busy_client']} bytes of memory a client that is not idle"
            )
        ended = result["ended"]
        wrong += [
            f"of those that are {kind}, some are still connected: {ended[kind]}"
            for kind in ("deaf", "deaf_stream", "trickling", "mute")
            if "open" in ended[kind]
        ]
        if "4008" not in ended["late"]:
            wrong.append(f"nobody was told why they were sent away: {ended['late']}")
        if ended["idle"].keys() != {"open"}:
            wrong.append(f"of those that are idle, some are gone: {ended['idle']}")
        kept = self._ask("kept")
        logged = [event["id"] for event in log_of(self._service, after=kept["ids"][0])]
        if not kept["alike"] or kept["ids"][1:] != logged:
            wrong.append(f"healthy ones got {len(kept['ids']) - 1} events of {len(logged)}")
        return wrong

    def _latency(self, seconds: float) -> dict[str, float]:
        found: dict[str, float] = self._ask(
            "latency", seconds=seconds, a_second=A_SECOND, text_bytes=TEXT_BYTES
        )
        return found

    def _memory_bytes(self) -> int:
        memory: int = psutil.Process(self._service.pid).memory_info().rss
        return memory

    def _ask(self, do: str, **arguments: Any) -> Any:
        return self._load.ask({"do": do, **arguments}, ORDER_SECONDS_MAX)


class _MemoryWatch:
    """The most memory that a process had resident while a with statement ran, bytes."""

    def __init__(self, pid: int) -> None:
        self.most = 0
        self._process = psutil.Process(pid)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ending.wait(MEMORY_LOOK_SECONDS):
            self.most = max(self.most, self._process.memory_info().rss)


@contextmanager
def a_service() -> Iterator[ServiceProcess]:
    """`muster up` on a durable PostgreSQL, both in a folder that is gone at the end."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=FOLDER) as name:
        folder = Path(name)
        postgres = EmbeddedPostgres(folder / "postgres")
        postgres.start()
        try:
            urls = {"database_url": postgres.url, "database_owner_url": postgres.owner_url}
            with ServiceProcess(folder / "service", log_level="error", **urls) as service:
                yield service
        finally:
            postgres.stop()


def tell(what: str) -> None:
    """How far we are."""
    print(what, file=sys.stderr, flush=True)


def _as_ctrl_c(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
