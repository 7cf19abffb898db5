"""What a client says over the WebSocket: what is understood, what is refused, in which words."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from interfaces.http.problem_pages import problem_page
from interfaces.http.schemas.frames import SERVER_FRAMES
from interfaces.http.schemas.live import (
    CLIENT_MESSAGES,
    Auth,
    BadMessage,
    BadPlace,
    MessageIsNoJson,
    MessageRefused,
    Ping,
    Subscribe,
    UnknownType,
    Unsubscribe,
    client_message,
)
from tests.randomly import repeatably

CODES = {"bad_json", "unknown_type", "bad_message", "bad_cursor"}
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
members = st.sampled_from(
    ["id", "token", "channels", "after", "types", "labels", "snapshot", "subscribe", "x"]
)
almost_messages = st.builds(
    lambda kind, rest: {"type": kind} | rest,
    st.sampled_from(["auth", "subscribe", "unsubscribe", "ping"]) | any_json,
    st.dictionaries(members, any_json | st.lists(st.text(), max_size=3)),
)


def refusal_of(said: Any) -> MessageRefused:
    with pytest.raises(MessageRefused) as refusal:
        client_message(said if isinstance(said, str) else json.dumps(said))
    return refusal.value


# What is understood.


def test_each_kind_of_message_is_told_from_the_others() -> None:
    subscribe = {"type": "subscribe", "channels": ["tasks"]}

    found = [
        client_message(json.dumps(said))
        for said in (
            {"type": "auth", "token": "t"},
            subscribe,
            subscribe | {"type": "unsubscribe"},
            {"type": "ping"},
        )
    ]

    assert [type(message) for message in found] == [Auth, Subscribe, Unsubscribe, Ping]
    assert {type(message) for message in found} == set(CLIENT_MESSAGES)


def test_a_subscription_begins_now_with_everything_unless_it_says_otherwise() -> None:
    plain = client_message('{"type": "subscribe", "channels": ["tasks"]}')
    full = client_message(
        json.dumps(
            {
                "type": "subscribe",
                "id": "s1",
                "channels": ["tasks", "output.nonsense"],
                "after": "1:4711",
                "types": ["task.completed"],
                "labels": {"team": "platform"},
            }
        )
    )

    assert isinstance(plain, Subscribe)
    assert (plain.after, plain.types, plain.labels, plain.snapshot) == ("now", [], {}, False)
    assert plain.id is None
    assert isinstance(full, Subscribe)
    assert (full.id, full.after, full.types) == ("s1", "1:4711", ["task.completed"])
    assert full.labels == {"team": "platform"}
    # Whether there is such a channel is not this module's to say.
    assert full.channels == ["tasks", "output.nonsense"]


@pytest.mark.parametrize("after", ["now", "start", "1:0", "1:4711", "999999999:1"])
def test_a_subscription_may_begin_anywhere(after: str) -> None:
    said = json.dumps({"type": "subscribe", "channels": ["tasks"], "after": after})

    message = client_message(said)

    assert isinstance(message, Subscribe)
    assert message.after == after


def test_a_snapshot_that_is_not_wanted_goes_with_any_beginning() -> None:
    said = {"type": "subscribe", "channels": ["tasks"], "after": "now", "snapshot": False}

    assert isinstance(client_message(json.dumps(said)), Subscribe)


def test_a_token_does_not_show_in_what_is_printed() -> None:
    message = client_message('{"type": "auth", "token": "hunter2"}')

    assert "hunter2" not in repr(message)


# What is refused.


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "null",
        '"ping"',
        "5",
        '{"type": "ping"',
        '{"type": "ping"}{"type": "ping"}',
        "{'type': 'ping'}",
        '{"type": "ping", "id": "\\u0000"}',
        '{"type": "ping", "id": "\\ud800"}',
        '{"type": "ping", "id": 123456789012345678901234}',
        '{"type": "ping", "id": NaN}',
        '{"type": "ping", "id": 1e999}',
        '{"type": "ping", "id": ' + "[" * 100 + "]" * 100 + "}",
        "[" * 60_000,
        "\ufeff" + '{"type": "ping"}',
        "\ud800",
    ],
)
def test_what_is_no_sound_json_object_is_refused(text: str) -> None:
    refusal = refusal_of(text)

    assert isinstance(refusal, MessageIsNoJson)
    assert (refusal.code, refusal.message_id) == ("bad_json", None)
    assert "body" not in refusal.message


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"kind": "ping"},
        {"type": "PING"},
        {"type": "event"},
        {"type": ""},
        {"type": 5},
        {"type": None},
        {"type": ["ping"]},
        {"type": {"ping": 1}},
    ],
)
def test_a_message_has_to_say_what_it_is(said: dict[str, Any]) -> None:
    refusal = refusal_of(said | {"id": "m1"})

    assert isinstance(refusal, UnknownType)
    assert (refusal.code, refusal.message_id) == ("unknown_type", "m1")
    assert refusal.message == (
        "The type of a message is one of auth, subscribe, unsubscribe, ping."
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"type": "auth"}, "token is required."),
        ({"type": "auth", "token": 5}, "token must be a text."),
        ({"type": "ping", "at": 5}, "at is not known here."),
        ({"type": "subscribe"}, "channels is required."),
        ({"type": "subscribe", "channels": "tasks"}, "channels must be a list."),
        ({"type": "subscribe", "channels": [None]}, "channels/0 must be a text."),
        ({"type": "unsubscribe", "channels": []}, "channels must have at least 1 members."),
        (
            {"type": "subscribe", "channels": ["tasks"] * 101},
            "channels must have at most 100 members.",
        ),
        (
            {"type": "subscribe", "channels": ["tasks"], "types": [""]},
            "types/0 must have at least 1 characters.",
        ),
        (
            {"type": "subscribe", "channels": ["tasks"], "types": ["a"] * 101},
            "types must have at most 100 members.",
        ),
        (
            {"type": "subscribe", "channels": ["tasks"], "labels": {"team": 5}},
            "labels/team must be a text.",
        ),
        (
            {"type": "subscribe", "channels": ["tasks"], "snapshot": 1},
            "snapshot must be true or false.",
        ),
        (
            {"type": "subscribe", "channels": ["tasks"], "snapshot": True, "after": "now"},
            "snapshot goes without after: it brings its own cursor.",
        ),
        # A member that is called like a kind of message misleads nobody.
        (
            {"type": "subscribe", "channels": [5], "subscribe": ["x"]},
            "channels/0 must be a text.",
        ),
    ],
)
def test_a_refusal_names_the_member_that_is_at_fault(said: dict[str, Any], message: str) -> None:
    refusal = refusal_of(said | {"id": "m1"})

    assert isinstance(refusal, BadMessage)
    assert (refusal.code, refusal.message_id) == ("bad_message", "m1")
    assert refusal.message == message


@pytest.mark.parametrize(
    "after",
    [
        None,
        5,
        "",
        "later",
        "NOW",
        "1",
        "1:",
        ":1",
        "-1:1",
        "1:1\n",
        " 1:1",
        "\u0661:\u0661",
        "1" * 999,
    ],
)
def test_a_subscription_begins_only_at_a_place_in_the_log(after: Any) -> None:
    refusal = refusal_of({"type": "subscribe", "id": "m1", "channels": ["tasks"], "after": after})

    assert isinstance(refusal, BadPlace)
    assert (refusal.code, refusal.message_id) == ("bad_cursor", "m1")
    assert refusal.message == "after is a cursor, such as 1:4711, or now, or start."


@pytest.mark.parametrize("message_id", [5, ["a"], {"a": 1}, True, "x" * 101])
def test_an_id_that_cannot_be_is_not_echoed(message_id: Any) -> None:
    refusal = refusal_of({"type": "ping", "id": message_id})

    assert (refusal.code, refusal.message_id) == ("bad_message", None)
    assert refusal.message.startswith("id must ")


def test_a_refusal_shows_nothing_of_what_was_sent() -> None:
    for said in ({"type": "auth", "token": ["hunter2"]}, {"type": "hunter2", "token": "hunter2"}):
        refusal = refusal_of(said)

        assert "hunter2" not in f"{refusal.message} {refusal.facts}"
        assert refusal.__cause__ is None


@repeatably
@given(text=st.text() | any_json.map(json.dumps) | almost_messages.map(json.dumps))
@example(text=json.dumps({"type": "subscribe"} | {str(n): n for n in range(5_000)}))
def test_whatever_is_said_is_understood_or_refused(text: str) -> None:
    refusal = None
    try:
        message = client_message(text)
    except MessageRefused as error:
        refusal = error

    if refusal is None:
        assert type(message) in CLIENT_MESSAGES
    else:
        assert refusal.code in CODES
        assert 0 < len(refusal.message) < 1_000
        assert refusal.message_id is None or len(refusal.message_id) <= 100


def test_every_refusal_has_a_page_that_explains_it() -> None:
    assert all(problem_page(code) for code in CODES)


# What the server says.


def test_every_frame_says_by_its_type_what_it_is() -> None:
    schemas = [TypeAdapter(frame).json_schema(mode="serialization") for frame in SERVER_FRAMES]

    types = [schema["properties"]["type"]["const"] for schema in schemas]
    assert len(set(types)) == len(types)
    assert all(schema["description"] for schema in schemas)
    assert all("type" in schema["required"] for schema in schemas)
