"""Events over a WebSocket: what is said on the wire, and what becomes of every way to lose it."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from interfaces.sdk.tests.gateway import Gateway, Peer, at_gateway, event
from musterroll import AsyncClient
from musterroll._live import buffer, listening
from musterroll.errors import (
    Forbidden,
    Invalid,
    MusterrollError,
    NotFound,
    Resync,
    Unauthorized,
    Unavailable,
)

Scenario = Callable[[AsyncClient], Awaitable[None]]


def played(gateway: Gateway, scenario: Scenario, **options: Any) -> None:
    async def play() -> None:
        async with at_gateway(gateway, **options) as client:
            await asyncio.wait_for(scenario(client), 20)

    asyncio.run(play())


def cursors_of(gateway: Gateway, count: int, **wanted: Any) -> list[str]:
    """The cursors of the first events that a client gets."""
    found = []

    async def scenario(client: AsyncClient) -> None:
        async with client.events("tasks", **wanted) as events:
            found.extend([(await anext(events)).id for _ in range(count)])

    played(gateway, scenario)
    return found


async def forever(peer: Peer) -> None:
    await peer.welcome()
    await peer.gone()


# What is said


def test_the_first_frame_says_who_asks_and_nothing_else_does() -> None:
    async def script(peer: Peer) -> None:
        auth = await peer.hear()
        assert (auth["type"], auth["token"]) == ("auth", "t1")
        assert "t1" not in str(peer.request.url)
        assert "Authorization" not in peer.request.headers
        assert peer.request.headers["Sec-WebSocket-Protocol"] == "musterroll.v1"
        await peer.say({"type": "hello", "cursor": "1:7"})
        subscription = await peer.hear()
        assert subscription.pop("id")
        assert subscription == {
            "type": "subscribe",
            "channels": ["tasks", "agents"],
            "after": "1:3",
            "types": ["task.completed"],
            "labels": {"team": "a"},
        }
        await peer.say({"type": "subscribed", "cursor": "1:3"}, event(4))
        await peer.gone()

    async def scenario(client: AsyncClient) -> None:
        wanted = client.events(
            ["tasks", "agents"], after="1:3", types=["task.completed"], labels={"team": "a"}
        )
        async with wanted as events:
            found = await anext(events)
        assert (found.id, found.type, found.subject) == ("1:4", "task.submitted", "task/a")

    played(Gateway(script), scenario)


@pytest.mark.parametrize("channels", [[], "", ["metrics"], ["tasks", "output.a"]])
def test_channels_that_bring_no_events_are_refused_at_once(channels: Any) -> None:
    client = AsyncClient("http://127.0.0.1:1", token="t")

    with pytest.raises(Invalid) as caught:
        client.events(channels or [])

    assert caught.value.code == "bad_channel"


# Going on


@pytest.mark.parametrize(
    ("last", "after"),
    [
        (event(9), "1:9"),
        ({"type": "position", "cursor": "1:12"}, "1:12"),
        ({"type": "caught_up", "channels": [], "cursor": "1:12"}, "1:12"),
        ({"type": "pong", "cursor": "1:12"}, "1:12"),
        ({"type": "news", "of": "tomorrow"}, "1:8"),
    ],
)
def test_a_stream_goes_on_behind_the_last_cursor_that_it_saw(
    last: dict[str, Any], after: str
) -> None:
    gateway = Gateway()
    gateway.then(
        gateway.serves(event(8), last), gateway.serves(event(20), event(21), event(22), hold=True)
    )

    cursors_of(gateway, 3, after="1:5")

    assert [said["after"] for said in gateway.subscriptions] == ["1:5", after]


def test_from_now_on_is_from_when_it_connected_first() -> None:
    gateway = Gateway()
    gateway.then(gateway.serves(), gateway.serves(event(8), hold=True))

    cursors_of(gateway, 1)

    assert [said["after"] for said in gateway.subscriptions] == ["1:7", "1:7"]


def test_an_event_that_comes_again_is_not_shown_again() -> None:
    gateway = Gateway()
    gateway.then(
        gateway.serves(event(8), event(9), event(9), event(8)),
        gateway.serves(event(8), event(9), event(10), hold=True),
    )

    assert cursors_of(gateway, 3) == ["1:8", "1:9", "1:10"]


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4008])
def test_a_connection_that_is_closed_is_followed_by_another(code: int) -> None:
    gateway = Gateway()
    gateway.then(gateway.serves(event(8), code=code), gateway.serves(event(9), hold=True))

    assert cursors_of(gateway, 2) == ["1:8", "1:9"]


def test_a_connection_that_breaks_is_followed_by_another() -> None:
    async def broken(peer: Peer) -> None:
        await peer.welcome()
        await peer.say(event(8))
        peer.break_off()

    gateway = Gateway()
    gateway.then(broken, broken, gateway.serves(event(9), hold=True))

    assert cursors_of(gateway, 2) == ["1:8", "1:9"]


def test_a_service_that_says_nothing_any_more_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(listening, "ANSWER_SECONDS", 0.3)
    heard: list[str] = []

    async def dead(peer: Peer) -> None:
        await peer.welcome()
        heard.append((await peer.hear())["type"])
        await peer.gone()

    gateway = Gateway()
    gateway.then(dead, gateway.serves(event(8), hold=True))

    assert cursors_of(gateway, 1) == ["1:8"]
    assert heard == ["ping"]


def test_a_quiet_service_that_answers_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "QUIET_SECONDS", 0.02)

    async def quiet(peer: Peer) -> None:
        await peer.welcome()
        for position in range(8, 11):
            assert (await peer.hear())["type"] == "ping"
            await peer.say({"type": "pong", "cursor": f"1:{position}"})
        await peer.say(event(20))
        await peer.gone()

    gateway = Gateway(quiet)

    assert cursors_of(gateway, 1) == ["1:20"]
    assert gateway.connections == 1


def test_the_cursor_moves_while_nothing_comes() -> None:
    gateway = Gateway()
    gateway.then(gateway.serves({"type": "position", "cursor": "1:90"}, event(91), hold=True))

    async def scenario(client: AsyncClient) -> None:
        async with client.events("tasks", after="1:5") as events:
            assert events.cursor is None
            await anext(events)
            assert events.cursor == "1:91"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(events), 0.01)

    played(gateway, scenario)


def test_without_following_it_ends_where_the_log_does() -> None:
    gateway = Gateway()
    caught_up = {"type": "caught_up", "channels": ["tasks"], "cursor": "1:12"}
    gateway.then(
        gateway.serves(event(8)), gateway.serves(event(9), caught_up, event(13), hold=True)
    )

    async def scenario(client: AsyncClient) -> None:
        events = client.events("tasks", after="start", follow=False)
        assert [one.id async for one in events] == ["1:8", "1:9"]
        assert events.cursor == "1:12"

    played(gateway, scenario)


# Tokens


def test_a_token_that_ended_is_replaced() -> None:
    gateway = Gateway()
    gateway.then(gateway.serves(event(8), code=4401), gateway.serves(event(9), hold=True))

    assert cursors_of(gateway, 2) == ["1:8", "1:9"]
    assert gateway.tokens == 2


def test_a_token_that_is_refused_is_replaced_over_the_same_connection() -> None:
    gateway = Gateway()

    async def script(peer: Peer) -> None:
        assert (await peer.hear())["token"] == "t1"
        await peer.say({"type": "error", "id": "auth", "code": "unauthorized", "message": "no"})
        await gateway.serves(event(8), hold=True)(peer)

    gateway.then(script)

    assert cursors_of(gateway, 1) == ["1:8"]
    assert (gateway.tokens, gateway.connections) == (2, 1)


async def refusing(peer: Peer) -> None:
    while True:
        assert (await peer.hear())["type"] == "auth"
        await peer.say({"type": "error", "id": "auth", "code": "unauthorized", "message": "no"})


@pytest.mark.parametrize(("options", "tokens"), [({}, 2), ({"token": "ready"}, 0)])
def test_who_is_refused_with_a_fresh_token_is_told(options: dict[str, Any], tokens: int) -> None:
    gateway = Gateway(refusing)

    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(Unauthorized):
            await anext(client.events("tasks"))

    played(gateway, scenario, **options)
    assert gateway.tokens == tokens


def test_a_ready_token_that_has_ended_is_the_end() -> None:
    gateway = Gateway()
    gateway.then(gateway.serves(event(8), code=4401))

    async def scenario(client: AsyncClient) -> None:
        events = client.events("tasks")
        assert (await anext(events)).id == "1:8"
        with pytest.raises(Unauthorized, match="4401"):
            await anext(events)

    played(gateway, scenario, token="ready")


def test_a_newer_token_is_given_over_the_open_connection() -> None:
    gateway = Gateway()
    gateway.token_seconds = 1.0

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say({"type": "auth_expiring", "expires_at": "2026-11-23T12:00:00Z"})
        renewal = await peer.hear()
        assert (renewal["type"], renewal["token"]) == ("auth", "t2")
        await peer.say({"type": "hello", "cursor": "1:9"}, event(10))
        await peer.gone()

    gateway.then(script)

    assert cursors_of(gateway, 1) == ["1:10"]
    assert gateway.connections == 1


def test_a_newer_token_that_is_refused_does_not_end_the_stream() -> None:
    gateway = Gateway()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say({"type": "error", "id": "auth", "code": "unauthorized", "message": "no"})
        await peer.say(event(8))
        await peer.socket.close(code=4401)

    gateway.then(script, gateway.serves(event(9), hold=True))

    assert cursors_of(gateway, 2) == ["1:8", "1:9"]
    assert gateway.tokens == 2


# Refusals


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("not_found", NotFound),
        ("forbidden", Forbidden),
        ("bad_channel", Invalid),
        ("bad_cursor", Invalid),
        ("limit", Invalid),
    ],
)
def test_a_subscription_that_is_refused_for_good_is_told_of(
    code: str, kind: type[MusterrollError]
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.say({"type": "hello", "cursor": "1:7"})
        await peer.hear()
        await peer.say({"type": "error", "id": "subscribe", "code": code, "message": "no"})
        await peer.gone()

    async def scenario(client: AsyncClient) -> None:
        events = client.events("tasks")
        for _ in range(2):  # no end of it is taken for another
            with pytest.raises(kind) as caught:
                await anext(events)
            assert caught.value.code == code

    gateway = Gateway(script)
    played(gateway, scenario)
    assert gateway.connections == 1


def test_what_is_unavailable_now_is_asked_for_again() -> None:
    gateway = Gateway()
    unavailable = {"type": "error", "id": "subscribe", "code": "unavailable", "message": "later"}
    gateway.then(gateway.serves(unavailable), gateway.serves(event(8), hold=True))

    assert cursors_of(gateway, 1) == ["1:8"]


@pytest.mark.parametrize("reason", ["epoch_ended", "cursor_ahead"])
def test_a_cursor_that_names_no_place_is_told_of_behind_what_came_before(reason: str) -> None:
    gateway = Gateway()
    resync = {"type": "resync", "reason": reason, "cursor": "2:5"}
    gateway.then(gateway.serves(event(8)), gateway.serves(resync, hold=True))

    async def scenario(client: AsyncClient) -> None:
        events = client.events("tasks")
        assert (await anext(events)).id == "1:8"
        with pytest.raises(Resync) as caught:
            await anext(events)
        assert (caught.value.reason, caught.value.cursor) == (reason, "2:5")

    played(gateway, scenario)


@pytest.mark.parametrize("code", [1008, 1009])
def test_a_message_that_the_service_cannot_take_is_not_sent_again(code: int) -> None:
    gateway = Gateway()
    gateway.then(gateway.serves(code=code))

    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(Invalid, match=str(code)):
            await anext(client.events("tasks"))

    played(gateway, scenario)
    assert gateway.connections == 1


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "event"},
        {"type": "event", "event": {}},
        {"type": "event", "event": {"id": "latest", "type": "task.submitted"}},
        {"type": "position"},
        {"type": "position", "cursor": "latest"},
    ],
)
def test_what_is_no_frame_of_the_service_is_told_of(frame: dict[str, Any]) -> None:
    gateway = Gateway()
    gateway.then(gateway.serves(frame, hold=True))

    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(Unavailable, match="not Musterroll's"):
            await anext(client.events("tasks"))

    played(gateway, scenario)


def answering(status: int, **headers: str) -> web.Response:
    return web.Response(status=status, headers=headers)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, Forbidden), (404, NotFound), (401, Unauthorized), (426, Invalid)]
)
def test_an_upgrade_that_is_refused_is_told_of(status: int, kind: type[MusterrollError]) -> None:
    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(kind):
            await anext(client.events("tasks"))

    played(Gateway(answering(status)), scenario)


def test_an_upgrade_that_is_refused_for_now_is_asked_for_again() -> None:
    gateway = Gateway(answering(503, **{"Retry-After": "0"}))
    gateway.then(answering(429), gateway.serves(event(8), hold=True))

    assert cursors_of(gateway, 1) == ["1:8"]


def test_a_redirect_gets_no_token() -> None:
    heard: list[Any] = []

    async def listens(peer: Peer) -> None:
        heard.append(await peer.hear())

    elsewhere, gateway = Gateway(listens), Gateway()

    async def scenario(client: AsyncClient) -> None:
        async with at_gateway(elsewhere):
            location = f"{elsewhere.url}/ws/v1/events"
            gateway.then(answering(307, Location=location))
            with pytest.raises(Invalid) as caught:
                await anext(client.events("tasks"))
            assert caught.value.code == "redirected"

    played(gateway, scenario)
    assert heard == []
    assert all("Authorization" not in request.headers for request in elsewhere.asked)


def test_a_service_that_is_not_there_is_waited_for_only_as_long_as_the_client_says() -> None:
    async def scenario() -> None:
        async with AsyncClient("http://127.0.0.1:1", token="t", retry_seconds=0.2) as client:
            with pytest.raises(Unavailable, match=r"no answer from http://127\.0\.0\.1:1"):
                await anext(client.events("tasks"))

    asyncio.run(scenario())


# The one who reads


def test_a_slow_reader_is_not_read_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer, "BUFFER_BYTES_MAX", 100_000)
    big = {"text": "x" * 100_000}
    said = 0

    async def generous(peer: Peer) -> None:
        nonlocal said
        await peer.welcome()
        for position in range(8, 408):
            await peer.say(event(position, data=big))
            said += 1
        await peer.gone()

    async def scenario(client: AsyncClient) -> None:
        async with client.events("tasks") as events:
            await anext(events)
            before = -1
            while said > before:
                before = said
                await asyncio.sleep(0.2)
            assert said < 200  # of 40 MB, what the system's buffers hold
            assert [(await anext(events)).id for _ in range(399)][-1] == "1:407"

    played(Gateway(generous), scenario)


def test_a_wait_that_is_given_up_loses_nothing() -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await go_on.wait()
        await peer.say(event(8))
        await peer.gone()

    async def scenario(client: AsyncClient) -> None:
        events = client.events("tasks")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(events), 0.05)
        go_on.set()
        assert (await anext(events)).id == "1:8"

    gateway = Gateway(script)
    played(gateway, scenario)
    assert gateway.connections == 1


async def until_gone(gone: asyncio.Event) -> None:
    await asyncio.wait_for(gone.wait(), 10)


def test_a_stream_that_nobody_holds_any_more_is_closed() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say(event(8))
        await peer.gone()
        gone.set()

    async def scenario(client: AsyncClient) -> None:
        async for one in client.events("tasks"):
            assert one.id == "1:8"
            break
        gc.collect()
        await until_gone(gone)

    played(Gateway(script), scenario)


@pytest.mark.parametrize("what", ["stream", "client"])
def test_closing_ends_the_wait_of_another_task(what: str) -> None:
    async def scenario(client: AsyncClient) -> None:
        events = client.events("tasks")
        await events.__aenter__()
        reading = asyncio.create_task(read(events))
        await asyncio.sleep(0)
        await (events.aclose() if what == "stream" else client.aclose())
        assert await reading == []
        assert [one async for one in events] == []

    async def read(events: Any) -> list[Any]:
        return [one async for one in events]

    played(Gateway(forever), scenario)


def test_many_streams_take_no_places_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(forever)

    async def scenario(client: AsyncClient) -> None:
        streams = [client.events("tasks") for _ in range(120)]
        await asyncio.gather(*(stream.__aenter__() for stream in streams))
        assert await client.new_token()
        await asyncio.gather(*(stream.aclose() for stream in streams))

    played(gateway, scenario)
    assert gateway.connections == 120
