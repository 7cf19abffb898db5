"""The outbox: what goes together, what goes at once, and what becomes of a refusal."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from musterroll._routes.work import AttemptRef, ReportOutcome
from musterroll._worker.outbox import Outbox
from musterroll.errors import Invalid
from musterroll.models import Failure

A, B = AttemptRef("a", 1), AttemptRef("b", 1)
DONE: dict[str, Any] = {"type": "completed", "result": 1}
FAILED: dict[str, Any] = {"type": "failed", "error": {"code": "x", "message": ""}}


class Post:
    """Delivers batches, each when it may, and keeps them."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.sent: list[dict[str, Any]] = []
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.left = asyncio.Event()
        self.refuses: set[str] = set()
        self.outcome = ReportOutcome(accepted=True)
        self.now = 0.0
        self.outbox = Outbox(self.deliver, clock=lambda: self.now)

    async def deliver(self, pack: list[bytes]) -> list[ReportOutcome]:
        reports = [orjson.loads(report) for report in pack]
        self.batches.append([f"{r['task_id']} {r['type']}" for r in reports])
        self.left.set()
        await self.may_go.wait()
        if self.refuses & {str(r.get("result")) for r in reports}:
            raise Invalid("too deep", code="invalid_body", status=422)
        self.sent += reports
        return [self.outcome for _ in reports]

    async def next_batch(self) -> None:
        await self.left.wait()
        self.left.clear()


def with_post(scenario: Callable[[Post], Awaitable[None]]) -> Post:
    async def run() -> Post:
        post = Post()
        running = asyncio.create_task(post.outbox.run())
        await asyncio.wait_for(scenario(post), 10)
        await asyncio.wait_for(post.outbox.flush(), 10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return post

    return asyncio.run(run())


def test_a_result_goes_at_once_and_takes_the_start_along() -> None:
    async def scenario(post: Post) -> None:
        post.outbox.started(A)
        post.outbox.ended(A, DONE)
        await post.next_batch()

    assert with_post(scenario).batches == [["a started", "a completed"]]


def test_a_start_without_company_goes_after_a_moment() -> None:
    async def scenario(post: Post) -> None:
        post.outbox.started(A)
        await post.next_batch()

    assert with_post(scenario).batches == [["a started"]]


def test_what_comes_while_a_batch_is_under_way_goes_with_the_next() -> None:
    async def scenario(post: Post) -> None:
        post.may_go.clear()
        post.outbox.ended(A, DONE)
        await post.next_batch()
        post.outbox.started(B)
        post.outbox.ended(B, FAILED)
        assert set(post.outbox.undelivered) == {A, B}
        post.may_go.set()
        await post.next_batch()

    post = with_post(scenario)

    assert post.batches == [["a completed"], ["b started", "b failed"]]
    assert post.outbox.undelivered == []


def test_of_the_progress_within_a_second_the_last_word_goes() -> None:
    async def scenario(post: Post) -> None:
        post.outbox.progress(A, 0.1, None)
        await post.next_batch()
        post.now = 0.5
        post.outbox.progress(A, 0.2, None)
        post.outbox.progress(A, 0.3, "last word")
        await asyncio.sleep(0)
        post.now = 1.0
        post.outbox.progress(B, 0.9, None)
        await post.next_batch()

    post = with_post(scenario)

    told = [(report["task_id"], report["fraction"]) for report in post.sent]
    assert told == [("a", 0.1), ("a", 0.3), ("b", 0.9)]


def test_progress_that_a_result_overtakes_is_left_out() -> None:
    async def scenario(post: Post) -> None:
        post.outbox.progress(A, 0.1, None)
        await post.next_batch()
        post.outbox.progress(A, 0.2, None)
        post.outbox.ended(A, DONE)
        await post.next_batch()

    assert with_post(scenario).batches == [["a progress"], ["a completed"]]


def test_more_than_a_request_holds_goes_in_several_and_none_is_forgotten() -> None:
    many = [AttemptRef(str(n), 1) for n in range(1_500)]

    async def scenario(post: Post) -> None:
        post.may_go.clear()
        for ref in many:
            post.outbox.ended(ref, DONE)
        await post.next_batch()
        assert len(post.outbox.undelivered) == 1_500
        post.may_go.set()

    assert [len(batch) for batch in with_post(scenario).batches] == [1_000, 500]


def test_a_report_that_is_refused_takes_no_neighbour_with_it_and_fails_its_task() -> None:
    async def scenario(post: Post) -> None:
        post.refuses = {"bad"}
        post.outbox.ended(A, {"type": "completed", "result": "bad"})
        post.outbox.ended(B, DONE)

    post = with_post(scenario)

    assert [(r["task_id"], r["type"]) for r in post.sent] == [("a", "failed"), ("b", "completed")]
    assert post.sent[0]["error"]["code"] == "report_refused"


def test_a_stale_result_is_dropped_with_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(post: Post) -> None:
        post.outcome = ReportOutcome(accepted=False, error=Failure(code="stale_attempt"))
        post.outbox.ended(A, DONE)

    with caplog.at_level(logging.INFO, logger="musterroll"):
        with_post(scenario)

    assert "task a, attempt 1: completed dropped: stale_attempt" in caplog.text
