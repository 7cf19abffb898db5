"""Goal: a fault in the live feed is told, and got over: afterwards each event comes once.

Method: an event stands in the log that cannot be read. Whoever filters by labels needs those that
it says its aggregate has, so the hub fails at it, until the owner of the database mends it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from application import duties
from tests.application.poison import mend, poison
from tests.conftest import Database
from tests.interfaces.live import Subscriber, submitted, token_of
from tests.interfaces.service import Service

SECONDS_MAX = 30
BLUE = {"team": "blue"}


def live_events(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{service.url}/readyz").json()["checks"]["live_events"]
    return found


def eventually(ask: Callable[[], dict[str, Any]], wanted: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not wanted(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_a_hub_that_fails_is_told_and_goes_on_where_it_stood(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "STEADY_SECONDS", 0.5)
    with (
        Service(database, tmp_path) as service,
        service.client() as admin,
        Subscriber(service, token_of(admin)) as subscriber,
    ):
        subscriber.subscribe("tasks", labels=BLUE)
        tasks = [submitted(admin, labels=BLUE)]
        events = subscriber.events(1)
        assert live_events(service) == {"ok": True, "lag_events": 0, "failing": False}

        position = poison(database, topic="task.submitted", state=b"{")
        tasks += [submitted(admin, labels=BLUE) for _ in range(3)]
        eventually(lambda: live_events(service), lambda found: found["failing"])
        failing = live_events(service)
        unready = httpx.get(f"{service.url}/readyz").status_code
        figures = admin.get("/metrics").text
        mend(database, position)
        tasks.append(submitted(admin, labels=BLUE))
        events += subscriber.events(len(tasks) - 1)
        eventually(lambda: live_events(service), lambda found: found["ok"])
        silence = subscriber.pong()

    assert (failing["ok"], unready) == (False, 503)
    assert failing["lag_events"] >= 4
    assert 'musterroll_duty_failing{of="live_events"} 1.0' in figures
    assert "musterroll_live_lag_events " in figures
    assert [event["subject"] for event in events] == [f"task/{task_id}" for task_id in tasks]
    assert silence == []
