"""Our service as `muster up` starts it, and the figures that are taken over HTTP."""

import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import ours
from benchmarks.children import Child, ChildFailed
from benchmarks.payload import BATCH_TASKS
from benchmarks.place import Place
from benchmarks.timing import bounded, percentile
from benchmarks.worker import Worker, a_worker
from musterroll import Client
from musterroll.errors import Unavailable

READY_SECONDS_MAX = 60.0
CATCH_UP_SECONDS_MAX = 120.0
BATCH_CONNECTIONS = 4
CONNECTIONS = 32
STATUS_IDS = 5_000
USERNAME = "admin"


class Service:
    """A running `muster up`, from its clients' side."""

    def __init__(self, place: Place, urls: ours.Urls, child: Child, url: str) -> None:
        self.urls = urls
        self.url = url
        self._place = place
        self._child = child
        self._done_here = 0
        self._done_elsewhere = 0
        self._never_done = 0
        self._ids: list[str] = []

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def memory_mib(self) -> float:
        """Resident memory of the service's process, MiB."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        [kibibytes] = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
        return int(kibibytes) / 1024

    @property
    def memory_kib(self) -> float:
        """The service's own share of memory (PSS: what it shares is divided), KiB."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        [kibibytes] = [line.split()[1] for line in lines if line.startswith("Pss:")]
        return float(kibibytes)

    @property
    def signed_in_url(self) -> str:
        """The service's URL, as systems/musterroll.py takes it."""
        return self.url.replace("http://", f"http://{USERNAME}:{ours.PASSWORD}@")

    @contextmanager
    def worker(self) -> Iterator[Worker]:
        """One SDK worker in a process of its own."""
        place = self._place
        with a_worker(place.ours_python, "musterroll", self.signed_in_url, log=place.log) as worker:
            yield worker

    def load(self, requests: str, **told: Any) -> dict[str, Any]:
        """Load from a process of its own; see jobs/http_load.py. Raises ChildFailed."""
        port = int(self.url.rpartition(":")[2])
        with self.client() as client:
            base = {"port": port, "token": client.token(), "warm_up_seconds": 0}
        result: dict[str, Any] = self._place.job(
            "http_load", {**base, "requests": requests, **told}
        )
        return result

    def client(self) -> Client:
        """The SDK's client, signed in."""
        return Client(self.url, username=USERNAME, password=ours.PASSWORD)

    def submit_rate(self, connections: int) -> float:
        """Tasks a second, one a request, over so many connections."""
        effort = self._place.effort
        result = self.load(
            "submit",
            connections=connections,
            warm_up_seconds=effort.warm_up_seconds,
            seconds=effort.seconds,
        )
        self._never_done += result["answers"] + result["warm_up_answers"]
        return float(result["rate"])

    def submit_batch_rate(self) -> float:
        """Tasks a second, 100 a request."""
        effort = self._place.effort
        result = self.load(
            "batch",
            connections=BATCH_CONNECTIONS,
            warm_up_seconds=effort.warm_up_seconds,
            seconds=effort.seconds,
        )
        self._never_done += (result["answers"] + result["warm_up_answers"]) * BATCH_TASKS
        return float(result["rate"]) * BATCH_TASKS

    def tasks_rate(self, worker: Worker, *, batched: bool) -> float:
        """Tasks a second from the first request until the last shows as completed."""
        effort = self._place.effort
        rate = self.tasks(worker, effort.warm_up_tasks, batched=batched)
        count = rate * effort.tasks_seconds
        count = bounded(count, least=effort.tasks_min, most=effort.tasks_max)
        return self.tasks(worker, count, batched=batched)

    def tasks(self, worker: Worker, count: int, *, batched: bool) -> float:
        """The same for about so many tasks."""
        requests = max(1, count // BATCH_TASKS) if batched else count
        result = self.load(
            "batch" if batched else "submit",
            connections=BATCH_CONNECTIONS if batched else CONNECTIONS,
            count=requests,
            ids_max=STATUS_IDS,
        )
        submitted = requests * (BATCH_TASKS if batched else 1)
        self._done_here += submitted
        self._ids += result["ids"]
        return submitted / (self.wait_until_completed(worker) - float(result["began"]))

    def wait_until_completed(self, worker: Worker) -> float:
        """When the last of all tasks that were to be done showed as completed."""
        with self.client() as client:

            def unfinished() -> int:
                done = client.tasks.counts().counts["completed"]
                return self._done_elsewhere + self._done_here - done

            return worker.wait_until_done(self._done_here, unfinished)

    def pickup(self) -> dict[str, float]:
        """From a submit call of the SDK to the start of the handler, idle, ms."""
        place = self._place
        told = {
            "system": "musterroll",
            "url": self.signed_in_url,
            "parts": ["pickup"],
            "effort": place.effort.as_argument(),
            "log": str(place.log),
        }
        figures: dict[str, float] = place.job("drive", told)
        self._done_elsewhere += place.effort.pickups + place.effort.warm_up_tasks
        return figures

    def status(self) -> dict[str, float]:
        """Answers a second to where one of many tasks stands, with 32 connections."""
        effort = self._place.effort
        ids = random.sample(self._ids, min(STATUS_IDS, len(self._ids)))
        result = self.load(
            "gets",
            connections=CONNECTIONS,
            warm_up_seconds=effort.warm_up_seconds,
            seconds=effort.seconds,
            paths=[f"/v1/tasks/{one}/status" for one in ids],
        )
        return {"status": result["rate"], "status_p99": result["p99_ms"]}

    def check(self) -> None:
        """Everything that was answered is in the log and in the read model, and nothing else is.

        Raises ChildFailed.
        """
        done = self._done_here + self._done_elsewhere
        wanted = done + self._never_done
        deadline = time.monotonic() + CATCH_UP_SECONDS_MAX
        with self.client() as client:
            while (shown := sum(client.tasks.counts().counts.values())) < wanted:
                if time.monotonic() > deadline:
                    raise ChildFailed(f"{shown} of {wanted} tasks are shown")
                time.sleep(0.1)
        topics = ours.count_by_topic(self.urls)
        found = {topic: topics.get(topic, 0) for topic in (ours.SUBMITTED, ours.COMPLETED)}
        if shown != wanted or found[ours.SUBMITTED] != wanted:
            raise ChildFailed(f"{wanted} tasks were taken in, {shown} are shown, {found} logged")
        if found[ours.COMPLETED] != done:
            raise ChildFailed(f"{done} tasks were done, the log has {found}")


@contextmanager
def a_service(place: Place, urls: ours.Urls) -> Iterator[Service]:
    """`muster up` on a database, ready, in a process of its own."""
    data_dir = place.new_folder()
    words = [place.ours_python, "-m", "interfaces.cli.main", "up", "--port", "0"]
    words += ["--until-stdin-closes", "--log-level", "error"]
    settings = {
        "MUSTERROLL_DATA_DIR": str(data_dir),
        "MUSTERROLL_DATABASE_URL": urls.application,
        "MUSTERROLL_DATABASE_OWNER_URL": urls.owner,
        "MUSTERROLL_ADMIN_PASSWORD": ours.PASSWORD,
    }
    plain = {key: value for key, value in os.environ.items() if not key.startswith("MUSTERROLL_")}
    with Child(words, log=place.log, environment={**plain, **settings}) as child:
        yield Service(place, urls, child, _wait_until_ready(child, data_dir))


def _wait_until_ready(child: Child, data_dir: Path) -> str:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and child.running:
        found = _service_file(data_dir)
        if found is not None:
            with suppress(Unavailable), Client(found, retry_seconds=0) as client:
                client.ready()
                return found
        time.sleep(0.05)
    raise child.failed("muster up was not ready")


def _service_file(data_dir: Path) -> str | None:
    try:
        return str(json.loads((data_dir / "service.json").read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError):
        return None


def lag_p99(watch: ours.LagWatch) -> float:
    """The lag that 99 of 100 looks did not exceed, ms."""
    return percentile(watch.lags_ms(), 0.99)
