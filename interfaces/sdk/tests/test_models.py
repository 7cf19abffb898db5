from datetime import UTC, datetime

import orjson
import pytest

from musterroll._decode import decode
from musterroll.errors import Conflict, EpochEnded, Invalid, Unavailable, from_problem
from musterroll.models import Failure, Registration, TaskCard, TaskDetails, TaskStatus


def test_an_answer_becomes_a_model_with_moments_and_members() -> None:
    payload = {
        "id": "a",
        "status": "failed",
        "kind": "count",
        "requires": ["count"],
        "error": {"code": "boom", "message": "no", "new": 1},
        "submitted_at": "2026-11-23T07:00:00Z",
        "input": {"n": 1},
        "a_member_of_tomorrow": True,
    }

    card = decode(TaskDetails, payload)

    assert card.requires == ("count",)
    assert card.error == Failure(code="boom", message="no")
    assert card.submitted_at == datetime(2026, 11, 23, 7, tzinfo=UTC)
    assert card.input == {"n": 1}


def test_null_means_the_default() -> None:
    assert decode(TaskCard, {"id": "a", "status": "x", "kind": "k", "labels": None}).labels == {}


def test_a_missing_member_is_named() -> None:
    with pytest.raises(Unavailable, match=r"not Musterroll's TaskStatus: \['status'\]"):
        decode(TaskStatus, {"id": "a"})


def test_a_model_can_be_written_as_json() -> None:
    written = orjson.loads(orjson.dumps(TaskStatus(id="a", status="queued")))

    assert written["status"] == "queued"


def test_a_secret_does_not_show() -> None:
    made = Registration(id="a", version=1, client_id="c", client_secret="s3cret")

    assert "s3cret" not in repr(made)


def test_a_problem_keeps_its_facts() -> None:
    error = from_problem(
        409,
        {
            "type": "/problems/agent_exists",
            "code": "agent_exists",
            "detail": "the name is taken",
            "request_id": "r1",
            "agent_id": "7",
        },
    )

    assert isinstance(error, Conflict)
    assert (error.code, error.status, error.request_id) == ("agent_exists", 409, "r1")
    assert error.extra == {"agent_id": "7"}


def test_a_proxy_that_knows_no_problems_is_understood() -> None:
    assert from_problem(502, None).code == "http_502"
    assert isinstance(from_problem(429, "slow"), Unavailable)
    assert isinstance(from_problem(418, []), Invalid)
    assert isinstance(from_problem(410, {}), EpochEnded)
