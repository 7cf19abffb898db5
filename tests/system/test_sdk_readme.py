"""The README's programs, as they stand there, and a worker's way with signals."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from musterroll import Client
from tests.conftest import Database
from tests.interfaces.service import PASSWORD, Service

ROOT = Path(__file__).parents[2]
SDK = ROOT / "interfaces" / "sdk"
WORKER, CLIENT, LIVE = re.findall(
    r"```python\n(.*?)```", (SDK / "README.md").read_text(), re.DOTALL
)[:3]
PATIENCE_SECONDS = 30

WAITER = """
import time
from pathlib import Path
from musterroll import Worker
worker = Worker(name="waiter")

@worker.task("wait")
def wait(task):
    while not task.cancelled and not Path(task.input).exists():
        time.sleep(0.01)
    return "waited"

worker.run()
"""


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    with Service(database, tmp_path, heartbeat_seconds=0.2) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url, username="admin", password=PASSWORD) as client:
        yield client


@contextmanager
def program(text: str, service: Service) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "MUSTERROLL_URL": service.url,
        "MUSTERROLL_USERNAME": "admin",
        "MUSTERROLL_PASSWORD": PASSWORD,
        "PYTHONPATH": str(SDK / "src"),
        "PYTHONWARNINGS": "error",
    }
    with subprocess.Popen(
        [sys.executable, "-c", text],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def until_running(client: Client, task_id: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while client.tasks.status(task_id).status != "running":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_worker_and_the_client_of_the_readme_work(service: Service) -> None:
    with program(WORKER, service) as worker, program(CLIENT, service) as client:
        out, error = client.communicate(timeout=PATIENCE_SECONDS)
        assert (out, error, client.returncode) == ("{'words': 6}\n", "", 0)

        worker.send_signal(signal.SIGTERM)
        out, log = worker.communicate(timeout=PATIENCE_SECONDS)

    assert (worker.returncode, out) == (0, "")
    assert "worker counter is agent" in log
    assert log.splitlines()[-1].endswith("INFO worker counter has stopped")


def test_the_live_events_of_the_readme_come(service: Service) -> None:
    with program(WORKER, service), program(LIVE, service) as live:
        out, error = live.communicate(timeout=PATIENCE_SECONDS)

    assert (error, live.returncode) == ("", 0)
    assert re.fullmatch(r"task/[0-9a-f-]{36} \{'words': 2\}\n", out)


def until_logged(worker: subprocess.Popen[str], text: str) -> None:
    assert worker.stderr
    while text not in worker.stderr.readline():
        assert worker.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_task_end(
    service: Service, client: Client, tmp_path: Path, number: signal.Signals
) -> None:
    awaited = tmp_path / "awaited"
    with program(WAITER, service) as worker:
        task = client.tasks.submit("wait", str(awaited))
        until_running(client, task.id)
        worker.send_signal(number)
        until_logged(worker, "stopping; a second signal does not wait")
        awaited.touch()
        _, log = worker.communicate(timeout=PATIENCE_SECONDS)

    assert worker.returncode == 0, log
    assert client.tasks.status(task.id).result == "waited"


def test_a_second_signal_gives_the_task_back(
    service: Service, client: Client, tmp_path: Path
) -> None:
    with program(WAITER, service) as worker:
        task = client.tasks.submit("wait", str(tmp_path / "never"), max_attempts=1)
        until_running(client, task.id)
        worker.send_signal(signal.SIGTERM)
        until_logged(worker, "stopping; a second signal does not wait")
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=PATIENCE_SECONDS)

    assert worker.returncode == 0, log
    found = client.tasks.get(task.id)
    assert (found.status, found.failures) == ("queued", 0)


def test_without_a_service_a_worker_says_what_to_do_in_one_line(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SDK / "src")}
    environment["MUSTERROLL_DATA_DIR"] = str(tmp_path / "none")

    ended = subprocess.run(
        [sys.executable, "-c", WORKER],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert ended.returncode == 1
    assert "no service found: start one with `muster up`" in ended.stderr.splitlines()[-1]
