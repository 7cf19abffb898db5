"""Threads for plain handlers."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from musterroll._worker.threads import Threads


def with_threads(scenario: Callable[[Threads], Awaitable[None]]) -> None:
    async def run() -> None:
        threads = Threads(asyncio.get_running_loop())
        try:
            await asyncio.wait_for(scenario(threads), 10)
        finally:
            threads.close()

    asyncio.run(run())


def test_a_thread_that_is_free_is_used_again_under_the_name_of_its_work() -> None:
    names: list[str] = []

    def look() -> threading.Thread:
        names.append(threading.current_thread().name)
        return threading.current_thread()

    async def scenario(threads: Threads) -> None:
        first = await threads.run(look, "task a")
        second = await threads.run(look, "task b")
        assert first is second

    with_threads(scenario)

    assert names == ["task a", "task b"]


def test_no_work_waits_for_a_thread_that_is_busy() -> None:
    meeting = threading.Barrier(20)

    async def scenario(threads: Threads) -> None:
        await asyncio.gather(*(threads.run(lambda: meeting.wait(10), "task") for _ in range(20)))

    with_threads(scenario)


def test_many_that_end_together_are_all_heard_of() -> None:
    async def scenario(threads: Threads) -> None:
        for _ in range(20):
            ended = await asyncio.gather(*(threads.run(lambda: 1, "task") for _ in range(50)))
            assert sum(ended) == 50

    with_threads(scenario)


def test_threads_end_with_their_worker_also_those_that_are_busy_then() -> None:
    may_end = threading.Event()
    seen: list[threading.Thread] = []

    def work() -> None:
        seen.append(threading.current_thread())
        may_end.wait(10)

    async def scenario(threads: Threads) -> None:
        busy = threads.run(work, "busy")
        seen.append(await threads.run(threading.current_thread, "idle"))
        threads.close()
        may_end.set()
        await busy

    with_threads(scenario)

    assert len(seen) == 2
    for thread in seen:
        thread.join(5)
        assert not thread.is_alive()
