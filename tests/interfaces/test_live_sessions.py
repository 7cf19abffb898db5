"""Live events: who may connect, for how long, and what becomes of those who do not read."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from application.live import room
from application.live.channel import Channel
from interfaces.http.live import conversation as conversations
from interfaces.http.live import sessions
from interfaces.http.live.protocol import LiveProtocol
from tests.conftest import Database, fresh_database
from tests.interfaces.live import FRAME_SECONDS_MAX, Subscriber, cursors, submitted, token_of
from tests.interfaces.service import PASSWORD, Service

BATCH = [{"kind": "review", "input": "x" * 10_000}] * 100


@pytest.fixture(scope="module", params=[LiveProtocol, "websockets-sansio"], ids=["wire", "send"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("live")
    with (
        fresh_database() as database,
        Service(
            database, folder, ws=request.param, allowed_origins=["https://board.example"]
        ) as service,
    ):
        yield service


@pytest.fixture(scope="module")
def admin(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def refused(service: Service, **options: object) -> httpx.Response:
    """The answer to a handshake that is refused."""
    with pytest.raises(InvalidStatus) as found:
        Subscriber(service, None, **options).__enter__()  # type: ignore[arg-type]
    answer = found.value.response
    return httpx.Response(answer.status_code, content=bytes(answer.body))


def test_a_header_or_a_ticket_signs_in_before_anything_is_said(
    service: Service, admin: httpx.Client
) -> None:
    ticket = admin.post("/v1/ws-tickets").json()["ticket"]

    with Subscriber(service, None, additional_headers=bearer(admin)) as by_header:
        hello = by_header.next()
    with Subscriber(service, None, query=f"?ticket={ticket}", subprotocols=["musterroll.v1"]) as by:
        by_ticket = by.next()
        subprotocol = by.connection.subprotocol

    assert (hello["type"], by_ticket["type"]) == ("hello", "hello")
    assert by_ticket["expires_at"] == hello["expires_at"]
    assert subprotocol == "musterroll.v1"


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"query": "?ticket=nonsense"}, 401, "invalid_token"),
        ({"query": "?ticket="}, 401, "invalid_token"),
        ({"query": "?token=nonsense"}, 400, "invalid_request"),
        ({"query": "?access_token=nonsense"}, 400, "invalid_request"),
        ({"additional_headers": {"Authorization": "Bearer nonsense"}}, 401, "invalid_token"),
        ({"additional_headers": {"Authorization": "Basic x"}}, 401, "unauthenticated"),
        ({"origin": "https://evil.example"}, 403, "forbidden_origin"),
        ({"origin": "null"}, 403, "forbidden_origin"),
        ({"origin": "https://board.example.evil.example"}, 403, "forbidden_origin"),
        ({"subprotocols": ["graphql-ws"]}, 400, "bad_subprotocol"),
    ],
)
def test_a_handshake_that_may_not_be_is_refused_as_a_problem(
    service: Service, options: dict[str, object], status: int, code: str
) -> None:
    answer = refused(service, **options)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_ticket_is_good_once(service: Service, admin: httpx.Client) -> None:
    ticket = admin.post("/v1/ws-tickets").json()["ticket"]
    with Subscriber(service, None, query=f"?ticket={ticket}"):
        pass

    assert refused(service, query=f"?ticket={ticket}").json()["code"] == "invalid_token"


def test_what_fails_at_a_handshake_is_told_as_a_problem(tmp_path: Path) -> None:
    with fresh_database() as database, Service(database, tmp_path) as service:
        with service.client() as admin, psycopg.connect(database.owner_url) as owner:
            ticket = admin.post("/v1/ws-tickets").json()["ticket"]
            owner.execute("ALTER TABLE musterroll.spent_tickets RENAME TO gone")
            owner.commit()

        answer = refused(service, query=f"?ticket={ticket}")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


def test_pages_of_its_own_origin_and_of_those_allowed_may_connect(
    service: Service, admin: httpx.Client
) -> None:
    for origin in (service.url, "https://board.example"):
        with Subscriber(service, token_of(admin), origin=origin) as subscriber:
            assert subscriber.hello["type"] == "hello"


def test_there_is_nothing_under_another_path(service: Service) -> None:
    url = service.url.replace("http", "ws", 1)
    with pytest.raises(InvalidStatus) as found, connect(f"{url}/ws/v2/events", proxy=None):
        pass

    assert found.value.response.status_code == 404


def test_before_they_have_signed_in_nobody_hears_anything(
    service: Service, admin: httpx.Client
) -> None:
    with Subscriber(service, None) as stranger:
        first = stranger.ask("error", type="subscribe", channels=["tasks"], id="a")
        second = stranger.ask("error", type="ping")
        stranger.ask("hello", type="auth", token=token_of(admin))
        stranger.subscribe("tasks")

    assert (first["code"], first["id"]) == ("unauthorized", "a")
    assert second["code"] == "unauthorized"


def test_three_wrong_tokens_end_it(service: Service) -> None:
    with Subscriber(service, None) as stranger:
        for _ in range(3):
            refusal = stranger.ask("error", type="auth", token="nonsense")
            assert refusal["code"] == "unauthorized"
        assert stranger.close_code() == 4401


def test_who_does_not_sign_in_in_time_is_sent_away(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "AUTH_SECONDS_MAX", 0.1)

    with Subscriber(service, None) as stranger:
        assert stranger.close_code() == 4401


def test_the_end_of_a_token_is_told_before_and_ends_the_connection(
    database: Database, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "EXPIRING_SECONDS", 9.0)
    with (
        Service(database, tmp_path, token_seconds=10) as service,  # type: ignore[arg-type]
        service.client() as early,
        Subscriber(service, token_of(early)) as left,
        Subscriber(service, token_of(early)) as goes_on,
    ):
        assert left.next()["type"] == goes_on.next()["type"] == "auth_expiring"
        with service.client() as late:
            hello = goes_on.ask("hello", type="auth", token=token_of(late), id="again")
            assert left.close_code() == 4401
            assert {frame["type"] for frame in goes_on.pong()} <= {"auth_expiring"}

    assert (hello["id"], hello["expires_at"] > left.hello["expires_at"]) == ("again", True)


def test_a_token_of_somebody_else_is_no_newer_one(service: Service, admin: httpx.Client) -> None:
    user = {"username": uuid4().hex, "password": PASSWORD, "scopes": ["tasks:read"]}
    admin.post("/v1/users", json=user).raise_for_status()

    with (
        service.client(user["username"]) as other,  # type: ignore[arg-type]
        Subscriber(service, token_of(admin)) as subscriber,
    ):
        refusal = subscriber.ask("error", type="auth", token=token_of(other))
        subscriber.subscribe("agents")

    assert refusal["code"] == "unauthorized"


def test_a_newer_token_has_to_cover_what_is_subscribed_to(
    service: Service, admin: httpx.Client
) -> None:
    user = {"username": uuid4().hex, "password": PASSWORD, "scopes": ["tasks:read", "agents:read"]}
    admin.post("/v1/users", json=user).raise_for_status()
    form = {"grant_type": "password", "username": user["username"], "password": PASSWORD}
    narrow = httpx.post(f"{service.url}/v1/oauth/token", data=form | {"scope": "agents:read"})

    with (
        service.client(user["username"]) as client,  # type: ignore[arg-type]
        Subscriber(service, token_of(client)) as subscriber,
    ):
        subscriber.subscribe("tasks")
        refusal = subscriber.ask("error", type="auth", token=narrow.json()["access_token"])
        subscriber.ask("unsubscribed", type="unsubscribe", channels=["tasks"])
        subscriber.ask("hello", type="auth", token=narrow.json()["access_token"])
        later = subscriber.ask("error", type="subscribe", channels=["tasks"])

    assert (refusal["code"], later["code"]) == ("forbidden", "forbidden")


def test_who_is_removed_hears_nothing_more(service: Service, admin: httpx.Client) -> None:
    user = {"username": uuid4().hex, "password": PASSWORD, "scopes": ["tasks:read"]}
    user_id = admin.post("/v1/users", json=user).json()["user_id"]

    with (
        service.client(user["username"]) as client,  # type: ignore[arg-type]
        Subscriber(service, token_of(client)) as first,
        Subscriber(service, token_of(client)) as second,
    ):
        first.subscribe("tasks")
        admin.delete(f"/v1/users/{user_id}").raise_for_status()
        assert first.close_code() == second.close_code() == 4401


def test_a_service_that_stops_says_so(database: Database, tmp_path: object) -> None:
    service = Service(database, tmp_path)  # type: ignore[arg-type]
    with service, service.client() as admin:
        subscriber = Subscriber(service, token_of(admin)).__enter__()
        subscriber.subscribe("tasks")

    assert subscriber.close_code() == 1012
    subscriber.__exit__(None, None, None)


def reader_that_waits(service: Service, admin: httpx.Client) -> Subscriber:
    """A subscriber whose socket takes little, and who has not begun to read."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    plain.connect(("127.0.0.1", int(service.url.rpartition(":")[2])))
    return Subscriber(service, token_of(admin), sock=plain, max_queue=1)


