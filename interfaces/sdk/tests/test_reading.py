"""Events over server-sent events: what is asked for, and what becomes of every way to lose them."""

import gc
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from musterroll import Client
from musterroll._live import reading
from musterroll.errors import (
    Forbidden,
    Invalid,
    MusterrollError,
    NotFound,
    Resync,
    Unauthorized,
    Unavailable,
)

Start = Callable[..., Any]
PATIENCE_SECONDS = 10


def event(position: int, **members: Any) -> bytes:
    about = {"id": f"1:{position}", "type": "task.submitted", "subject": "task/a", "data": {}}
    body = orjson.dumps(about | members)
    return b"id: 1:%d\nevent: task.submitted\ndata: %b\n\n" % (position, body)


def moved(name: str, position: int) -> bytes:
    return b'id: 1:%d\nevent: %b\ndata: {"cursor":"1:%d"}\n\n' % (
        position,
        name.encode(),
        position,
    )


def stream(*chunks: bytes, hang: bool = False) -> dict[str, Any]:
    return {"chunks": chunks, "hang": hang, "headers": {"content-type": "text/event-stream"}}


def problem(status: int, code: str, **members: Any) -> dict[str, Any]:
    body = orjson.dumps({"code": code, "detail": "no", **members})
    headers = {"content-type": "application/problem+json"}
    return {"status": status, "chunks": [body], "headers": headers}


def token(text: str) -> dict[str, Any]:
    body = orjson.dumps({"access_token": text, "expires_in": 600})
    return {"chunks": [body], "headers": {"content-type": "application/json"}}


def a_client(url: str, **options: Any) -> Client:
    return Client(url, **{"token": "t", "retry_seconds": 5.0, **options})


def first(client: Client, count: int, **wanted: Any) -> list[str]:
    with client.events("tasks", **wanted) as events:
        return [next(events).id for _ in range(count)]


def test_what_is_wanted_is_asked_for_and_what_comes_is_shown(foreign: Start) -> None:
    service = foreign(stream(event(4), hang=True))

    with a_client(service.url) as client:
        wanted = client.events(
            ["tasks", "agents"], after="1:3", types=["a.b", "c.d"], labels={"team": "x:y"}
        )
        with wanted as events:
            found = next(events)
        assert (found.id, found.type, events.cursor) == ("1:4", "task.submitted", "1:4")

    (asked,) = service.asked
    path, query = urlsplit(asked.path).path, parse_qs(urlsplit(asked.path).query)
    assert path == "/v1/stream"
    assert query == {
        "channels": ["tasks,agents"],
        "after": ["1:3"],
        "type": ["a.b", "c.d"],
        "label": ["team:x:y"],
    }
    assert asked.headers["authorization"] == "Bearer t"
    assert asked.headers["accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("last", "after"),
    [
        (event(9), "1:9"),
        (moved("position", 12), "1:12"),
        (moved("caught_up", 12), "1:12"),
        (b": alive\n\n", "1:8"),
        (b"event: metrics\ndata: {}\n\n", "1:8"),
        (event(9)[:-1], "1:8"),
    ],
)
def test_a_stream_goes_on_behind_the_last_cursor_that_it_saw(
    last: bytes, after: str, foreign: Start
) -> None:
    service = foreign(stream(event(8), last), stream(event(20), event(21), hang=True))

    with a_client(service.url) as client, client.events("tasks") as events:
        while next(events).id != "1:21":
            assert service.asked

    assert service.asked[1].headers["last-event-id"] == after


def test_an_event_that_comes_again_is_not_shown_again(foreign: Start) -> None:
    again = stream(event(8), event(9), event(10), hang=True)
    service = foreign(stream(event(8), event(9), event(9), event(8)), again)

    with a_client(service.url) as client:
        assert first(client, 3) == ["1:8", "1:9", "1:10"]


def test_before_anything_came_the_beginning_is_asked_for_again(foreign: Start) -> None:
    service = foreign(stream(), stream(event(8), hang=True))

    with a_client(service.url) as client:
        assert first(client, 1, after="start") == ["1:8"]

    assert all("after=start" in asked.path for asked in service.asked)


def test_without_following_it_ends_where_the_log_does(foreign: Start) -> None:
    service = foreign(stream(event(8)), stream(event(9), moved("caught_up", 12), event(13)))

    with a_client(service.url) as client:
        events = client.events("tasks", after="start", follow=False)
        assert [one.id for one in events] == ["1:8", "1:9"]
        assert events.cursor == "1:12"


