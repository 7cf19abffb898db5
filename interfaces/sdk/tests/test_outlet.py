"""The outlet: what tasks write, gathered and sent, and dropped rather than waited for."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from musterroll._routes.work import AttemptRef
from musterroll._worker import outlet as outlet_module
from musterroll._worker.outlet import Outlet
from musterroll.errors import Unavailable

A, B = AttemptRef("a", 1), AttemptRef("b", 2)


class Post:
    """Delivers batches, each when it may, and keeps them."""

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.left = asyncio.Event()
        self.fails = False
        self.outlet = Outlet(self.deliver)

    async def deliver(self, pack: list[bytes]) -> None:
        self.left.set()
        await self.may_go.wait()
        if self.fails:
            raise Unavailable("no answer", code="unreachable")
        self.batches.append([orjson.loads(piece) for piece in pack])

    def text_of(self, task_id: str) -> str:
        pieces = [piece for batch in self.batches for piece in batch]
        return "".join(piece["text"] for piece in pieces if piece["task_id"] == task_id)


def with_post(scenario: Callable[[Post], Awaitable[None]]) -> Post:
    async def run() -> Post:
        post = Post()
        running = asyncio.create_task(post.outlet.run())
        await asyncio.wait_for(scenario(post), 10)
        await post.outlet.flush()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return post

    return asyncio.run(run())


def test_what_is_written_together_goes_together_each_attempt_in_its_order() -> None:
    async def scenario(post: Post) -> None:
        for word in ("one ", "two ", "three"):
            post.outlet.write(A, word)
            post.outlet.write(B, word.upper())

    post = with_post(scenario)

    assert post.batches == [
        [
            {"task_id": "a", "attempt": 1, "text": "one two three"},
            {"task_id": "b", "attempt": 2, "text": "ONE TWO THREE"},
        ]
    ]


def test_without_hurry_it_goes_after_a_moment() -> None:
    async def scenario(post: Post) -> None:
        post.outlet.write(A, "x")
        await post.left.wait()

    assert with_post(scenario).text_of("a") == "x"


def test_what_threads_write_arrives_whole() -> None:
    async def scenario(post: Post) -> None:
        def write(ref: AttemptRef) -> None:
            for number in range(500):
                post.outlet.write(ref, f"{number},")

        threads = [threading.Thread(target=write, args=(ref,)) for ref in (A, B)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)

    post = with_post(scenario)

    assert post.text_of("a") == post.text_of("b") == "".join(f"{n}," for n in range(500))


def test_what_comes_faster_than_it_leaves_is_dropped_the_oldest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outlet_module, "UNSENT_BYTES_MAX", 1_000)

    async def scenario(post: Post) -> None:
        post.may_go.clear()
        post.outlet.write(A, "first")
        await post.left.wait()
        for number in range(300):
            post.outlet.write(A, f"{number:09}\n")
        post.outlet.write(B, "x" * 5_000)
        post.outlet.write(A, "last")
        post.may_go.set()

    post = with_post(scenario)

    assert post.text_of("a") == "firstlast"
    assert post.text_of("b") == ""


def test_a_text_beyond_all_bounds_keeps_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet_module, "UNSENT_BYTES_MAX", 1_001)

    async def scenario(post: Post) -> None:
        post.outlet.write(A, "ä" * 5_000)

    assert with_post(scenario).text_of("a") == "ä" * 500


def test_long_texts_go_in_pieces_and_no_character_is_cut() -> None:
    text = "aä€😀" * 30_000

    async def scenario(post: Post) -> None:
        post.outlet.write(A, text)

    post = with_post(scenario)

    assert post.text_of("a") == text
    sizes = [len(piece["text"].encode()) for batch in post.batches for piece in batch]
    assert len(sizes) > 4
    assert max(sizes) <= 64 * 1024


def test_what_the_service_does_not_take_is_left_out() -> None:
    async def scenario(post: Post) -> None:
        post.outlet.write(A, "a\0b\ud800c")
        post.outlet.write(B, "")

    assert with_post(scenario).batches == [[{"task_id": "a", "attempt": 1, "text": "ab?c"}]]


def test_what_is_lost_is_told_of_once_and_the_next_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(post: Post) -> None:
        post.fails = True
        for word in ("one", "two"):
            post.outlet.write(A, word)
            await post.outlet.flush()
        post.fails = False
        post.outlet.write(A, "three")

    assert with_post(scenario).text_of("a") == "three"
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


def test_a_flush_waits_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet_module, "FLUSH_SECONDS", 0.05)

    async def scenario(post: Post) -> None:
        post.may_go.clear()
        post.outlet.write(A, "x")
        began_at = time.monotonic()
        await post.outlet.flush()
        assert time.monotonic() - began_at < 5

    with_post(scenario)


def test_without_output_a_flush_waits_for_nothing() -> None:
    async def scenario(post: Post) -> None:
        await post.outlet.flush()

    assert with_post(scenario).batches == []


def test_a_thread_may_go_on_writing_when_the_loop_is_gone() -> None:
    outlets = []

    async def make() -> None:
        outlets.append(Post().outlet)

    asyncio.run(make())

    outlets[0].write(A, "too late")
