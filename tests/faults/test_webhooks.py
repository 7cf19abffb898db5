"""Goal: whatever is killed, and whenever, a webhook is posted every event, those of an aggregate in
order; some twice.

Method: a service posts to a receiver of the test's own, which fails now and then; the service is
killed under load, or its database is stopped. In the end the receiver must have what the log has.
"""

import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import httpx

from application.webhooks.patience import Patience
from infrastructure.postgres.embedded import EmbeddedPostgres
from tests.conftest import Database
from tests.interfaces.service import Service
from tests.receiver import Receiver, Reply
from tests.system.service import ServiceProcess

KILLS = 6
TASKS_A_ROUND = 40
SECONDS_MAX = 60


def allowed_webhook(client: httpx.Client, url: str) -> str:
    body = {"url": url, "channels": ["tasks"], "after": "start"}
    made: dict[str, Any] = client.post("/v1/webhooks", json=body).raise_for_status().json()
    client.post(f"/v1/webhooks/{made['webhook_id']}/allow").raise_for_status()
    return str(made["webhook_id"])


def work(client: httpx.Client, tasks: int) -> None:
    """Two events for each task."""
    body = {"tasks": [{"kind": "k"}] * tasks}
    outcomes = client.post("/v1/tasks/batch", json=body).raise_for_status().json()["outcomes"]
    for outcome in outcomes[::2]:
        client.post(f"/v1/tasks/{outcome['task_id']}/cancel").raise_for_status()


def work_until_it_is_killed(client: httpx.Client) -> None:
    with suppress(httpx.HTTPError):
        work(client, TASKS_A_ROUND)


def in_the_log(client: httpx.Client) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    after = "1:0"
    while True:
        page = client.get("/v1/events", params={"after": after, "limit": 1_000}).json()
        for event in page["items"]:
            if event["type"].startswith("task."):
                found.setdefault(event["subject"], []).append(event["id"])
        if not page["items"]:
            return found
        after = page["next_cursor"]


def taken(receiver: Receiver) -> dict[str, list[str]]:
    """By aggregate, in the order in which they came first."""
    found: dict[str, list[str]] = {}
    for one in list(receiver.taken):
        cursors = found.setdefault(one.event["subject"], [])
        if one.cursor not in cursors:
            cursors.append(one.cursor)
    return found


def eventually(ask: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not ask():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def has_come_to_the_end(client: httpx.Client, webhook_id: str) -> bool:
    shown = client.get(f"/v1/webhooks/{webhook_id}").raise_for_status().json()
    return bool(shown["lag"] == 0 and shown["parked"] == 0)


def test_a_killed_service_posts_everything_and_in_order(tmp_path: Path, rng: random.Random) -> None:
    # Failures are rare, since the first pause is five seconds.
    with (
        Receiver(lambda _: Reply(500 if rng.random() < 0.01 else 200)) as receiver,
        ServiceProcess(tmp_path / "data", webhook_private_targets="true") as service,
    ):
        with service.client() as client:
            webhook_id = allowed_webhook(client, receiver.url)
        for _ in range(KILLS):
            with service.client() as client:
                count = len(receiver.received) + rng.randrange(1, TASKS_A_ROUND)
                working = threading.Thread(target=work_until_it_is_killed, args=(client,))
                working.start()
                receiver.wait_for_posts(count)
                service.kill()
                working.join()
            service.start()
        receiver.answering = lambda _: Reply()
        with service.client() as client:
            eventually(lambda: has_come_to_the_end(client, webhook_id), "it stands still")
            log = in_the_log(client)
        output = service.output

    assert taken(receiver) == log
    assert len(log) >= KILLS
    assert "whsec_" not in output
    assert "/hook" not in output


def test_deliveries_go_on_when_the_database_is_back(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    database = Database(name="own", url=postgres.url, owner_url=postgres.owner_url)
    service = Service(database, tmp_path, webhook_private_targets=True)
    service.process.patience = Patience((0.1,) * 100)
    with Receiver() as receiver, service, service.client() as client:
        webhook_id = allowed_webhook(client, receiver.url)
        work(client, 10)
        receiver.wait_for(5)
        receiver.answering = lambda _: Reply(500)
        work(client, 10)
        receiver.wait_until(lambda: len(receiver.received) > len(receiver.taken))

        postgres.stop()
        during = len(receiver.received)
        receiver.answering = lambda _: Reply()
        postgres.start()

        def answers() -> bool:
            return client.get("/readyz").status_code == 200

        eventually(answers, "the service is not back")
        work(client, 10)
        eventually(lambda: has_come_to_the_end(client, webhook_id), "it stands still")
        log = in_the_log(client)

    assert len(receiver.received) > during
    assert taken(receiver) == log
    assert len(log) == 30


class Standby(Service):
    """A second process beside the one that leads; by its readiness it is not ready yet."""

    def __enter__(self) -> Self:
        self._thread.start()
        httpx.get(f"{self.url}/healthz", timeout=30).raise_for_status()
        return self


def test_another_process_takes_over(database: Database, tmp_path: Path) -> None:
    """What is asked of the one on standby reaches the one that delivers."""
    settings: dict[str, Any] = {"webhook_private_targets": True}
    first, second = Service(database, tmp_path, **settings), Standby(database, tmp_path, **settings)
    with Receiver() as receiver, ExitStack() as until_the_end:
        with first:
            until_the_end.enter_context(second)
            assert not second.process.workforce.leading
            client = until_the_end.enter_context(second.client())
            webhook_id = allowed_webhook(client, receiver.url)
            work(client, 5)
            receiver.wait_for(8)
        work(client, 5)
        eventually(lambda: has_come_to_the_end(client, webhook_id), "it stands still")
        log = in_the_log(client)

    assert taken(receiver) == log
    assert len(log) == 10