def test_a_service_that_says_nothing_any_more_is_left(
    foreign: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SILENCE_SECONDS_MAX", 0.1)
    service = foreign(stream(event(8), hang=True), stream(event(9), hang=True))

    with a_client(service.url) as client:
        assert first(client, 2) == ["1:8", "1:9"]


def test_a_token_that_is_refused_is_replaced_once(foreign: Start) -> None:
    refused = problem(401, "invalid_token")
    service = foreign(token("t1"), refused, token("t2"), stream(event(8), hang=True))

    with a_client(service.url, token=None, username="me", password="x") as client:
        assert first(client, 1) == ["1:8"]

    assert service.asked[-1].headers["authorization"] == "Bearer t2"


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (problem(401, "invalid_token"), Unauthorized),
        (problem(403, "insufficient_scope"), Forbidden),
        (problem(404, "not_found"), NotFound),
        (problem(422, "bad_channel"), Invalid),
        ({"status": 307, "headers": {"Location": "http://127.0.0.1:1/"}}, Invalid),
    ],
)
def test_what_is_refused_for_good_is_told_of(
    refusal: dict[str, Any], kind: type[MusterrollError], foreign: Start
) -> None:
    service = foreign(refusal)

    with a_client(service.url) as client:
        events = client.events("tasks")
        for _ in range(2):  # no end of it is taken for another
            with pytest.raises(kind):
                next(events)

    assert len(service.asked) == 1


@pytest.mark.parametrize(("status", "reason"), [(410, "epoch_ended"), (422, "cursor_ahead")])
def test_a_cursor_that_names_no_place_is_told_of(status: int, reason: str, foreign: Start) -> None:
    service = foreign(stream(event(8)), problem(status, reason, cursor="2:5"))

    with a_client(service.url) as client:
        events = client.events("tasks")
        assert next(events).id == "1:8"
        with pytest.raises(Resync) as caught:
            next(events)

    assert (caught.value.reason, caught.value.cursor) == (reason, "2:5")


def test_what_is_unavailable_now_is_asked_for_again(foreign: Start) -> None:
    away = {"status": 503, "headers": {"Retry-After": "0"}}
    service = foreign(away, {"status": 429}, stream(event(8), hang=True))

    with a_client(service.url) as client:
        assert first(client, 1) == ["1:8"]


@pytest.mark.parametrize(
    "answer",
    [
        stream(b"event: task.completed\ndata: nothing\n\n"),
        stream(b"event: task.completed\ndata: {}\n\n"),
        stream(b"event: position\ndata: []\n\n"),
        {"status": 204},
    ],
)
def test_what_is_no_stream_of_the_service_is_told_of(
    answer: dict[str, Any], foreign: Start
) -> None:
    with a_client(foreign(answer).url) as client, pytest.raises(Unavailable) as caught:
        next(client.events("tasks"))

    assert caught.value.code == "unexpected_answer"


def test_a_message_without_end_is_told_of(foreign: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MESSAGE_BYTES_MAX", 1_000)
    service = foreign(stream(b"data: " + b"x" * 5_000, hang=True))

    with a_client(service.url) as client, pytest.raises(Unavailable, match="over 1000 bytes"):
        next(client.events("tasks"))


def test_a_service_that_is_not_there_is_waited_for_only_as_long_as_the_client_says() -> None:
    with (
        a_client("http://127.0.0.1:1", retry_seconds=0.2) as client,
        pytest.raises(Unavailable, match=r"no answer from http://127\.0\.0\.1:1"),
    ):
        next(client.events("tasks"))


@pytest.mark.parametrize("what", ["stream", "client"])
def test_closing_ends_the_wait_of_another_thread(what: str, foreign: Start) -> None:
    service = foreign(stream(event(8), hang=True))
    found: list[str] = []
    begun = threading.Event()

    with a_client(service.url) as client:
        events = client.events("tasks")

        def read() -> None:
            for one in events:
                found.append(one.id)
                begun.set()

        thread = threading.Thread(target=read)
        thread.start()
        assert begun.wait(PATIENCE_SECONDS)
        (events if what == "stream" else client).close()
        thread.join(PATIENCE_SECONDS)

        assert not thread.is_alive()
        assert found == ["1:8"]
        assert list(events) == []


def test_closing_ends_the_pause_before_another_try(foreign: Start) -> None:
    away = {"status": 503, "headers": {"Retry-After": "60"}}
    service = foreign(stream(event(8)), away)

    with a_client(service.url) as client:
        events = client.events("tasks")
        assert next(events).id == "1:8"
        thread = threading.Thread(target=lambda: list(events))
        thread.start()
        while len(service.asked) < 2:
            service.was_asked.wait(PATIENCE_SECONDS)
        events.close()
        thread.join(PATIENCE_SECONDS)

    assert not thread.is_alive()


def test_streams_that_nobody_holds_any_more_are_closed(foreign: Start) -> None:
    service = foreign(stream(event(8), hang=True))

    with a_client(service.url) as client:
        for _ in range(120):
            assert next(client.events("tasks")).id == "1:8"
        gc.collect()
        streams = client._opened()._streams

        assert len(streams) == 0
