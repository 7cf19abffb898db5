"""Goal: while the database is away nothing is lost and everybody is told to come back; when it is
back, so are we.

Method: a service works on a durable PostgreSQL of this test's own, which is stopped, started, and
killed.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest

from infrastructure.postgres.embedded import EmbeddedPostgres
from tests.conftest import Database
from tests.interfaces.service import Service

BACK_SECONDS_MAX = 5.0
KILLS = 5


@pytest.fixture
def service(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Service]:
    database = Database(name="own", url=postgres.url, owner_url=postgres.owner_url)
    with Service(database, tmp_path, log_level="error") as service:
        yield service


def submit(client: httpx.Client, key: str) -> httpx.Response:
    return client.post("/v1/tasks", json={"kind": "k"}, headers={"Idempotency-Key": key})


def test_while_the_database_is_away_requests_get_503_and_afterwards_the_truth(
    postgres: EmbeddedPostgres, service: Service
) -> None:
    with service.client() as client:
        before = submit(client, "before").json()["task_id"]

        postgres.stop()
        refused = submit(client, "during")
        unready = client.get("/readyz")
        postgres.start()

        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.json()["code"] == "database_unavailable"
        assert unready.status_code == 503
        again = answered_in_time(client, "during")
        assert ids_in_the_log(postgres) == {before, again}


def test_the_work_goes_on_by_itself_when_the_database_is_back(
    postgres: EmbeddedPostgres, service: Service
) -> None:
    with service.client() as client:
        agent = client.post("/v1/agents", json={"name": "a", "capabilities": ["k"]}).json()
        with service.machine(agent["client_id"], agent["client_secret"]) as worker:
            postgres.stop()
            submit(client, "during")
            postgres.start()
            task_id = answered_in_time(client, "during")

            leased = lease_in_time(worker, agent["agent_id"])

            assert leased == task_id


def test_no_acknowledged_task_is_lost_when_postgresql_is_killed_again_and_again(
    postgres: EmbeddedPostgres, service: Service
) -> None:
    acknowledged: set[str] = set()
    over = threading.Event()

    def submit_until_over(number: int) -> None:
        with service.client() as client:
            count = 0
            while not over.is_set():
                answer = submit(client, f"{number}-{count}")
                if answer.status_code == 202:
                    acknowledged.add(answer.json()["task_id"])
                    count += 1
                else:
                    assert answer.status_code == 503, answer.text

    threads = [threading.Thread(target=submit_until_over, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(KILLS):
        kill_after(50, acknowledged, postgres)
    over.set()
    for thread in threads:
        thread.join()

    found = ids_in_the_log(postgres)
    assert acknowledged <= found
    assert len(found - acknowledged) <= len(threads)


def kill_after(count: int, acknowledged: set[str], postgres: EmbeddedPostgres) -> None:
    enough, pid = len(acknowledged) + count, postgres.pid
    wait_until(lambda: len(acknowledged) >= enough)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: postgres.pid not in {None, pid})


def answered_in_time(client: httpx.Client, key: str) -> str:
    deadline = time.monotonic() + BACK_SECONDS_MAX
    while (answer := submit(client, key)).status_code == 503:
        assert time.monotonic() < deadline, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


def lease_in_time(worker: httpx.Client, agent_id: str) -> str:
    deadline = time.monotonic() + BACK_SECONDS_MAX
    while True:
        answer = worker.post(f"/v1/agents/{agent_id}/leases", json={"slots": 1, "wait_seconds": 2})
        if answer.status_code == 200 and answer.json()["leases"]:
            task_id: str = answer.json()["leases"][0]["task_id"]
            return task_id
        assert time.monotonic() < deadline, answer.text


def ids_in_the_log(postgres: EmbeddedPostgres) -> set[str]:
    with psycopg.connect(postgres.url) as connection:
        rows: list[tuple[UUID]] = connection.execute(
            "SELECT aggregate_id FROM musterroll.events WHERE topic = 'task.submitted'"
        ).fetchall()
    return {str(row[0]) for row in rows}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
