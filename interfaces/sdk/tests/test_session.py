"""The conversation of a request, held by hand: what is sent, and what follows from each reply."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from musterroll._connection import Credentials
from musterroll._conversation import Conversation, Reply, Send, Silence, Sleep
from musterroll._request import Request, as_it_is, command, query
from musterroll._routes import tasks
from musterroll._session import Session
from musterroll.errors import (
    EpochEnded,
    Forbidden,
    Invalid,
    NotFound,
    Unauthorized,
    Unavailable,
)
from musterroll.models import NewTask

JSON = {"content-type": "application/json"}
REFUSED = Silence("connection refused")
PROGRAM = Credentials(client_id="c", client_secret="s")


@dataclass
class Sent:
    path: str
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    content: bytes | None


def a_session(credentials: Credentials = PROGRAM, retry_seconds: float = 30.0) -> Session:
    return Session("http://127.0.0.1:8000", credentials, retry_seconds)


def answer(body: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, {**JSON, **headers}, orjson.dumps(body))


def problem(status: int, code: str, **headers: str) -> Reply:
    return answer({"code": code, "detail": "no"}, status, **headers)


def token(text: str = "t1", expires_in: float = 3600) -> Reply:
    return answer({"access_token": text, "token_type": "Bearer", "expires_in": expires_in})


def flat(send: Send) -> Sent:
    headers = {**send.request.headers, **send.headers}
    return Sent(send.request.path, send.request.query, headers, send.request.content)


def hold(conversation: Conversation[Any], *replies: Reply | Silence) -> tuple[Any, list[Sent]]:
    """Answer each request in turn (sleeps take no time); the result, and what was sent."""
    sent: list[Sent] = []
    waiting = list(replies)
    step = next(conversation)
    while True:
        reply = None
        if isinstance(step, Send):
            sent.append(flat(step))
            reply = waiting.pop(0)
        try:
            step = conversation.send(reply)
        except StopIteration as end:
            assert waiting == []
            return end.value, sent


def ask(session: Session, request: Request[Any], *replies: Reply | Silence) -> list[Sent]:
    return hold(session.carry_out(request), *replies)[1]


def test_a_token_is_fetched_once_and_used_by_every_request() -> None:
    session = a_session()

    first = ask(session, query("/v1/x", as_it_is), token(), answer({}))
    second = ask(session, query("/v1/x", as_it_is), answer({}))

    assert [send.path for send in first] == ["/v1/oauth/token", "/v1/x"]
    assert first[0].content == b"grant_type=client_credentials&client_id=c&client_secret=s"
    assert [send.headers["Authorization"] for send in (first[1], *second)] == ["Bearer t1"] * 2


def test_a_token_is_renewed_before_it_expires() -> None:
    session = a_session()
    ask(session, query("/v1/x", as_it_is), token("t1", expires_in=0.000_001), answer({}))

    again = ask(session, query("/v1/x", as_it_is), token("t2"), answer({}))

    assert again[1].headers["Authorization"] == "Bearer t2"


def test_a_token_that_is_refused_is_renewed_once() -> None:
    session = a_session()
    replies = [token("t1"), problem(401, "invalid_token"), token("t2")]

    sent = ask(session, query("/v1/x", as_it_is), *replies, answer({}))

    assert sent[-1].headers["Authorization"] == "Bearer t2"
    with pytest.raises(Unauthorized):
        ask(session, query("/v1/x", as_it_is), *([problem(401, "invalid_token"), token("t3")] * 2))


def test_a_token_for_another_tool_may_be_narrowed() -> None:
    session = a_session()

    made, sent = hold(session.new_token(["tasks:read", "tasks:write"]), token("narrow"))

    assert (made.access_token, made.expires_in) == ("narrow", 3600)
    assert sent[0].content is not None
    assert sent[0].content.endswith(b"&scope=tasks%3Aread+tasks%3Awrite")


def test_a_ready_token_is_handed_on_but_not_narrowed() -> None:
    session = Session("http://127.0.0.1:8000", Credentials(token="mine"), 0)

    with pytest.raises(StopIteration) as made:
        next(session.new_token(None))
    with pytest.raises(Invalid, match="cannot be narrowed"):
        next(session.new_token(["tasks:read"]))

    assert made.value.value.access_token == "mine"


def test_a_ready_token_is_used_as_it_is() -> None:
    session = a_session(Credentials(token="mine"))

    with pytest.raises(Unauthorized):
        ask(session, query("/v1/x", as_it_is), problem(401, "invalid_token"))


def test_a_wrong_secret_is_unauthorized() -> None:
    with pytest.raises(Unauthorized) as caught:
        ask(a_session(), query("/v1/x", as_it_is), answer({"error": "invalid_client"}, 401))

    assert caught.value.code == "invalid_client"


def test_who_needs_a_token_while_it_is_fetched_waits_for_that_one() -> None:
    session = a_session()
    one = session.carry_out(query("/v1/x", as_it_is))
    other = session.carry_out(query("/v1/x", as_it_is))

    asks_for_token = next(one)
    waits = next(other)
    one.send(token())
    goes_on = other.send(None)

    assert isinstance(asks_for_token, Send)
    assert asks_for_token.request.path == "/v1/oauth/token"
    assert isinstance(waits, Sleep)
    assert isinstance(goes_on, Send)
    assert goes_on.request.path == "/v1/x"


def test_who_waited_for_a_token_learns_why_there_is_none() -> None:
    session = a_session()
    one = session.carry_out(query("/v1/x", as_it_is))
    other = session.carry_out(query("/v1/x", as_it_is))
    next(one)
    next(other)

    with pytest.raises(Unauthorized):
        one.send(answer({"error": "invalid_client"}, 401))
    with pytest.raises(Unauthorized):
        other.send(None)


def test_a_token_that_nobody_fetches_any_more_is_fetched_by_the_next() -> None:
    session = a_session()
    one = session.carry_out(query("/v1/x", as_it_is))
    other = session.carry_out(query("/v1/x", as_it_is))
    next(one)
    next(other)

    one.close()

    assert isinstance(other.send(None), Send)


@pytest.mark.parametrize(
    "trouble",
    [REFUSED, problem(502, "bad_gateway"), problem(503, "behind"), problem(504, "slow")],
)
def test_a_command_is_repeated_under_the_same_key(trouble: Reply | Silence) -> None:
    request = command("/v1/tasks", as_it_is, {"kind": "count"})

    sent = ask(a_session(), request, token(), trouble, trouble, answer({}))[1:]

    assert len(sent) == 3
    assert len({send.headers["Idempotency-Key"] for send in sent}) == 1
    assert len({send.content for send in sent}) == 1


def test_each_command_has_a_key_of_its_own() -> None:
    keys = {command("/v1/tasks", as_it_is).headers["Idempotency-Key"] for _ in range(100)}

    assert len(keys) == 100


def test_retry_after_is_waited_for() -> None:
    conversation = a_session().carry_out(query("/v1/x", as_it_is))
    next(conversation)
    conversation.send(token())

    step = conversation.send(problem(429, "slow_down", **{"retry-after": "3"}))

    assert step == Sleep(3.0)


def test_without_a_budget_nothing_is_repeated() -> None:
    session = a_session(Credentials(token="t"), retry_seconds=0)

    with pytest.raises(Unavailable, match=r"connection refused.*`muster up`") as caught:
        ask(session, query("/v1/x", as_it_is), REFUSED)
    with pytest.raises(Unavailable) as answered:
        ask(session, query("/v1/x", as_it_is), problem(503, "read_model_behind"))

    assert caught.value.code == "unreachable"
    assert answered.value.code == "read_model_behind"


def test_an_error_of_the_service_itself_is_not_repeated() -> None:
    with pytest.raises(Unavailable):
        ask(a_session(), query("/v1/x", as_it_is), token(), problem(500, "internal"))


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Invalid), (403, Forbidden), (404, NotFound), (422, Invalid)]
)
def test_a_refusal_is_an_error_of_its_kind(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        ask(a_session(), query("/v1/x", as_it_is), token(), problem(status, "no"))


def test_queries_carry_the_newest_cursor_that_a_command_answered() -> None:
    session = a_session(Credentials(token="t"))
    for cursor in ("1:10", "1:9"):
        ask(session, command("/v1/tasks", as_it_is), answer({"cursor": cursor}))

    (sent,) = ask(session, query("/v1/tasks", as_it_is), answer({"cursor": "1:77"}))

    assert sent.headers["Musterroll-Seen"] == "1:10"
    assert session.seen == "1:10"


def test_a_cursor_of_an_ended_epoch_is_dropped_and_the_query_repeated() -> None:
    session = a_session(Credentials(token="t"))
    session.seen = "1:10"

    sent = ask(session, query("/v1/x", as_it_is), problem(410, "epoch_ended"), answer({}))

    assert "Musterroll-Seen" not in sent[1].headers
    assert session.seen is None


def test_a_cursor_of_an_ended_epoch_that_the_caller_gave_is_an_error() -> None:
    session = a_session(Credentials(token="t"))

    with pytest.raises(EpochEnded):
        ask(session, query("/v1/events", as_it_is, after="1:3"), problem(410, "epoch_ended"))


def test_health_needs_no_credentials() -> None:
    request = Request(method="GET", path="/healthz", parse=as_it_is, authorized=False)

    (sent,) = ask(a_session(Credentials()), request, answer({"status": "live"}))

    assert "Authorization" not in sent.headers


def test_what_is_not_the_service_is_unavailable() -> None:
    page = Reply(200, {"content-type": "text/html"}, b"<html>")

    with pytest.raises(Unavailable, match="not Musterroll's AccessToken"):
        ask(a_session(), query("/v1/x", as_it_is), page)
    with pytest.raises(Unavailable, match="not Musterroll's TaskStatus"):
        ask(a_session(Credentials(token="t")), tasks.status("1"), page)


def test_waiting_for_a_task_polls_from_the_version_last_seen() -> None:
    session = a_session(Credentials(token="t"))
    replies = [
        answer({"id": "a", "status": "queued", "version": 1}),
        answer({"id": "a", "status": "running", "version": 3}),
        answer({"id": "a", "status": "completed", "version": 4, "result": 7}),
    ]

    found, sent = hold(session.carry_out(tasks.wait("a")), *replies)

    assert found.result == 7
    assert [dict(send.query) for send in sent] == [
        {},
        {"wait": 30, "after_version": 1},
        {"wait": 30, "after_version": 3},
    ]


def test_many_tasks_go_in_requests_with_keys_of_one_family() -> None:
    session = a_session(Credentials(token="t"))
    many = [NewTask(kind="count", input=n) for n in range(1_001)]
    accepted = {"task_id": "a", "version": 1, "cursor": "1:1"}
    refused = {"error": {"code": "invalid", "message": "no"}}
    replies = [
        answer({"outcomes": [accepted] * 1_000}, 202),
        answer({"outcomes": [refused]}, 202),
    ]

    plan = tasks.submit_many(many, idempotency_key="k")
    outcomes, sent = hold(session.carry_out(plan), *replies)

    assert [send.headers["Idempotency-Key"] for send in sent] == ["k/0", "k/1"]
    assert len(outcomes) == 1_001
    assert (outcomes[0].id, outcomes[0].error) == ("a", None)
    assert outcomes[-1].error.code == "invalid"


def test_an_id_is_never_more_than_one_part_of_a_path() -> None:
    assert tasks.get("../agents?x").path == "/v1/tasks/..%2Fagents%3Fx"
