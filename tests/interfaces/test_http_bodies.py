"""Request bodies: what is taken, what is refused, and in which words."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from interfaces.http.bodies import model_of, parse_json
from interfaces.http.errors import BadJson, InvalidBody
from interfaces.http.fields import moment_from, nested_deeper
from interfaces.http.schemas.agents import AgentChangeBody
from interfaces.http.schemas.tasks import TaskBatchBody, TaskBody
from interfaces.http.schemas.workers import ReportsBody

MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
sound_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.lists,
)


def faults(kind: Any, value: Any) -> dict[str, str]:
    with pytest.raises(InvalidBody) as refusal:
        model_of(kind, value)
    return {fault["pointer"]: fault["message"] for fault in refusal.value.errors}


# Parsing.


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1, "a": 2}',
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'\xef\xbb\xbf{"kind": "a"}',
        b'{"a": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'[["x", {"y": ["\\u0000"]}]]',
        b'{"a": 18446744073709551616}',
        b'{"a": -9223372036854775809}',
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"[" * 70 + b"]" * 70,
        b"[" * 100_000,
        b'{"a":' * 70 + b"1" + b"}" * 70,
    ],
)
def test_what_json_cannot_say_safely_is_refused(body: bytes) -> None:
    with pytest.raises(BadJson):
        parse_json(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": "\\\\u0000"}', {"a": "\\u0000"}),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b'"' + b"9" * 30 + b'"', "9" * 30),
        (b"1e300", 1e300),
        (b"0.12345678901234567890123", 0.12345678901234567890123),
        ('"\\ud83d\\ude00 é"'.encode(), "\U0001f600 é"),
    ],
)
def test_what_json_can_say_is_read_as_it_is(body: bytes, value: Any) -> None:
    assert parse_json(body) == value


@given(any_json)
def test_every_json_is_read_exactly_or_refused(value: Any) -> None:
    body = json.dumps(value).encode()
    try:
        parsed = parse_json(body)
    except BadJson:
        return
    assert json.dumps(parsed, sort_keys=True) == json.dumps(value, sort_keys=True)


@given(st.binary(max_size=100))
def test_no_bytes_bring_the_parser_down(body: bytes) -> None:
    with suppress(BadJson):
        parse_json(body)


@given(any_json)
@example({"kind": "a", "input": [[]]})
def test_no_json_brings_a_model_down(value: Any) -> None:
    for kind in (TaskBody, TaskBatchBody, ReportsBody, AgentChangeBody):
        with suppress(InvalidBody):
            model_of(kind, value)


def test_depth_is_counted_in_levels() -> None:
    assert not nested_deeper(1, 0)
    assert not nested_deeper([1], 1)
    assert nested_deeper([[1]], 1)
    assert nested_deeper({"a": {"b": {}}}, 2)


# Models.


def test_a_task_needs_its_kind_alone() -> None:
    specification = model_of(TaskBody, {"kind": "review"}).specification()

    assert specification == {
        "kind": "review",
        "input": None,
        "requires": ("review",),
        "priority": 5,
        "max_attempts": 3,
        "timeout_seconds": 300,
        "not_before": None,
        "deadline": None,
        "labels": {},
        "parent_id": None,
        "approval": False,
    }


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert model_of(TaskBody, {"kind": "review", "priority": 7.0}).priority == 7


def test_capabilities_are_required_once_each() -> None:
    body = model_of(TaskBody, {"kind": "review", "requires": ["b", "a", "b"]})

    assert body.specification()["requires"] == ("b", "a")


@pytest.mark.parametrize(
    ("changes", "pointer", "message"),
    [
        ({"kind": None}, "/kind", "must be a text"),
        ({"kind": ""}, "/kind", "must match ^[A-Za-z0-9._:-]{1,100}$"),
        ({"kind": "a b"}, "/kind", "must match ^[A-Za-z0-9._:-]{1,100}$"),
        ({"kind": "a\n"}, "/kind", "must match ^[A-Za-z0-9._:-]{1,100}$"),
        ({"priority": "5"}, "/priority", "must be a whole number"),
        ({"priority": True}, "/priority", "must be a whole number"),
        ({"priority": 5.5}, "/priority", "must be a whole number"),
        ({"priority": 1e300}, "/priority", "must be at most 9"),
        ({"priority": 10}, "/priority", "must be at most 9"),
        ({"priority": -1}, "/priority", "must be at least 0"),
        ({"priority": 2**63}, "/priority", "must be at most 9"),
        ({"max_attempts": 0}, "/max_attempts", "must be at least 1"),
        ({"timeout_seconds": 86_401}, "/timeout_seconds", "must be at most 86400"),
        ({"approval": 1}, "/approval", "must be true or false"),
        ({"requires": "review"}, "/requires", "must be a list"),
        ({"requires": ["a"] * 33}, "/requires", "must have at most 32 members"),
        ({"requires": [""]}, "/requires/0", "must have at least 1 characters"),
        ({"labels": []}, "/labels", "must be an object"),
        ({"labels": {"a": 1}}, "/labels/a", "must be a text"),
        ({"labels": {"a/b": None}}, "/labels/a~1b", "must be a text"),
        ({"labels": {str(n): "" for n in range(33)}}, "/labels", "must have at most 32 members"),
        ({"parent_id": "x"}, "/parent_id", "must be an id, such as "),
        ({"parent_id": 5}, "/parent_id", "must be an id, such as "),
        ({"deadline": "tomorrow"}, "/deadline", "must be a moment as in RFC 3339"),
        ({"deadline": "2026-02-30T00:00:00Z"}, "/deadline", "must be a moment that exists"),
        ({"status": "completed"}, "/status", "is not known here"),
        ({"input": "x" * (256 * 1024)}, "/input", "must be at most 256 KiB of JSON"),
        ({"input": json.loads("[" * 65 + "]" * 65)}, "/input", "must be nested at most 64"),
    ],
)
def test_a_fault_is_named_with_its_place(
    changes: dict[str, Any], pointer: str, message: str
) -> None:
    found = faults(TaskBody, {"kind": "review"} | changes)

    assert list(found) == [pointer]
    assert found[pointer].startswith(message)


def test_the_largest_and_deepest_input_is_taken() -> None:
    largest = "x" * (256 * 1024 - 2)
    deepest = json.loads("[" * 64 + "]" * 64)

    assert model_of(TaskBody, {"kind": "a", "input": largest}).input == largest
    assert model_of(TaskBody, {"kind": "a", "input": deepest}).input == deepest


def test_a_body_that_is_no_object_is_at_fault_as_a_whole() -> None:
    assert faults(TaskBody, []) == {"": "must be an object"}
    assert faults(TaskBody, None) == {"": "must be an object"}


def test_a_fault_never_shows_what_was_sent() -> None:
    secret = "hunter2-hunter2"

    found = faults(TaskBody, {"kind": secret + " ", "priority": secret, "parent_id": secret})

    assert secret not in json.dumps(found)


def test_of_many_faults_the_first_are_shown_and_all_are_counted() -> None:
    with pytest.raises(InvalidBody, match="The first 20 of 1000 are listed") as refusal:
        model_of(TaskBatchBody, {"tasks": [{}] * 1_000})

    assert len(refusal.value.errors) == 20
    assert refusal.value.errors[0] == {"pointer": "/tasks/0/kind", "message": "is required"}


def test_a_flood_of_faults_is_refused_without_a_list() -> None:
    with pytest.raises(InvalidBody, match="The first 0 of 50001 are listed"):
        model_of(TaskBody, {str(number): 0 for number in range(50_000)})


@pytest.mark.parametrize(
    ("report", "pointer", "message"),
    [
        ({"type": "finished"}, "/reports/0", "must name one of 'started', 'progress'"),
        ({}, "/reports/0", "must say what it is by 'type'"),
        ({"type": "progress"}, "/reports/0/fraction", "is required"),
        ({"type": "progress", "fraction": 1.5}, "/reports/0/fraction", "must be at most"),
        ({"type": "started", "result": 1}, "/reports/0/result", "is not known here"),
        ({"type": "failed", "error": {}}, "/reports/0/error/code", "is required"),
    ],
)
def test_a_report_has_what_its_type_asks_for(
    report: dict[str, Any], pointer: str, message: str
) -> None:
    attempt = {"task_id": "018f6a3e-1c2b-7d4e-9f00-0123456789ab", "attempt": 1}

    found = faults(ReportsBody, {"reports": [attempt | report]})

    assert list(found) == [pointer]
    assert found[pointer].startswith(message)


def test_a_change_of_nothing_is_refused() -> None:
    assert faults(AgentChangeBody, {}) == {"": "must name something to change"}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23T12:00:00Z", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("2026-11-23t12:00:00.5z", datetime(2026, 11, 23, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-23T14:00:00+02:00", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("2026-11-23T12:00:00.123456789Z", datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_in_utc(text: str, moment: datetime) -> None:
    assert moment_from(text) == moment
    assert moment_from(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T12:00:00",
        "2026-11-23",
        "2026-11-23 12:00:00Z",
        "20261123T120000Z",
        "2026-W48-1T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T12:00:60Z",
        "2026-11-23T12:00:00+24:00",
        "2026-11-23T12:00:00Z\n",
        "٢٠٢٦-11-23T12:00:00Z",
        "",
        1_700_000_000,
        None,
    ],
)
def test_what_is_no_moment_with_a_zone_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="must be a moment"):
        moment_from(text)


# Over the wire.


def test_a_task_of_the_greatest_size_is_taken_whole(shared_admin: httpx.Client) -> None:
    largest = "é" * (128 * 1024 - 1)

    answer = shared_admin.post("/v1/tasks", json={"kind": "a", "input": largest})

    assert answer.status_code == 202
    shown = shared_admin.get(
        f"{answer.headers['Location']}", params={"seen": answer.json()["cursor"]}
    )
    assert shown.json()["input"] == largest


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused(shared_admin: httpx.Client, chunked: bool) -> None:
    body = b'{"kind": "' + b"a" * MIB + b'"}'
    content: Any = iter([body[:MIB], body[MIB:]]) if chunked else body

    answer = shared_admin.post("/v1/tasks", content=content, headers=JSON)

    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_a_body_that_is_not_plain_json_is_refused(
    shared_admin: httpx.Client, headers: dict[str, str]
) -> None:
    answer = shared_admin.post("/v1/tasks", content=b'{"kind": "a"}', headers=headers)

    assert answer.status_code == 415
    assert answer.json()["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    "media_type",
    ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"],
)
def test_json_by_another_spelling_is_taken(shared_admin: httpx.Client, media_type: str) -> None:
    answer = shared_admin.post(
        "/v1/tasks", content=b'{"kind": "a"}', headers={"Content-Type": media_type}
    )

    assert answer.status_code == 202


def test_a_bad_body_answers_with_a_problem(shared_admin: httpx.Client) -> None:
    answer = shared_admin.post("/v1/tasks", content=b"{", headers=JSON)

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "bad_json"


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    body=st.binary(max_size=300) | any_json.map(lambda value: json.dumps(value).encode()),
    path=st.sampled_from(["/v1/tasks", "/v1/tasks/batch", "/v1/agents", "/v1/users"]),
)
def test_whatever_is_sent_is_taken_or_refused(
    shared_admin: httpx.Client, body: bytes, path: str
) -> None:
    answer = shared_admin.post(path, content=body, headers=JSON)

    assert answer.status_code in {201, 202, 400, 409, 413, 422}, (body, answer.text)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    task=st.fixed_dictionaries(
        {"kind": st.from_regex(r"[A-Za-z0-9._:-]{1,100}", fullmatch=True)},
        optional={
            "input": sound_json,
            "priority": st.integers(0, 9),
            "labels": st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=9)),
        },
    )
)
def test_what_is_taken_is_shown_as_it_was_sent(
    shared_admin: httpx.Client, task: dict[str, Any]
) -> None:
    answer = shared_admin.post("/v1/tasks", json=task)
    if answer.status_code != 202:
        assert answer.status_code in {400, 422}, answer.text
        return

    shown = shared_admin.get(
        answer.headers["Location"], params={"seen": answer.json()["cursor"]}
    ).json()

    for name in ("kind", "input", "priority", "labels"):
        if name in task:
            assert shown[name] == task[name]
