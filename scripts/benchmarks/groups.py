"""What is measured together: each group takes its figures in a fresh place and records them."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import ours
from benchmarks.children import Child
from benchmarks.growth import growth
from benchmarks.history import HISTORY_GROUPS
from benchmarks.live import LIVE_GROUPS
from benchmarks.pgbench import commits_a_second
from benchmarks.place import NotMeasured, Place
from benchmarks.restate import restate
from benchmarks.service import CATCH_UP_SECONDS_MAX, a_service, lag_p99

Record = Callable[[str, float], None]
Group = Callable[[Place, Record], None]

SERVER_SECONDS_MAX = 30.0
LIBRARY_THREADS = 8
FLOOR_CONNECTIONS = 32
PEER_PARTS = ("pickup", "tasks", "status", "submit")
REDIS = ("--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always")


def limits(place: Place, record: Record) -> None:
    """What the disk and PostgreSQL can do at most."""
    effort = place.effort
    record("fdatasync", place.job("disk", {"folder": str(place.folder), "seconds": effort.seconds}))
    with place.database() as urls:
        for clients in (1, 32):
            record(f"pgbench_{clients}", commits_a_second(place, urls.owner, clients))
        record("copy_rows", place.job("copy", {"url": urls.owner, "rows": effort.copy_rows}))


def floor(place: Place, record: Record) -> None:
    """What a Python service could do at most: bare, and with one INSERT in each request."""
    python = place.peers_python if place.has_peers else place.ours_python
    with place.database() as urls:
        record("starlette", _floor_rate(place, python, urls.owner, "none"))
        record("starlette_psycopg", _floor_rate(place, python, urls.owner, "psycopg"))
        if place.has_peers:
            record("starlette_asyncpg", _floor_rate(place, python, urls.owner, "asyncpg"))


def _floor_rate(place: Place, python: str, url: str, driver: str) -> float:
    words = [python, "-m", "benchmarks.jobs.starlette_floor"]
    with Child(words, log=place.log) as server:
        port = server.ask({"url": url, "driver": driver}, SERVER_SECONDS_MAX)["port"]
        asked = {"requests": "get", "path": "/"}
        if driver != "none":
            asked = {"requests": "post", "path": "/insert"}
        effort = place.effort
        told = {
            "port": port,
            "connections": FLOOR_CONNECTIONS,
            "warm_up_seconds": effort.warm_up_seconds,
            "seconds": effort.seconds,
        }
        return float(place.job("http_load", {**asked, **told})["rate"])


def library(place: Place, record: Record) -> None:
    """The library's own save()."""
    effort = place.effort
    with place.database() as urls:
        told = {"url": urls.owner, "threads": LIBRARY_THREADS}
        seconds = {"seconds": effort.seconds, "warm_up_seconds": effort.warm_up_seconds}
        record("library_save", place.job("library_save", {**told, **seconds}))


def peer(name: str) -> Group:
    """A peer that keeps its tasks in PostgreSQL."""

    def group(place: Place, record: Record) -> None:
        python = place.peers_python
        with place.database() as urls:
            _drive(place, python, name, urls.owner, record)

    return group


def taskiq(place: Place, record: Record) -> None:
    """A peer on Redis, which makes every write durable before it answers."""
    python = place.peers_python
    with _redis(place) as url:
        _drive(place, python, "taskiq", url, record)


def _drive(place: Place, python: str, name: str, url: str, record: Record) -> None:
    told = {
        "system": name,
        "url": url,
        "parts": PEER_PARTS,
        "effort": place.effort.as_argument(),
        "log": str(place.log),
    }
    for figure, value in place.job("drive", told, python=python).items():
        record(f"{name}.{figure}", value)


@contextmanager
def _redis(place: Place) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        raise NotMeasured("redis-server is not installed")
    words = [place.ours_python, "-m", "benchmarks.jobs.keep", program, *REDIS]
    # A socket's path may have 107 bytes, and our folder's may be longer.
    with tempfile.TemporaryDirectory(prefix="bench-") as short:
        path = Path(short) / "redis"
        words += ["--dir", str(place.new_folder()), "--unixsocket", str(path)]
        with Child(words, log=place.log) as server:
            server.wait_for(path.exists, SERVER_SECONDS_MAX)
            yield f"unix://{path}"


def commands(place: Place, record: Record) -> None:
    """Our command path in one process, without HTTP."""
    for part in ("alone", "whole", "aggregate"):
        with place.database() as urls:
            ours.migrated(urls)
            told = {
                "owner": urls.owner,
                "application": urls.application,
                "data_dir": str(place.new_folder()),
                "parts": [part],
                "standby": part != "whole",
                "effort": place.effort.as_argument(),
            }
            for figure, value in place.job("commands", told).items():
                record(figure, value)


def service(place: Place, record: Record) -> None:
    """Everything over HTTP on one `muster up`, and the replay of the log that this made."""
    with place.database() as urls:
        with a_service(place, urls) as running:
            for figure, value in running.pickup().items():
                record(f"musterroll.{figure}", value)
            with running.worker() as worker:
                record("musterroll.tasks_one", running.tasks_rate(worker, batched=False))
                with ours.LagWatch(urls) as watch:
                    record("musterroll.tasks_bulk", running.tasks_rate(worker, batched=True))
                    ours.wait_until_projected(urls, CATCH_UP_SECONDS_MAX)
                record("lag_tasks_p99", lag_p99(watch))
            for figure, value in running.status().items():
                record(f"musterroll.{figure}", value)
            record("musterroll.submit_1", running.submit_rate(1))
            record("musterroll.submit_32", running.submit_rate(FLOOR_CONNECTIONS))
            with ours.LagWatch(urls) as watch:
                record("musterroll.submit_bulk", running.submit_batch_rate())
                ours.wait_until_projected(urls, CATCH_UP_SECONDS_MAX)
            running.check()
            record("lag_submit_p99", lag_p99(watch))
        told = {"owner": urls.owner, "application": urls.application}
        for figure, value in place.job("replay", told).items():
            record(figure, value)


GROUPS: dict[str, Group] = {
    "limits": limits,
    "floor": floor,
    "library": library,
    "pgqueuer": peer("pgqueuer"),
    "procrastinate": peer("procrastinate"),
    "dbos": peer("dbos"),
    "taskiq": taskiq,
    "restate": restate,
    "commands": commands,
    "service": service,
    **LIVE_GROUPS,
}
#: Taken once, at the end, since they compare with themselves.
LAST: dict[str, Group] = {"growth": growth, **HISTORY_GROUPS}
