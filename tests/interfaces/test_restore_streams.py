"""Goal: whoever listens or waits while a store is switched is sent away at once, and hears on its
way back that its cursor is of another epoch. Method: real sockets on a service that is restored."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Database
from tests.interfaces.live import Subscriber, submitted, token_of
from tests.interfaces.restored import backed_up, post, restored, store_of, undone
from tests.interfaces.service import Service
from tests.interfaces.test_http_stream import listening

RESTART = 1012
WAIT_SECONDS = 30
SENT_AWAY = {(503, "stopping"), (503, "database_unavailable"), (410, "epoch_ended")}
"""What an answer says to whoever waits while a store is switched."""
Switching = Callable[[], object]


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    with Service(database, tmp_path, backup_seconds=0) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


@pytest.fixture
def switched(request: pytest.FixtureRequest, client: httpx.Client) -> Switching:
    """Puts another store in the place of the one that serves, once it is called."""
    submitted(client)
    archive = backed_up(client)
    submitted(client)
    if getattr(request, "param", "restore") == "restore":
        return partial(restored, client, archive)
    restored(client, archive)
    return partial(undone, client)


@pytest.mark.parametrize("switched", ["restore", "undo"], indirect=True)
def test_a_websocket_is_closed_for_a_restart_and_its_cursor_is_answered_with_a_resync(
    service: Service, client: httpx.Client, switched: Switching
) -> None:
    with Subscriber(service, token_of(client)) as before:
        former = before.subscribe("tasks", after="start")[-1]["cursor"]
        switched()
        closed = before.close_code()

    with Subscriber(service, token_of(client)) as after:
        after.say(type="subscribe", channels=["tasks"], after=former, id="a")
        resync = after.until(lambda frame: frame["type"] == "resync")[-1]
        present = resync["cursor"]
        after.subscribe("tasks", after=present)
        task_id = submitted(client)
        (event,) = after.events(1)

    epoch = store_of(client)["epoch"]
    assert closed == RESTART
    assert (resync["reason"], present.partition(":")[0]) == ("epoch_ended", str(epoch))
    assert not former.startswith(f"{epoch}:")
    assert (event["type"], event["subject"]) == ("task.submitted", f"task/{task_id}")


def test_an_event_stream_ends_and_its_last_event_is_answered_with_410(
    client: httpx.Client, switched: Switching
) -> None:
    with listening(client, "channels=tasks&after=start") as events:
        former = next(event["id"] for event in events if event.get("event") == "caught_up")
        switched()
        rest = rest_of(events)

    again = client.get("/v1/stream?channels=tasks", headers={"Last-Event-ID": former})
    assert [event for event in rest if event.get("event") == "task.submitted"] == []
    assert (again.status_code, again.json()["code"]) == (410, "epoch_ended")


def test_whoever_waits_for_events_is_sent_away_and_told_of_the_epoch_on_coming_back(
    client: httpx.Client, switched: Switching
) -> None:
    former = store_of(client)["cursor"]
    # Reads of the log are recorded in it, and an entry of a read ends no wait.
    wait = {"after": former, "type": "task.cancelled", "wait": WAIT_SECONDS}
    with ThreadPoolExecutor(1) as waiter:
        waiting = waiter.submit(got, client, "/v1/events", wait)
        switched()
        answer = waiting.result(WAIT_SECONDS)

    again = client.get("/v1/events", params=wait)
    assert answer is None or (answer.status_code, answer.json()["code"]) in SENT_AWAY
    assert (again.status_code, again.json()["code"]) == (410, "epoch_ended")


def test_a_worker_that_waits_for_leases_is_sent_away(
    service: Service, client: httpx.Client, switched: Switching
) -> None:
    agent = post(client, "/v1/agents", {"name": "a", "capabilities": ["other"]})
    path = f"/v1/agents/{agent['agent_id']}/leases"
    with (
        service.machine(agent["client_id"], agent["client_secret"]) as worker,
        ThreadPoolExecutor(1) as waiter,
    ):
        waiting = waiter.submit(asked, worker, path)
        switched()
        # Long before what it asked for: whoever is left alone hears nothing until then.
        answer = waiting.result(WAIT_SECONDS / 3)

    assert answer is None or answer.status_code in {200, 503}
    assert answer is None or answer.json().get("leases", []) == []


def got(client: httpx.Client, path: str, query: dict[str, Any]) -> httpx.Response | None:
    """The answer; None: the connection was closed."""
    with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60) as own:
        try:
            return own.get(path, params=query)
        except httpx.TransportError:
            return None


def asked(worker: httpx.Client, path: str) -> httpx.Response | None:
    """The same of a wait for leases."""
    headers = {"Idempotency-Key": str(uuid4())}
    try:
        body = {"slots": 1, "wait_seconds": WAIT_SECONDS}
        return worker.post(path, json=body, headers=headers)
    except httpx.TransportError:
        return None


def rest_of(events: Iterator[dict[str, str]]) -> list[dict[str, str]]:
    """What still comes of a stream, to its end, however that comes."""
    rest: list[dict[str, str]] = []
    with suppress(httpx.TransportError):
        rest.extend(events)
    return rest
