import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from musterroll import Task, TaskFailed
from musterroll.workers import http_worker

Start = Callable[..., Any]


def says(*chunks: bytes, status: int = 200, **rest: Any) -> dict[str, Any]:
    return {"status": status, "chunks": chunks, **rest}


def ask(hook: Any, **options: Any) -> Any:
    worker = http_worker(name="w", kind="notify", endpoint=f"{hook.url}/hook", **options)
    task = Task(kind="notify", input={"n": 1}, id="t1", attempt=2, labels={"a": "b"})
    return asyncio.run(worker.handlers["notify"](task))


def failure(hook: Any) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        ask(hook)
    return caught.value


def test_a_webhook_gets_the_task_and_answers_the_result(foreign: Start) -> None:
    hook = foreign(says(b'{"fine": true}', status=201))

    assert ask(hook, headers={"X-Key": "k"}) == {"fine": True}
    (asked,) = hook.asked
    assert (asked.path, asked.headers["x-key"]) == ("/hook", "k")
    assert asked.json == {
        "task_id": "t1",
        "attempt": 2,
        "kind": "notify",
        "input": {"n": 1},
        "labels": {"a": "b"},
        "lessons": [],
        "timeout_seconds": 300.0,
    }


def test_a_webhook_that_says_nothing_answers_null(foreign: Start) -> None:
    assert ask(foreign(says(status=204))) is None


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (404, False), (307, False), (408, True), (429, True), (500, True), (503, True)],
)
def test_a_status_says_whether_to_try_again(foreign: Start, status: int, retryable: bool) -> None:
    hook = foreign(says(b"because", status=status, headers={"location": "http://127.0.0.1:9/"}))

    failed = failure(hook)

    assert (failed.code, failed.retryable) == ("http_status", retryable)
    assert failed.message == f"the webhook answered {status}: because"
    assert len(hook.asked) == 1


def test_an_answer_that_is_not_json_fails_for_good(foreign: Start) -> None:
    assert failure(foreign(says(b"<html>"))).code == "invalid_output"


def test_an_answer_has_a_limit(foreign: Start) -> None:
    assert failure(foreign(says(*[b"x" * 65_536] * 5))).code == "output_too_large"


def test_an_answer_that_breaks_off_is_tried_again(foreign: Start) -> None:
    failed = failure(foreign(says(b"{", headers={"content-length": "100"})))

    assert (failed.code, failed.retryable) == ("unreachable", True)


def test_nobody_there_is_tried_again() -> None:
    worker = http_worker(name="w", kind="notify", endpoint="http://127.0.0.1:9/hook")

    with pytest.raises(TaskFailed) as caught:
        asyncio.run(worker.handlers["notify"](Task(kind="notify")))

    assert (caught.value.code, caught.value.retryable) == ("unreachable", True)


def test_a_silent_webhook_is_let_go_on_cancellation(foreign: Start) -> None:
    hook = foreign(says(b" ", hang=True))
    worker = http_worker(name="w", kind="notify", endpoint=hook.url)

    async def scenario() -> None:
        asking = asyncio.create_task(worker.handlers["notify"](Task(kind="notify")))
        await asyncio.to_thread(hook.was_asked.wait)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(scenario())


def test_an_endpoint_is_an_address() -> None:
    with pytest.raises(ValueError, match="not an http or https address"):
        http_worker(name="w", kind="notify", endpoint="example.com/hook")
