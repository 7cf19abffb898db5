"""Whatever stands on a line of an export, it is an event as we write it, or refused by its line."""

from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.imports.lines import Line
from application.imports.refusals import BadEvent, NotImportable
from interfaces.http.schemas.imports import OWN_FIELDS, read_line
from tests.interfaces.installations import A_SUBMISSION
from tests.randomly import repeatably

TASK_ID = str(uuid4())
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1:7",
    "source": f"/musterroll/{uuid4()}",
    "type": "task.submitted",
    "subject": f"task/{TASK_ID}",
    "time": "2026-11-23T12:00:00.123456Z",
    "datacontenttype": "application/json",
    "data": A_SUBMISSION,
    "version": 1,
    "actor": "user/ada",
    "commandid": str(uuid4()),
    "correlationid": TASK_ID,
    "causationid": None,
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def line_of(event: Any) -> bytes:
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def outcome_of(raw: bytes) -> Line | BadEvent | NotImportable:
    try:
        return Line.of(7, read_line(7, raw))
    except (BadEvent, NotImportable) as error:
        return error


def taken_or_refused(raw: bytes) -> Line | None:
    outcome = outcome_of(raw)
    if isinstance(outcome, Line):
        return outcome
    assert outcome.facts["line"] == 7
    assert len(outcome.message) < 1_000
    return None


def test_an_event_as_we_write_it_is_read() -> None:
    line = taken_or_refused(line_of(EVENT))

    assert line is not None
    assert (str(line.aggregate_id), line.version, line.tells) == (TASK_ID, 1, True)
    assert orjson.loads(line.data) == A_SUBMISSION


@repeatably
@given(st.binary(max_size=200))
def test_bytes_that_are_no_event_are_refused(raw: bytes) -> None:
    assert taken_or_refused(raw) is None


@repeatably
@given(ANY)
def test_json_that_is_no_event_is_refused(value: Any) -> None:
    assert taken_or_refused(line_of(value)) is None


@repeatably
@given(st.sampled_from(sorted(EVENT)), ANY)
def test_whatever_a_member_holds_it_is_taken_or_refused(name: str, value: Any) -> None:
    taken_or_refused(line_of({**EVENT, name: value}))


@repeatably
@given(
    st.sampled_from(sorted(OWN_FIELDS)),
    st.dictionaries(st.sampled_from(sorted(A_SUBMISSION)) | TEXTS, ANY, max_size=4),
)
def test_whatever_its_data_holds_it_is_taken_or_refused(topic: str, data: dict[str, Any]) -> None:
    subject = f"{topic.partition('.')[0]}/{TASK_ID}"
    own = {**A_SUBMISSION, **data} if topic == "task.submitted" else data

    taken_or_refused(line_of({**EVENT, "type": topic, "subject": subject, "data": own}))


@repeatably
@given(st.integers(0, 2_000), st.integers(1, 255))
def test_a_byte_that_was_changed_is_refused_or_read_as_it_stands(place: int, mask: int) -> None:
    raw = bytearray(line_of(EVENT))
    raw[place % len(raw)] ^= mask

    line = taken_or_refused(bytes(raw))

    if line is not None:
        assert line_of(orjson.loads(raw)) == raw


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\n\n", b" \n"])
def test_a_line_ends_with_one_line_end(end: bytes) -> None:
    assert taken_or_refused(line_of(EVENT)[:-1] + end) is None
