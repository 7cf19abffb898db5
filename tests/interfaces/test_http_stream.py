"""Live events as server-sent events."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from interfaces.http.live import event_stream
from tests.conftest import Database
from tests.interfaces.live import Frame, a_tenant, busy, cursors, submitted
from tests.interfaces.service import PASSWORD, Service

Event = dict[str, str]


@pytest.fixture
def tenant(shared_service: Service, shared_admin: httpx.Client) -> Iterator[httpx.Client]:
    with a_tenant(shared_service, shared_admin) as tenant:
        yield tenant


@contextmanager
def listening(client: httpx.Client, query: str, **headers: str) -> Iterator[Iterator[Event]]:
    """The events of a stream, one by one, each with its fields."""
    # A client sends one request at a time, and this one does not end.
    with (
        httpx.Client(base_url=client.base_url, headers=client.headers, timeout=20) as own,
        own.stream("GET", f"/v1/stream?{query}", headers=headers) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events_in(answer.iter_lines())


def events_in(lines: Iterator[str]) -> Iterator[Event]:
    event: Event = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif event:
            yield event
            event = {}


def log_of(client: httpx.Client) -> list[Frame]:
    """But for what tells who read it."""
    items: list[Frame] = client.get("/v1/events", params={"limit": "1000"}).json()["items"]
    return [event for event in items if not event["type"].startswith("audit.")]


def test_history_a_mark_and_then_what_happens(tenant: httpx.Client) -> None:
    for _ in range(2):
        submitted(tenant)

    with listening(tenant, "channels=tasks&after=start") as events:
        retry, first, second, mark = (next(events) for _ in range(4))
        submitted(tenant)
        live = next(events)

    log = log_of(tenant)
    assert int(retry["retry"]) > 0
    assert [json.loads(event["data"]) for event in (first, second, live)] == log
    assert [event["id"] for event in (first, second, live)] == cursors(log)
    assert {event["event"] for event in (first, second, live)} == {"task.submitted"}
    assert (mark["event"], mark["id"]) == ("caught_up", log[1]["id"])
    assert json.loads(mark["data"]) == {"cursor": log[1]["id"]}


def test_a_browser_that_comes_back_goes_on_after_the_last_event_it_saw(
    tenant: httpx.Client,
) -> None:
    for _ in range(3):
        submitted(tenant)
    log = log_of(tenant)

    headers = {"Last-Event-ID": log[0]["id"]}
    with listening(tenant, "channels=tasks&after=start", **headers) as events:
        next(events)
        found = [next(events)["id"] for _ in range(2)]

    assert found == cursors(log)[1:]


def test_types_and_labels_filter(tenant: httpx.Client) -> None:
    red, blue = (submitted(tenant, labels={"team": team}) for team in ("red", "blue"))
    for task_id in (red, blue):
        tenant.post(f"/v1/tasks/{task_id}/cancel").raise_for_status()

    query = "channels=tasks,agents&after=start&label=team:red&type=task.cancelled&type=task.failed"
    with listening(tenant, query) as events:
        next(events)
        found = [next(events), next(events)]

    assert [event["event"] for event in found] == ["task.cancelled", "caught_up"]
    assert json.loads(found[0]["data"])["subject"] == f"task/{red}"


def test_nothing_is_missed_or_doubled_at_the_seam_while_others_write(
    tenant: httpx.Client,
) -> None:
    found = []
    with busy(tenant):
        for _ in range(5):
            with listening(tenant, "channels=tasks&after=start") as events:
                some = [event for event in (next(events) for _ in range(200)) if "id" in event]
                found.append([event["id"] for event in some if event["event"].startswith("task.")])

    log = cursors(log_of(tenant))
    for one in found:
        assert one == log[: len(one)]


def test_a_quiet_stream_shows_that_it_lives(
    tenant: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.05)

    with listening(tenant, "channels=tasks") as events:
        for _ in range(2):
            next(events)
        comments = [next(events) for _ in range(3)]

    assert comments == [{":": ""}] * 3


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 422, "bad_channel"),
        ("channels=", 422, "bad_channel"),
        ("channels=tasks,,agents", 422, "bad_channel"),
        ("channels=tasks.x", 422, "bad_channel"),
        ("channels=output", 422, "bad_channel"),
        ("channels=" + "tasks," * 101, 422, "invalid_parameter"),
        ("channels=tasks&channels=agents", 422, "invalid_parameter"),
        ("channels=tasks&after=yesterday", 422, "invalid_parameter"),
        ("channels=tasks&after=2:1", 410, "epoch_ended"),
        ("channels=tasks&after=1:999999999", 422, "cursor_ahead"),
        ("channels=tasks&label=x", 422, "invalid_parameter"),
        ("channels=tasks&token=x", 422, "unknown_parameter"),
        ("channels=tasks.0197a3f0-1c2b-7d4e-9f00-0123456789ab", 404, "not_found"),
    ],
)
def test_what_cannot_be_listened_to_is_refused_before_the_stream_begins(
    tenant: httpx.Client, query: str, status: int, code: str
) -> None:
    answer = tenant.get(f"/v1/stream?{query}")

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_last_event_id_that_is_no_cursor_is_refused(tenant: httpx.Client) -> None:
    answer = tenant.get("/v1/stream?channels=tasks", headers={"Last-Event-ID": "yesterday"})

    assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor")


def test_scopes_and_tenants_hold_here_too(
    shared_service: Service, shared_admin: httpx.Client, tenant: httpx.Client
) -> None:
    made = tenant.post("/v1/clients", json={"name": "r", "scopes": ["agents:read"]}).json()
    foreign = submitted(shared_admin)

    with shared_service.machine(made["client_id"], made["client_secret"]) as machine:
        forbidden = machine.get("/v1/stream?channels=agents,tasks")
    hidden = tenant.get(f"/v1/stream?channels=tasks.{foreign}")
    nobody = httpx.get(f"{shared_service.url}/v1/stream?channels=tasks")

    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "insufficient_scope")
    assert hidden.status_code == 404
    assert nobody.status_code == 401


def test_a_head_request_gets_no_stream(tenant: httpx.Client) -> None:
    answer = tenant.head("/v1/stream?channels=tasks")

    assert (answer.status_code, answer.content) == (200, b"")


def test_the_stream_ends_with_the_account(
    shared_service: Service, shared_admin: httpx.Client
) -> None:
    user = {"username": uuid4().hex, "password": PASSWORD, "scopes": ["tasks:read"]}
    user_id = shared_admin.post("/v1/users", json=user).json()["user_id"]

    with (
        shared_service.client(str(user["username"])) as client,
        listening(client, "channels=tasks") as events,
    ):
        next(events), next(events)
        shared_admin.delete(f"/v1/users/{user_id}").raise_for_status()
        rest = list(events)

    assert rest == []


def test_the_stream_ends_when_the_service_stops(database: Database, tmp_path: Any) -> None:
    ended = threading.Event()

    def listen(client: httpx.Client) -> None:
        with listening(client, "channels=tasks") as events:
            begun.set()
            for _ in events:
                pass
        ended.set()

    begun = threading.Event()
    with Service(database, tmp_path) as service, service.client() as client:
        listener = threading.Thread(target=listen, args=(client,))
        listener.start()
        assert begun.wait(10)

    listener.join(10)
    assert ended.is_set()


def test_over_plain_http_the_path_of_the_websocket_asks_for_an_upgrade(
    tenant: httpx.Client,
) -> None:
    answer = tenant.get("/ws/v1/events")

    assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"
