import asyncio
import logging
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from musterroll import Task, TaskFailed
from musterroll.workers import openai_worker

Start = Callable[..., Any]
Says = dict[str, Any]
KEY = "sk-t0p-s3cret"
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def chunk(**members: Any) -> bytes:
    return b"data: " + orjson.dumps(members) + b"\n\n"


def piece(text: str | None = None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return chunk(model="m-1", choices=[choice])


def streams(*chunks: bytes, status: int = 200) -> Says:
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    return {"status": status, "chunks": chunks, "headers": headers}


def says_json(value: Any, status: int = 200, **headers: str) -> Says:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    headers = {"content-type": "application/json", **named}
    return {"status": status, "chunks": [orjson.dumps(value)], "headers": headers}


FINE = streams(
    b": a comment\n\n",
    piece("To "),
    piece("be."),
    piece(finish="stop"),
    chunk(choices=[], usage={**USAGE, "cached_tokens": 1}),
    b"data: [DONE]\n\n",
)


def ask(model: Any, task: Task | None = None, **options: Any) -> Any:
    options = {"api_key": KEY, **options}
    worker = openai_worker(
        name="w", kind="write", model="m", base_url=f"{model.url}/v1/", **options
    )
    task = task or Task(kind="write", input={"prompt": "Go on."})
    return asyncio.run(worker.handlers["write"](task))


def failure(model: Any, task: Task | None = None) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        ask(model, task)
    return caught.value


def test_an_answer_is_streamed_with_its_usage(foreign: Start) -> None:
    model = foreign(FINE)
    told: list[str | None] = []
    written: list[str] = []
    task = Task(
        kind="write",
        input={"prompt": "Go on.", "system": "Be brief."},
        _tell=lambda _task, _fraction, message: told.append(message),
        _write=lambda _task, text: written.append(text),
    )

    result = ask(model, task)

    assert result == {"text": "To be.", "model": "m-1", "finish_reason": "stop", "usage": USAGE}
    assert [text for text in written if text] == ["To ", "be."]
    assert told[:2] == ["3 characters", "6 characters"]
    (asked,) = model.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.json == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Go on."},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_key_comes_from_the_environment(
    foreign: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-env")
    model = foreign(FINE)

    ask(model, api_key=None)

    assert model.asked[0].headers["authorization"] == "Bearer from-env"


def test_lessons_join_the_system_prompt(foreign: Start) -> None:
    model = foreign(FINE)
    said = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi."}]
    lessons = (
        "Cite sources.",
        {"pattern": "long texts", "improvement": "summarise first"},
        {"x": 1},
    )

    ask(model, Task(kind="write", input={"messages": said}, lessons=lessons), system="Unused.")

    system, user = model.asked[0].json["messages"]
    assert system["content"] == (
        "Be kind.\n\nWhat was learned from tasks like this one:\n"
        '- Cite sources.\n- long texts: summarise first\n- {"x":1}'
    )
    assert user == said[1]


def test_parameters_go_into_the_request_and_none_takes_one_out(foreign: Start) -> None:
    model = foreign(FINE, FINE)

    ask(model, parameters={"temperature": 0, "stream_options": None})

    assert model.asked[0].json["temperature"] == 0
    assert "stream_options" not in model.asked[0].json


def test_a_server_that_does_not_stream_is_understood(foreign: Start) -> None:
    message = {"role": "assistant", "content": "To be."}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    model = foreign(says_json({"model": "m-1", "choices": choices, "usage": USAGE}))

    result = ask(model, parameters={"stream": False})

    assert result["text"] == "To be."
    assert result["usage"] == USAGE
    assert "stream_options" not in model.asked[0].json


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_asked_again(foreign: Start, status: int) -> None:
    model = foreign(says_json({}, status=status, retry_after="0"), FINE)

    assert ask(model)["text"] == "To be."
    assert len(model.asked) == 2


def test_an_endpoint_that_stays_busy_fails_and_may_be_retried(
    foreign: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = foreign(says_json({"error": "overloaded"}, status=529, retry_after="0"))

    failed = failure(model)

    assert (failed.code, failed.retryable) == ("http_status", True)
    assert "answered 529" in failed.message
    assert len(model.asked) == 5


def test_a_refusal_fails_for_good_and_never_tells_the_key(
    foreign: Start, caplog: pytest.LogCaptureFixture
) -> None:
    said = {"error": {"message": f"Incorrect API key provided: {KEY}"}}

    with caplog.at_level(logging.DEBUG):
        failed = failure(foreign(says_json(said, status=401)))

    assert (failed.code, failed.retryable) == ("http_status", False)
    assert "Incorrect API key provided: ***" in failed.message
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "broken",
    [
        streams(piece("To ")),
        streams(b"data: {\n\n"),
        streams(b"data: 1\n\n"),
        streams(piece("To "), chunk(error={"message": "out of memory"})),
    ],
)
def test_a_stream_that_breaks_may_be_retried(foreign: Start, broken: Says) -> None:
    failed = failure(foreign(broken))

    assert (failed.code, failed.retryable) == ("stream_broken", True)


def test_an_answer_has_a_limit(foreign: Start) -> None:
    failed = failure(foreign(streams(*[piece("x" * 10_000)] * 30)))

    assert failed.code == "output_too_large"


@pytest.mark.parametrize("given", [None, 7, {}, {"prompt": 7}, {"messages": "hello"}])
def test_an_input_without_a_prompt_fails_for_good(foreign: Start, given: Any) -> None:
    model = foreign(FINE)

    failed = failure(model, Task(kind="write", input=given))

    assert (failed.code, failed.retryable) == ("invalid_input", False)
    assert model.asked == []


def test_a_plain_text_is_a_prompt(foreign: Start) -> None:
    model = foreign(FINE)

    ask(model, Task(kind="write", input="Go on."))

    assert model.asked[0].json["messages"] == [{"role": "user", "content": "Go on."}]


def test_a_base_url_is_an_address() -> None:
    with pytest.raises(ValueError, match="not an http or https address"):
        openai_worker(name="w", kind="write", model="m", base_url="localhost:11434")
