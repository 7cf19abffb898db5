"""Live events over the WebSocket: what is said, in what order, and what is refused.

Everything holds on our own server, where frames go straight to the socket, and on a stock uvicorn,
where they go by its `send`.
"""

import json
import time
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from interfaces.http.live.protocol import LiveProtocol
from tests.conftest import fresh_database
from tests.interfaces.live import (
    FRAME_SECONDS_MAX,
    Frame,
    Subscriber,
    a_tenant,
    busy,
    cursors,
    submitted,
    token_of,
)
from tests.interfaces.service import Service


@pytest.fixture(scope="module", params=[LiveProtocol, "websockets-sansio"], ids=["wire", "send"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service that the tests of this module share, each on the tasks that it made itself."""
    folder = tmp_path_factory.mktemp("live")
    with fresh_database() as database, Service(database, folder, ws=request.param) as service:
        yield service


@pytest.fixture(scope="module")
def admin(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


@pytest.fixture
def subscriber(service: Service, admin: httpx.Client) -> Iterator[Subscriber]:
    with Subscriber(service, token_of(admin)) as subscriber:
        yield subscriber


@pytest.fixture
def tenant(service: Service, admin: httpx.Client) -> Iterator[httpx.Client]:
    with a_tenant(service, admin) as tenant:
        yield tenant


@pytest.fixture
def watcher(service: Service, tenant: httpx.Client) -> Iterator[Subscriber]:
    """A subscriber of that tenant."""
    with Subscriber(service, token_of(tenant)) as subscriber:
        yield subscriber


def of_log(client: httpx.Client, **parameters: str) -> list[Frame]:
    """The log, as its owner reads it over HTTP, but for what tells who read it."""
    page = client.get("/v1/events", params={"limit": "1000", **parameters}).raise_for_status()
    return [event for event in page.json()["items"] if not event["type"].startswith("audit.")]


def end_of_log(client: httpx.Client) -> str:
    """Where it ends, now that it was read."""
    cursor: str = client.get("/v1/events", params={"limit": "1000"}).json()["next_cursor"]
    return cursor


def test_the_first_frame_signs_in_and_is_answered_with_what_may_be_done(
    service: Service, subscriber: Subscriber
) -> None:
    hello = subscriber.hello

    assert hello["subject"] == "user/admin"
    assert hello["store_id"] == str(service.process.store_id)
    assert hello["epoch"] == 1
    assert hello["limits"]["channels"] == 100
    assert hello["expires_at"].endswith("Z")
    assert subscriber.connection.subprotocol is None


def test_history_comes_first_and_then_what_happens_with_a_mark_between_them(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    for _ in range(3):
        submitted(tenant)

    *history, caught_up = watcher.subscribe("tasks", after="start", id="mine")
    submitted(tenant)
    live = watcher.events(1)

    log = of_log(tenant)
    assert [frame["event"] for frame in history] == log[:3]
    assert {frame["channel"] for frame in history} == {"tasks"}
    assert caught_up == {
        "type": "caught_up",
        "channels": ["tasks"],
        "cursor": caught_up["cursor"],
        "id": "mine",
    }
    assert live == log[3:]


def test_a_subscriber_begins_after_the_cursor_that_it_names(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    for _ in range(4):
        submitted(tenant)
    log = of_log(tenant)

    *history, _ = watcher.subscribe("tasks", after=log[1]["id"])

    assert [frame["event"] for frame in history] == log[2:]


def test_without_a_place_only_what_happens_from_now_on_comes(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    submitted(tenant)

    (caught_up,) = watcher.subscribe("tasks")
    submitted(tenant)

    (event,) = watcher.events(1)
    assert caught_up["cursor"] == of_log(tenant)[0]["id"]
    assert event == of_log(tenant)[1]


def test_nothing_is_missed_or_doubled_at_the_seam_while_others_write(
    service: Service, tenant: httpx.Client
) -> None:
    got: list[list[str]] = []
    with busy(tenant):
        for _ in range(10):
            with Subscriber(service, token_of(tenant)) as one:
                frames = one.subscribe("tasks", after="start")
                frames += [one.next() for _ in range(100)]
                got.append([frame["event"]["id"] for frame in frames if frame["type"] == "event"])

    log = cursors(of_log(tenant))
    for found in got:
        assert found[: len(log)] == log[: len(found)]
        assert len(found) == len(set(found))


def test_an_event_comes_once_over_the_widest_of_the_channels_that_it_belongs_to(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    task_id = submitted(tenant)

    watcher.subscribe(f"tasks.{task_id}")
    tenant.post(f"/v1/tasks/{task_id}/cancel").raise_for_status()
    (narrow,) = [watcher.next()]
    watcher.subscribe("tasks")
    tenant.post(f"/v1/tasks/{submitted(tenant)}/cancel").raise_for_status()
    wide = [watcher.next(), watcher.next()]

    assert narrow["channel"] == f"tasks.{task_id}"
    assert {frame["channel"] for frame in wide} == {"tasks"}
    assert [f["event"] for f in (narrow, *wide)] == of_log(tenant)[1:]
    assert watcher.pong() == []


def test_one_task_is_followed_alone(tenant: httpx.Client, watcher: Subscriber) -> None:
    followed, other = submitted(tenant), submitted(tenant)

    *history, _ = watcher.subscribe(f"tasks.{followed}", after="start")
    for task_id in (other, followed):
        tenant.post(f"/v1/tasks/{task_id}/cancel").raise_for_status()

    (event,) = watcher.events(1)
    assert [frame["event"]["type"] for frame in history] == ["task.submitted"]
    assert (event["subject"], event["type"]) == (f"task/{followed}", "task.cancelled")
    assert watcher.pong() == []


def test_a_later_subscription_gets_its_own_history_before_anything_else_goes_on(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    tenant.post("/v1/agents", json={"name": "a", "capabilities": ["x"]}).raise_for_status()
    watcher.subscribe("tasks")

    history = watcher.subscribe("agents", after="start")
    submitted(tenant)

    assert [f["event"]["type"] for f in history if f["type"] == "event"] == ["agent.registered"]
    assert [event["type"] for event in watcher.events(1)] == ["task.submitted"]


def test_to_subscribe_anew_replaces_the_filters_and_to_unsubscribe_ends_it(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    watcher.subscribe("tasks", types=["task.cancelled"])
    first = submitted(tenant)
    tenant.post(f"/v1/tasks/{first}/cancel").raise_for_status()
    filtered = watcher.events(1)

    watcher.subscribe("tasks", types=["task.submitted"])
    second = submitted(tenant)
    tenant.post(f"/v1/tasks/{second}/cancel").raise_for_status()
    replaced = watcher.events(1)
    answer = watcher.ask("unsubscribed", type="unsubscribe", channels=["tasks"], id="7")
    submitted(tenant)

    assert [event["type"] for event in filtered + replaced] == ["task.cancelled", "task.submitted"]
    assert (answer["channels"], answer["id"]) == (["tasks"], "7")
    assert watcher.pong() == []


def test_labels_are_those_that_a_task_or_an_agent_had_at_the_time(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    red, _ = (submitted(tenant, labels={"team": team}) for team in ("red", "blue"))
    agent = {"name": "a", "capabilities": ["x"], "labels": {"team": "red"}}
    agent_id = tenant.post("/v1/agents", json=agent).json()["agent_id"]
    path = f"/v1/agents/{agent_id}"
    tenant.post(f"{path}/drain").raise_for_status()
    tenant.patch(path, json={"labels": {"team": "blue"}}).raise_for_status()
    tenant.post(f"{path}/resume").raise_for_status()

    *history, _ = watcher.subscribe("tasks", "agents", after="start", labels={"team": "red"})
    tenant.post(f"/v1/tasks/{red}/cancel").raise_for_status()
    tenant.post(f"{path}/drain").raise_for_status()
    tenant.patch(path, json={"labels": {"team": "red", "more": "1"}}).raise_for_status()
    live = watcher.events(2)

    types = [frame["event"]["type"] for frame in history]
    assert types == ["task.submitted", "agent.registered", "agent.drained"]
    assert [event["type"] for event in live] == ["task.cancelled", "agent.changed"]
    assert watcher.pong() == []


def test_a_snapshot_comes_before_what_follows_it(tenant: httpx.Client, watcher: Subscriber) -> None:
    tasks = [submitted(tenant) for _ in range(3)]
    tenant.post("/v1/agents", json={"name": "a", "capabilities": ["x"]}).raise_for_status()
    head, listed = end_of_log(tenant), tenant.get("/v1/tasks").json()["items"]

    board, roster, caught_up = watcher.subscribe("tasks", "agents", snapshot=True)
    tenant.post(f"/v1/tasks/{tasks[0]}/cancel").raise_for_status()

    assert [row["id"] for row in board["items"]] == tasks[::-1]
    assert board["items"] == listed
    assert [row["name"] for row in roster["items"]] == ["a"]
    assert [(f["type"], f["last"]) for f in (board, roster)] == [("snapshot", True)] * 2
    assert board["cursor"] == head
    assert caught_up["type"] == "caught_up"
    assert [event["type"] for event in watcher.events(1)] == ["task.cancelled"]


def test_a_large_snapshot_comes_in_pages(tenant: httpx.Client, watcher: Subscriber) -> None:
    tasks = [{"kind": "review", "labels": {"n": str(n % 2)}} for n in range(450)]
    tenant.post("/v1/tasks/batch", json={"tasks": tasks}).raise_for_status()

    *pages, _ = watcher.subscribe("tasks", snapshot=True)
    *labelled, _ = watcher.subscribe("tasks", snapshot=True, labels={"n": "1"})

    assert [(len(page["items"]), page["last"]) for page in pages] == [
        (200, False),
        (200, False),
        (50, True),
    ]
    assert len({row["id"] for page in pages for row in page["items"]}) == 450
    assert sum(len(page["items"]) for page in labelled) == 225


def test_a_quiet_subscription_is_told_how_far_the_log_has_come(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    watcher.subscribe("agents")
    submitted(tenant)

    frame = watcher.next()

    assert frame == {"type": "position", "cursor": of_log(tenant)[-1]["id"]}


def test_a_cursor_that_is_no_place_of_this_log_is_answered_with_resync(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    submitted(tenant)
    head = end_of_log(tenant)

    other = watcher.ask("resync", type="subscribe", channels=["tasks"], after="2:1", id="a")
    ahead = watcher.ask("resync", type="subscribe", channels=["tasks"], after="1:999999999")

    assert (other["reason"], other["id"]) == ("epoch_ended", "a")
    assert ahead["reason"] == "cursor_ahead"
    assert other["cursor"] == ahead["cursor"] == head
    submitted(tenant)
    assert watcher.pong() == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "bad_json"),
        ("[]", "bad_json"),
        ("{", "bad_json"),
        ('"tasks"', "bad_json"),
        ("[" * 50_000, "bad_json"),
        ("{}", "unknown_type"),
        ('{"type": "event"}', "unknown_type"),
        ('{"type": ["ping"]}', "unknown_type"),
        ('{"type": "subscribe"}', "bad_message"),
        ('{"type": "subscribe", "channels": []}', "bad_message"),
        ('{"type": "subscribe", "channels": "tasks"}', "bad_message"),
        ('{"type": "ping", "more": 1}', "bad_message"),
        ('{"type": "subscribe", "channels": ["tasks"], "after": "yesterday"}', "bad_cursor"),
        ('{"type": "subscribe", "channels": ["tasks"], "snapshot": true, "after": "now"}', None),
        ('{"type": "subscribe", "channels": ["everything"]}', "bad_channel"),
        ('{"type": "subscribe", "channels": ["tasks", "output"]}', "bad_channel"),
        ('{"type": "subscribe", "channels": ["tasks.1"]}', "bad_channel"),
        (
            '{"type": "subscribe", "channels": ["system.0197a3f0-1c2b-7d4e-9f00-0123456789ab"]}',
            None,
        ),
        ('{"type": "unsubscribe", "channels": ["tasks\\u0000"]}', "bad_json"),
    ],
)
def test_nonsense_gets_an_error_with_a_code_and_the_connection_stays(
    tenant: httpx.Client, watcher: Subscriber, message: str, code: str | None
) -> None:
    watcher.subscribe("tasks")

    watcher.connection.send(message)

    refusal = watcher.next()
    assert refusal["type"] == "error"
    assert refusal["code"] == code or (code is None and refusal["code"].startswith("bad_"))
    submitted(tenant)
    assert len(watcher.events(1)) == 1


def test_a_binary_frame_is_no_message(watcher: Subscriber) -> None:
    watcher.connection.send(b'{"type": "ping"}')

    assert watcher.next()["code"] == "bad_json"


def test_one_channel_that_is_refused_leaves_the_others_of_the_message_out(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    refusal = watcher.ask("error", type="subscribe", channels=["tasks", f"tasks.{uuid4()}"], id="x")
    submitted(tenant)

    assert (refusal["code"], refusal["id"]) == ("not_found", "x")
    assert watcher.pong() == []


def test_nobody_listens_to_what_their_scopes_do_not_cover(
    service: Service, tenant: httpx.Client
) -> None:
    client = {"name": "reader", "scopes": ["tasks:read"]}
    made = tenant.post("/v1/clients", json=client).json()

    with (
        service.machine(made["client_id"], made["client_secret"]) as machine,
        Subscriber(service, token_of(machine)) as reader,
    ):
        refused = [
            reader.ask("error", type="subscribe", channels=["tasks", other])["code"]
            for other in ("agents", "system", "metrics")
        ]
        reader.subscribe("tasks", "collaborations")

    assert refused == ["forbidden"] * 3


def test_another_tenants_things_do_not_exist_and_its_events_are_never_shown(
    admin: httpx.Client, tenant: httpx.Client, watcher: Subscriber
) -> None:
    foreign = submitted(admin)
    agent = {"name": uuid4().hex, "capabilities": ["x"]}
    agent_id = admin.post("/v1/agents", json=agent).json()["agent_id"]

    *history, _ = watcher.subscribe("tasks", "agents", "system", after="start")
    refused = [
        watcher.ask("error", type="subscribe", channels=[channel], after="start")
        for channel in (f"tasks.{foreign}", f"agents.{agent_id}", f"output.{foreign}")
    ]
    admin.post(f"/v1/tasks/{foreign}/cancel").raise_for_status()

    assert history == []
    assert [one["code"] for one in refused] == ["not_found"] * 3
    assert watcher.pong() == []


def test_at_most_a_hundred_channels_are_subscribed_to(
    tenant: httpx.Client, watcher: Subscriber
) -> None:
    tasks = [{"kind": "review"}] * 101
    outcomes = tenant.post("/v1/tasks/batch", json={"tasks": tasks}).json()["outcomes"]
    channels = [f"tasks.{outcome['task_id']}" for outcome in outcomes]
    watcher.subscribe(*channels[:100])

    refusal = watcher.ask("error", type="subscribe", channels=channels[100:])
    watcher.ask("unsubscribed", type="unsubscribe", channels=channels[:1])
    watcher.subscribe(*channels[100:])

    assert refusal["code"] == "limit"


def test_who_says_too_much_at_once_is_told_so_and_heard_again_later(watcher: Subscriber) -> None:
    for _ in range(300):
        watcher.say(type="ping")
    frames = [watcher.next() for _ in range(300)]

    codes = {frame.get("code") for frame in frames if frame["type"] == "error"}
    assert codes == {"limit"}
    deadline = time.monotonic() + FRAME_SECONDS_MAX
    answer = "error"
    while answer != "pong":
        assert time.monotonic() < deadline
        watcher.say(type="ping")
        answer = watcher.next()["type"]


def test_a_frame_that_is_too_large_ends_the_connection(watcher: Subscriber) -> None:
    watcher.connection.send(json.dumps({"type": "ping", "id": "x" * 70_000}))

    assert watcher.close_code() == 1009
