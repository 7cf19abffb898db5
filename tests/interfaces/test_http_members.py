"""A member that comes twice is refused: whoever read the body before may have taken the other."""

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.http.bodies import parse_json
from interfaces.http.errors import BadJson
from tests.interfaces.service import Service
from tests.randomly import repeatably

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
JSON = st.recursive(
    st.none()
    | st.integers(-(2**53), 2**53)
    | TEXTS
    | st.sampled_from([":", '":', "a:b", "\\u003a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "body",
    [
        '{"kind":"a","kind":"b"}',
        '{"kind":"a" , "kind" : "a"}',
        '{"kind":"a","input":{"x":1,"x":2}}',
        '{"kind":"a","input":[[{"x":{},"x":{"y":":"}}]]}',
        '{"kind":"a","k\\u0069nd":"b"}',
        '{"kind":"a","input":"\\u003a","kind":"b"}',
        '{"kind":"a","input":"\\u003A\\u003a","kind":":"}',
    ],
)
def test_a_member_that_comes_twice_is_refused(shared_admin: httpx.Client, body: str) -> None:
    headers = {"Content-Type": "application/json"}

    answer = shared_admin.post("/v1/tasks", content=body, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")
    assert "comes twice" in answer.json()["detail"]


@repeatably
@given(JSON)
def test_what_holds_each_member_once_is_taken(value: object) -> None:
    assert parse_json(orjson.dumps(value)) == value
    assert parse_json(orjson.dumps(value, option=orjson.OPT_INDENT_2)) == value
    assert parse_json(rb'["\u003a",%s]' % orjson.dumps(value)) == [":", value]


@repeatably
@given(JSON, JSON, TEXTS)
def test_what_holds_one_twice_is_refused_wherever_it_stands(
    one: object, other: object, name: str
) -> None:
    key = orjson.dumps(name)
    body = b'[{"around":{%s:%s,%s:%s}}]' % (key, orjson.dumps(one), key, orjson.dumps(other))

    with pytest.raises(BadJson, match="comes twice"):
        parse_json(body)


def test_texts_with_colons_are_taken(shared_service: Service, shared_admin: httpx.Client) -> None:
    task = {"kind": "a", "input": {"url": "https://example.org:1/", "a:b": '":"', "c": "\\u003a"}}

    made = shared_admin.post("/v1/tasks", json=task).raise_for_status().json()

    shown = shared_admin.get(f"/v1/tasks/{made['task_id']}", params={"seen": made["cursor"]})
    assert shown.json()["input"] == task["input"]