def test_who_reads_slowly_gets_everything_in_order_and_holds_nobody_up(
    service: Service, admin: httpx.Client
) -> None:
    """10 MB, more than the kernel takes: it leaves the live feed, and reads the log instead."""
    with (
        reader_that_waits(service, admin) as slow,
        Subscriber(service, token_of(admin)) as quick,
    ):
        slow.subscribe("tasks")
        quick.subscribe("tasks")
        for _ in range(10):
            admin.post("/v1/tasks/batch", json={"tasks": BATCH}).raise_for_status()
        seen = cursors(quick.events(1_000))
        late = cursors(slow.events(1_000))
        submitted(admin)
        (last,) = slow.events(1)

    assert late == seen
    assert int(last["id"].partition(":")[2]) == int(seen[-1].partition(":")[2]) + 1


def test_who_does_not_read_at_all_is_sent_away(
    service: Service, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "STALLED_SECONDS", 0.3)
    with reader_that_waits(service, admin) as stalled:
        stalled.subscribe("tasks")
        for _ in range(12):
            admin.post("/v1/tasks/batch", json={"tasks": BATCH}).raise_for_status()
        live = service._app.middleware_stack._live  # type: ignore[union-attr]
        until(lambda: live._open == 0)
        with pytest.raises(ConnectionClosed) as closed:
            stalled.until(lambda _: False)
    # A stock server waits for room to say why, and gives up.
    told = closed.value.rcvd
    assert told is None or told.code == 4008
    assert told is not None or service.ws is not LiveProtocol


