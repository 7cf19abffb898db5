import asyncio
import gc

import pytest

from musterroll import Task, TaskFailed
from musterroll._worker import results


def test_a_handler_can_be_tried_without_a_service() -> None:
    task = Task(kind="count", input={"text": "to be"})

    task.progress(0.5, "half way")

    assert (task.attempt, task.cancelled, task.lessons) == (1, False, ())


def test_progress_may_be_awaited_or_not() -> None:
    told: list[tuple[float, str | None]] = []
    task = Task(kind="count", _tell=lambda _, fraction, message: told.append((fraction, message)))

    async def handler() -> None:
        await task.progress(1)

    task.progress(0, "begun")
    asyncio.run(handler())
    gc.collect()  # a coroutine that was never awaited would warn here, and fail the test

    assert told == [(0.0, "begun"), (1.0, None)]


def test_output_may_be_awaited_or_not_and_goes_nowhere_without_a_worker() -> None:
    written: list[str] = []
    task = Task(kind="count", _write=lambda _, text: written.append(text))

    async def handler() -> None:
        await task.output("two")
        await Task(kind="count").output("nowhere")

    task.output("one ")
    asyncio.run(handler())
    gc.collect()  # as above

    assert written == ["one ", "two"]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_progress_runs_from_0_to_1(fraction: float) -> None:
    with pytest.raises(ValueError, match="progress runs from 0 to 1"):
        Task(kind="count").progress(fraction)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ValueError", "value_error"),
        ("HTTPError", "http_error"),
        ("TaskXYZFailed2Times", "task_xyz_failed2_times"),
        ("_Private", "private"),
    ],
)
def test_an_exception_gives_its_name_to_the_code(name: str, code: str) -> None:
    assert results.snake_case(name) == code


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


def test_an_exception_is_a_failure_that_may_be_retried() -> None:
    assert results.raised(ValueError("bad\0 word")) == {
        "type": "failed",
        "error": {"code": "value_error", "message": "bad word"},
        "retryable": True,
    }
    assert results.raised(KeyError())["error"] == {"code": "key_error", "message": "KeyError"}
    assert results.raised(Mute())["error"]["code"] == "mute"


def test_a_failed_task_says_so_itself() -> None:
    report = results.raised(TaskFailed("no_such_file", "a.txt"))

    assert report["error"] == {"code": "no_such_file", "message": "a.txt"}
    assert report["retryable"] is False
    assert results.raised(TaskFailed("busy", retryable=True))["retryable"] is True


def test_a_long_message_loses_its_end_and_stays_text() -> None:
    message = results.raised(ValueError("ä" * 5_000))["error"]["message"]

    assert message.endswith("…")
    assert 4_090 <= len(message.encode()) <= 4_096


def nested(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "result", [None, {"a": [1, 2.5, "ü", None, True]}, "text \\u0000 is fine", nested(64)]
)
def test_json_is_a_result(result: object) -> None:
    assert results.completed(result)["type"] == "completed"


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (object(), "invalid_result"),
        ({1: 2}, "invalid_result"),
        ("\ud800", "invalid_result"),
        (2**70, "invalid_result"),
        ([{"share": float("nan")}], "invalid_result"),
        (["a\0b"], "invalid_result"),
        ({"a\0b": 1}, "invalid_result"),
        (nested(65), "invalid_result"),
        (nested(2_000), "invalid_result"),
        ("x" * (256 * 1024), "result_too_large"),
    ],
)
def test_what_the_service_would_refuse_fails_the_task_for_good(result: object, code: str) -> None:
    report = results.completed(result)

    assert report["error"]["code"] == code
    assert report["retryable"] is False
