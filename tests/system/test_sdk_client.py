"""The SDK's clients against a whole service."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from musterroll import AsyncClient, Client
from musterroll.errors import (
    Conflict,
    EpochEnded,
    Forbidden,
    Invalid,
    NotFound,
    TimedOut,
    Unauthorized,
)
from musterroll.models import NewTask
from tests.conftest import Database
from tests.interfaces.service import PASSWORD, Service

NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    with Service(database, tmp_path) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url, username="admin", password=PASSWORD) as client:
        yield client


def test_a_client_reads_what_it_wrote(client: Client) -> None:
    receipt = client.tasks.submit("count", {"text": "to be"}, priority=7, labels={"team": "a"})

    status = client.tasks.status(receipt.id)
    details = client.tasks.get(receipt.id)

    assert (status.status, status.version) == ("queued", receipt.version)
    assert status.waiting_reason == "no_capable_agent"
    assert (details.input, details.priority) == ({"text": "to be"}, 7)
    assert details.requires == ("count",)
    assert details.submitted_at is not None
    assert client.seen == receipt.cursor


def test_a_repeated_command_is_done_once(client: Client) -> None:
    first = client.tasks.submit("count", 1, idempotency_key="k1")
    again = client.tasks.submit("count", 1, idempotency_key="k1")

    assert again.id == first.id
    with pytest.raises(Invalid) as caught:
        client.tasks.submit("count", 2, idempotency_key="k1")
    assert caught.value.code == "idempotency_key_reused"


def test_many_tasks_are_submitted_listed_and_counted(client: Client) -> None:
    many = [NewTask(kind="count", input=n, labels={"half": str(n % 2)}) for n in range(1_200)]

    outcomes = client.tasks.submit_many(many, idempotency_key="many")
    again = client.tasks.submit_many(many, idempotency_key="many")

    assert [outcome.id for outcome in again] == [outcome.id for outcome in outcomes]
    assert client.tasks.counts().counts["queued"] == 1_200
    listed = [card.id for card in client.tasks.list(labels={"half": "1"})]
    assert sorted(listed) == sorted(str(outcome.id) for outcome in outcomes[1::2])
    assert len(list(client.tasks.list(kind="count", status="queued", limit=250))) == 250
    assert list(client.tasks.list(kind="other")) == []


def test_one_bad_task_of_many_takes_no_other_with_it(client: Client) -> None:
    many = [NewTask(kind="count"), NewTask(kind="count", parent_id=NOBODY), NewTask(kind="count")]

    first, second, third = client.tasks.submit_many(many)

    assert first.error is None
    assert third.error is None
    assert second.error is None or second.error.code


def test_a_task_is_approved_rejected_cancelled(client: Client) -> None:
    asked = [client.tasks.submit("count", approval=True) for _ in range(3)]

    client.tasks.approve(asked[0].id)
    client.tasks.reject(asked[1].id, reason="not now")
    client.tasks.cancel(asked[2].id, reason="a mistake", if_version=asked[2].version)

    assert client.tasks.status(asked[0].id).status == "queued"
    assert client.tasks.status(asked[1].id).finished
    assert client.tasks.status(asked[2].id).status == "cancelled"
    with pytest.raises(Conflict):
        client.tasks.approve(asked[1].id)
    with pytest.raises(Conflict):
        client.tasks.retry(asked[0].id)


def test_a_command_on_an_older_version_is_a_conflict(client: Client) -> None:
    task = client.tasks.submit("count", approval=True)
    client.tasks.approve(task.id)

    with pytest.raises(Conflict) as caught:
        client.tasks.cancel(task.id, if_version=task.version)

    assert (caught.value.status, caught.value.code) == (412, "version_mismatch")


def test_waiting_ends_with_the_task_or_with_patience(client: Client) -> None:
    task = client.tasks.submit("count")

    with pytest.raises(TimedOut, match="still queued"):
        client.tasks.wait(task.id, timeout_seconds=0.1)
    client.tasks.cancel(task.id)

    assert client.tasks.wait(task.id, timeout_seconds=30).status == "cancelled"


def test_what_is_wrong_with_a_request_is_told(client: Client) -> None:
    with pytest.raises(NotFound):
        client.tasks.get(NOBODY)
    with pytest.raises(NotFound):
        client.tasks.get("../users")
    with pytest.raises(Invalid) as caught:
        client.tasks.submit("count", priority=10)

    assert caught.value.errors[0]["pointer"] == "/priority"
    assert caught.value.request_id


def test_the_roster_is_kept(client: Client) -> None:
    made = client.agents.register("counter", ["count"], slots=2, labels={"team": "a"})
    client.agents.change(made.id, slots=5, if_version=made.version)
    client.agents.drain(made.id)

    agent = client.agents.get(made.id)

    assert (agent.name, agent.slots, agent.state) == ("counter", 5, "draining")
    assert agent.labels == {"team": "a"}
    assert [listed.id for listed in client.agents.list()] == [made.id]
    assert client.agents.rotate_secret(made.id).client_secret != made.client_secret
    with pytest.raises(Conflict) as taken:
        client.agents.register("counter", ["count"])
    assert taken.value.code == "agent_exists"
    assert taken.value.extra["agent_id"] == made.id
    client.agents.resume(made.id)
    client.agents.retire(made.id)
    assert client.agents.get(made.id).state == "retired"


def test_people_and_programs_come_and_go(service: Service, client: Client) -> None:
    user = client.users.create("alice", scopes=["tasks:read"])
    program = client.clients.create("nightly", scopes=["tasks:read", "tasks:write"])

    assert "alice" in [listed.username for listed in client.users.list()]
    assert [listed.name for listed in client.clients.list()] == ["nightly"]
    with Client(service.url, username="alice", password=user.password) as alice:
        assert alice.tasks.counts().counts["queued"] == 0
        with pytest.raises(Forbidden):
            alice.tasks.submit("count")
        renewed = client.users.rotate_password(user.user_id)
        with pytest.raises(Unauthorized):
            alice.tasks.counts()
    with Client(service.url, username="alice", password=renewed.password) as alice:
        assert alice.tasks.counts().cursor
    secret = client.clients.rotate_secret(program.client_id).client_secret
    with Client(service.url, client_id=program.client_id, client_secret=secret) as nightly:
        assert nightly.tasks.submit("count").id
    client.clients.delete(program.client_id)
    client.users.delete(user.user_id)
    with pytest.raises(NotFound):
        client.users.delete(user.user_id)


def test_a_wrong_password_is_unauthorized(service: Service) -> None:
    with (
        Client(service.url, username="admin", password="wrong password") as client,
        pytest.raises(Unauthorized) as caught,
    ):
        client.tasks.counts()

    assert "wrong password" not in str(caught.value)


def test_a_token_may_be_narrowed(service: Service, client: Client) -> None:
    token = client.new_token(scopes=["tasks:read"])

    assert token.scope == "tasks:read"
    assert token.expires_in
    with Client(service.url, token=token.access_token) as reader:
        assert reader.tasks.counts().cursor
        with pytest.raises(Forbidden):
            reader.tasks.submit("count")


def test_the_log_is_read_in_order(client: Client) -> None:
    submitted = [client.tasks.submit("count", n).id for n in range(3)]

    events = list(client.log(type="task.submitted"))
    cursors = [event.id for event in client.log(limit=2)]
    later = list(client.log(after=events[0].id, type="task.submitted"))

    assert [event.subject for event in events] == [f"task/{one}" for one in submitted]
    assert len(cursors) == 2
    assert later == events[1:]
    assert [event.subject for event in client.log(aggregate_id=submitted[1])]


def test_a_cursor_of_another_epoch_is_refused_or_forgotten(client: Client) -> None:
    client.tasks.submit("count")
    assert client.tasks.counts().counts["queued"] == 1
    client._session.seen = "99:1"

    assert client.tasks.counts().counts["queued"] == 1
    assert client.seen is None
    with pytest.raises(EpochEnded):
        list(client.log(after="99:1"))


def test_activity_tells_what_happened(client: Client) -> None:
    task = client.tasks.submit("count")

    newest = next(client.activity(limit=1))

    assert newest.cursor == task.cursor
    assert newest.type == "task.submitted"


def test_anybody_may_ask_how_the_service_is(service: Service) -> None:
    with Client(service.url) as stranger:
        assert stranger.health()
        assert stranger.ready()["ready"] is True
        assert "# HELP" in stranger.metrics()
        with pytest.raises(Unauthorized, match="no credentials"):
            stranger.tasks.counts()


def test_any_route_can_be_asked(client: Client) -> None:
    made = client.request("POST", "/v1/tasks", json={"kind": "count", "input": [1]})
    found = client.request("GET", "/v1/tasks", params={"kind": "count", "limit": 1})

    assert found["items"][0]["id"] == made["task_id"]
    assert client.request("POST", f"/v1/tasks/{made['task_id']}/cancel")["version"] == 2


def test_answers_can_be_written_as_json(client: Client) -> None:
    client.tasks.submit("count")

    (card,) = client.tasks.list()

    assert orjson.loads(orjson.dumps(card))["kind"] == "count"


def test_the_async_client_does_the_same(service: Service) -> None:
    async def scenario() -> None:
        async with AsyncClient(service.url, username="admin", password=PASSWORD) as client:
            receipts = await asyncio.gather(*(client.tasks.submit("count", n) for n in range(20)))
            assert len({receipt.id for receipt in receipts}) == 20
            listed = [card.id async for card in client.tasks.list(limit=15)]
            assert len(listed) == 15
            outcomes = await client.tasks.submit_many([NewTask(kind="count")] * 3)
            assert [outcome.error for outcome in outcomes] == [None] * 3
            waiting = asyncio.create_task(client.tasks.wait(receipts[0].id, timeout_seconds=30))
            await client.tasks.cancel(receipts[0].id)
            assert (await waiting).status == "cancelled"

    asyncio.run(scenario())
