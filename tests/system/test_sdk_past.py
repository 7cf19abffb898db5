"""The past through the SDK, and the frames that a whole service keeps of it."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from application.time_travel import keeper
from musterroll import AsyncClient, Client
from musterroll.errors import Invalid, NotFound
from tests.conftest import Database
from tests.interfaces.service import PASSWORD, Service

NOBODY = "00000000-0000-7000-8000-000000000000"
KEPT = "SELECT count(*), count(equal), bool_and(equal) FROM musterroll.frames"


@pytest.fixture
def service(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    monkeypatch.setattr(keeper, "EVENTS_APART", 20)
    with Service(database, tmp_path) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url, username="admin", password=PASSWORD) as client:
        yield client


def test_tasks_and_agents_are_read_as_they_were(client: Client) -> None:
    agent = client.agents.register("ada", ["review"])
    task = client.tasks.submit("review", 1)
    before = datetime.now(UTC)
    client.tasks.cancel(task.id)

    assert client.tasks.get(task.id, at="v1").status == "queued"
    assert client.tasks.status(task.id, at=before).status == "queued"
    was = client.agents.get(agent.id, at=agent.cursor)
    assert was.at is not None
    assert was.at.cursor == agent.cursor
    assert [told.type for told in client.tasks.history(task.id)] == [
        "task.submitted",
        "task.cancelled",
    ]
    changes = {one.field: (one.before, one.after) for one in client.tasks.diff(task.id, "v1")}
    assert changes["status"] == ("queued", "cancelled")
    assert client.agents.diff(agent.id, "v1", "v1") == []
    assert [told.version for told in client.agents.history(agent.id)] == [1]
    with pytest.raises(Invalid) as refusal:
        client.tasks.get(task.id, at="v9")
    assert refusal.value.code == "version_ahead"
    with pytest.raises(NotFound):
        client.tasks.get(NOBODY, at="v1")


def test_both_clients_show_everything_as_of_a_moment(service: Service, client: Client) -> None:
    task = client.tasks.submit("review", 1)
    client.tasks.cancel(task.id)

    async def ask() -> tuple[object, object, object]:
        async with AsyncClient(service.url, username="admin", password=PASSWORD) as other:
            state = await other.state(task.cursor)
            found = await other.bisect("tasks.cancelled = 1")
            was = await other.tasks.get(task.id, at="v1")
            return state, found["event"]["type"], was.status

    state, event, status = asyncio.run(ask())

    assert state == client.state(task.cursor)
    assert (event, status) == ("task.cancelled", "queued")
    assert client.bisect("queue.depth > 0", scan=True)["outcome"] == "found"


def test_a_service_keeps_frames_of_its_read_models_and_proves_them(
    service: Service, client: Client, database: Database
) -> None:
    for number in range(90):
        client.tasks.submit("review", number)
    deadline = time.monotonic() + 20

    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        while True:
            row = owner.execute(KEPT.encode()).fetchone()
            assert row is not None
            kept, proved, equal = row
            if kept >= 2 and proved >= 1:
                break
            assert time.monotonic() < deadline, row
    assert equal
    checks = client.ready()["checks"]
    assert checks["frames"] == {"ok": True, "unequal": 0}
    assert "musterroll_frames_unequal 0.0" in client.metrics()
    assert client.state()["tasks"]["counts"]["queued"] == 90


def test_read_models_that_differ_from_the_log_raise_an_alarm_and_nobody_is_turned_away(
    service: Service, client: Client, database: Database
) -> None:
    first = client.tasks.submit("review", 0)
    client.tasks.get(first.id)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("UPDATE musterroll.task_board SET priority = 9")
    for number in range(60):
        client.tasks.submit("review", number)
    deadline = time.monotonic() + 20

    while client.ready()["checks"]["frames"]["ok"]:
        assert time.monotonic() < deadline

    assert client.ready()["ready"]
    assert "musterroll_frames_unequal 0.0" not in client.metrics()
    assert client.tasks.get(first.id, at="v1").priority == 5
