"""Attempts: a handler under a lease, with one report or none."""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from musterroll import Task, TaskFailed
from musterroll._worker.attempt import Attempt
from musterroll._worker.handlers import Handler, Handlers


class Desk:
    """Begins attempts and keeps their reports."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.progress: list[float] = []
        self.is_free = asyncio.Event()

    def report(self, attempt: Attempt, members: dict[str, Any]) -> None:
        assert attempt.ref == ("t1", 2)
        self.reports.append(members)

    def freed(self, _attempt: Attempt) -> None:
        assert not self.is_free.is_set()
        self.is_free.set()
        self.handlers.close()

    def begin(self, handler: Handler | None, *, timeout_seconds: float = 60.0) -> Attempt:
        task = Task(
            id="t1",
            attempt=2,
            kind="count",
            input=1,
            timeout_seconds=timeout_seconds,
            _tell=lambda _task, fraction, _message: self.progress.append(fraction),
        )
        attempt = Attempt(task, self)
        self.handlers = Handlers({} if handler is None else {"count": handler})
        attempt.begin(self.handlers)
        return attempt

    def run(self, handler: Handler | None, **options: Any) -> dict[str, Any]:
        async def work() -> None:
            self.begin(handler, **options)
            await self.is_free.wait()

        asyncio.run(work())
        (report,) = self.reports
        return report


def code_of(report: dict[str, Any]) -> str:
    return str(report["error"]["code"])


async def in_async(task: Task) -> dict[str, Any]:
    await task.progress(0.5)
    return {"input": task.input, "attempt": task.attempt}


def in_thread(task: Task) -> dict[str, Any]:
    task.progress(0.5)
    return {"input": task.input, "attempt": task.attempt}


class AsyncObject:
    async def __call__(self, task: Task) -> dict[str, Any]:
        return await in_async(task)


@pytest.mark.parametrize("handler", [in_async, in_thread, AsyncObject()])
def test_a_handler_completes_its_task(handler: Handler) -> None:
    desk = Desk()

    report = desk.run(handler)

    assert report["type"] == "completed"
    assert desk.progress == [0.5]


def test_a_plain_handler_has_a_thread_of_its_own_and_the_loops_context() -> None:
    where: list[object] = []
    setting = contextvars.ContextVar("setting", default="none")

    async def work() -> None:
        setting.set("set")
        desk = Desk()
        desk.begin(lambda _: where.extend([threading.current_thread(), setting.get()]))
        await desk.is_free.wait()

    asyncio.run(work())

    assert where[0] is not threading.main_thread()
    assert where[1] == "set"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("no"), "value_error"),
        (TaskFailed("gone", "for good"), "gone"),
        (StopIteration(), "runtime_error"),
        (SystemExit(3), "system_exit"),
        (asyncio.CancelledError(), "cancelled_error"),
    ],
)
def test_what_a_plain_handler_raises_fails_the_attempt(error: BaseException, code: str) -> None:
    def handler(_: Task) -> None:
        raise error

    assert code_of(Desk().run(handler)) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError("no"), "value_error"), (asyncio.CancelledError(), "cancelled_error")],
)
def test_what_an_async_handler_raises_fails_the_attempt(error: BaseException, code: str) -> None:
    async def handler(_: Task) -> None:
        raise error

    assert code_of(Desk().run(handler)) == code


def test_a_handler_that_takes_no_task_fails_its_attempt() -> None:
    async def handler() -> None:
        """Forgot its parameter."""

    assert code_of(Desk().run(handler)) == "type_error"  # type: ignore[arg-type]


def test_an_attempt_that_nobody_wants_before_its_handler_runs_frees_its_slot() -> None:
    desk = Desk()

    async def leave() -> None:
        desk.begin(in_async).abandon()
        await asyncio.wait_for(desk.is_free.wait(), 5)

    asyncio.run(leave())

    assert (desk.reports, desk.progress) == ([], [])


def test_a_kind_without_a_handler_is_left_to_another_worker() -> None:
    report = Desk().run(None)

    assert (code_of(report), report["retryable"]) == ("no_handler", True)


def test_an_async_handler_is_cancelled_at_its_time_limit() -> None:
    cleaned: list[bool] = []

    async def handler(_: Task) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    assert code_of(Desk().run(handler, timeout_seconds=0.05)) == "timeout"
    assert cleaned == [True]


def test_a_thread_is_told_at_its_time_limit_and_keeps_its_slot_until_it_ends() -> None:
    desk = Desk()
    seen: list[str] = []

    def handler(task: Task) -> str:
        while not task.cancelled:
            time.sleep(0.001)
        seen.append(code_of(desk.reports[0]))
        return "too late"

    assert code_of(desk.run(handler, timeout_seconds=0.05)) == "timeout"
    assert seen == ["timeout"]


@pytest.mark.parametrize(
    ("stop", "reports"),
    [(Attempt.abandon, []), (Attempt.release, [{"type": "released"}])],
)
def test_an_attempt_that_is_stopped_reports_nothing_of_its_handler(
    stop: Callable[[Attempt], None], reports: list[dict[str, Any]]
) -> None:
    desk = Desk()

    async def work(handler: Handler, begun: asyncio.Event) -> None:
        desk.is_free.clear()
        attempt = desk.begin(handler)
        await begun.wait()
        stop(attempt)
        stop(attempt)
        await desk.is_free.wait()

    async def both() -> None:
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        async def stubborn(_: Task) -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "finished all the same"
            return "never"

        def looks(task: Task) -> str:
            loop.call_soon_threadsafe(begun.set)
            while not task.cancelled:
                time.sleep(0.001)
            return "finished all the same"

        await work(stubborn, begun)
        assert desk.reports == reports
        desk.reports.clear()
        begun.clear()
        await work(looks, begun)

    asyncio.run(both())

    assert desk.reports == reports


def test_a_thread_may_outlive_its_loop() -> None:
    may_end = threading.Event()
    ended = threading.Event()

    def handler(task: Task) -> None:
        may_end.wait()
        task.progress(1)
        ended.set()

    async def leave() -> None:
        Desk().begin(handler)

    asyncio.run(leave())
    may_end.set()

    assert ended.wait(5)
    for thread in threading.enumerate():
        if thread.name == "task t1":
            thread.join(5)