def test_a_message_of_no_moment_is_combined_for_who_reads_slowly(
    service: Service, admin: httpx.Client
) -> None:
    task_id = submitted(admin)
    hub, loop = service.process.hub, service.loop
    channel = Channel.parse(f"output.{task_id}")
    with reader_that_waits(service, admin) as slow:
        slow.subscribe(str(channel))

        def write() -> None:
            for n in range(1, 3_001):
                text = f"{n:06}" + "x" * 5_000
                message = {"task_id": task_id, "attempt": 1, "sequence": n, "text": text}
                hub.listeners.tell("default", channel, {**message, "dropped": 0})

        loop.call_soon_threadsafe(write)
        frames = slow.until(lambda frame: frame["data"]["sequence"] == 3_000)

    told = sum(len(frame["data"]["text"]) + frame["data"]["dropped"] for frame in frames)
    assert told == 3_000 * 5_006
    assert len(frames) < 1_500
    assert frames[-1]["data"]["text"].endswith("x" * 5_000)


def test_an_event_of_a_version_to_come_is_shown_like_any_other(
    database: Database, tmp_path: object
) -> None:
    """What this version cannot read, it can hand on: a mixed fleet goes on listening."""
    with (
        Service(database, tmp_path) as service,  # type: ignore[arg-type]
        service.client() as admin,
        Subscriber(service, token_of(admin)) as subscriber,
    ):
        subscriber.subscribe("system", "tasks")
        water_the_garden(database)
        task_id = submitted(admin)
        strange, known = subscriber.next(), subscriber.next()

    assert (strange["channel"], strange["event"]["type"]) == ("system", "garden.watered")
    assert strange["event"]["data"] == {"litres": 3}
    assert known["event"]["subject"] == f"task/{task_id}"


def water_the_garden(database: Database) -> None:
    """Write an event that this code knows nothing of."""
    columns = [
        ("uuid", [uuid4()]),
        ("bigint", [1]),
        ("text", ["garden.watered"]),
        ("bytea", [b'{"litres":3}']),
        ("text", ["default"]),
        ("text", ["user/eve"]),
        ("uuid", [uuid4()]),
        ("uuid", [uuid4()]),
        ("text", [None]),
        ("text", [None]),
        ("uuid", []),
        ("bytea", []),
        ("bytea", []),
    ]
    places = ", ".join(f"%s::{kind}[]" for kind, _ in columns)
    with psycopg.connect(database.url, options="-c search_path=musterroll") as connection:
        connection.execute(f"SELECT append_events({places})", [values for _, values in columns])


def until(happened: Callable[[], bool]) -> None:
    """Wait for something that will be so soon."""
    deadline = time.monotonic() + FRAME_SECONDS_MAX
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def bearer(client: httpx.Client) -> dict[str, str]:
    """The one header of a client that matters here."""
    return {"Authorization": client.headers["Authorization"]}
