"""The lane: one thing at a time, whoever goes away meanwhile."""

import asyncio
import threading

import pytest

from application.lane import Lane, TooMuchFolding


def test_a_turn_ends_with_the_step_that_was_begun_though_its_caller_was_cancelled() -> None:
    begun, go_on = threading.Event(), threading.Event()
    done = []

    def step() -> None:
        begun.set()
        go_on.wait(10)
        done.append("first")

    async def play() -> None:
        lane = Lane(waiting_max=1)
        first = asyncio.create_task(lane.once(step))
        await asyncio.to_thread(begun.wait, 10)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

        second = asyncio.create_task(lane.once(done.append, "second"))
        await asyncio.wait([second], timeout=0.05)
        assert not second.done()
        with pytest.raises(TooMuchFolding):
            await lane.once(done.append, "third")
        go_on.set()
        await second

    asyncio.run(play())

    assert done == ["first", "second"]


def test_whoever_goes_away_again_and_again_takes_no_more_than_one_thread() -> None:
    go_on = threading.Event()

    def stuck() -> None:
        go_on.wait(10)

    async def play() -> str:
        lane = Lane()
        for _ in range(20):
            gone = asyncio.create_task(lane.once(stuck))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.wait([gone])
        threads = [one.name for one in threading.enumerate() if one.name.startswith("lane")]
        assert len(threads) <= before + 1
        # Those who fold nothing are not kept waiting: theirs are other threads.
        answer = await asyncio.to_thread(str, "answered")
        go_on.set()
        await lane.once(str)
        return answer

    before = sum(one.name.startswith("lane") for one in threading.enumerate())

    assert asyncio.run(play()) == "answered"


def test_more_than_may_wait_are_told_to_come_again() -> None:
    async def play() -> None:
        lane = Lane(waiting_max=1)
        async with lane.turn():
            waiting = asyncio.create_task(lane.once(str, 1))
            await asyncio.sleep(0)
            with pytest.raises(TooMuchFolding) as refusal:
                await lane.once(str, 2)
        assert await waiting == "1"
        assert refusal.value.retry_after_seconds == 2

    asyncio.run(play())


def test_what_a_step_raises_is_raised_and_the_next_has_its_turn() -> None:
    async def play() -> None:
        lane = Lane()
        with pytest.raises(ValueError, match="invalid literal"):
            await lane.once(int, "x")
        assert await lane.once(int, "1") == 1

    asyncio.run(play())
