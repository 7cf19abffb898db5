"""Waiting until something came to a position."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from application.watermarks import LOG, Watermarks
from domain.errors import DatabaseUnavailable


class Looked:
    """What other processes did, as it is looked up."""

    def __init__(self, *positions: int) -> None:
        self.positions = list(positions)
        self.times = 0

    async def __call__(self, name: str) -> int:
        self.times += 1
        return self.positions.pop(0) if self.positions else 0


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 30))


def attached(look_up: Looked) -> Watermarks:
    watermarks = Watermarks(look_up)
    watermarks.attach(asyncio.get_running_loop())
    return watermarks


def waiting_in(watermarks: Watermarks) -> int:
    return sum(len(waiters) for waiters in watermarks._waiters.values())


def test_what_was_told_already_is_reached_at_once() -> None:
    async def story() -> None:
        watermarks = attached(looked := Looked())
        watermarks.advance("a", 5)

        assert await watermarks.reached("a", 5, timeout_seconds=0)
        assert not await watermarks.reached("a", 6, timeout_seconds=0)
        assert not await watermarks.reached("b", 1, timeout_seconds=0)
        assert looked.times == 0

    run(story())


def test_a_position_never_runs_back() -> None:
    async def story() -> None:
        watermarks = attached(Looked())
        watermarks.advance(LOG, 5)

        watermarks.advance(LOG, 3)

        assert watermarks.position(LOG) == 5

    run(story())


def test_those_who_wait_are_released_at_their_position_from_any_thread() -> None:
    async def story() -> None:
        watermarks = attached(looked := Looked())
        waits = [
            asyncio.create_task(watermarks.reached(LOG, n, timeout_seconds=20, poll_seconds=20))
            for n in (3, 1, 2, 2)
        ]
        await asyncio.sleep(0)

        teller = threading.Thread(target=watermarks.advance, args=(LOG, 2))
        teller.start()
        done, pending = await asyncio.wait(waits[1:])

        assert not pending
        assert [one.result() for one in done] == [True] * 3
        assert not waits[0].done()
        watermarks.advance(LOG, 3)
        assert await waits[0]
        assert looked.times == 0
        teller.join()

    run(story())


def test_that_somebody_waits_is_told_and_not_that_somebody_need_not() -> None:
    async def story() -> None:
        awaited: list[str] = []
        watermarks = Watermarks(Looked(), awaited=awaited.append)
        watermarks.attach(asyncio.get_running_loop())
        watermarks.advance("a", 5)

        await watermarks.reached("a", 5, timeout_seconds=0.001)
        await watermarks.reached("b", 1, timeout_seconds=0.001)

        assert awaited == ["b"]

    run(story())


def test_what_another_process_did_is_looked_up() -> None:
    async def story() -> None:
        watermarks = attached(looked := Looked(1, 2, 7))

        assert await watermarks.reached("a", 7, timeout_seconds=20, poll_seconds=0.001)
        assert looked.times == 3
        assert watermarks.position("a") == 7

    run(story())


def test_the_wait_ends_when_its_time_is_over() -> None:
    async def story() -> None:
        watermarks = attached(Looked())

        assert not await watermarks.reached("a", 1, timeout_seconds=0.02, poll_seconds=0.005)

    run(story())


def test_a_database_that_is_away_is_told() -> None:
    async def away(name: str) -> int:
        raise DatabaseUnavailable("away")

    async def story() -> None:
        watermarks = Watermarks(away)

        with pytest.raises(DatabaseUnavailable):
            await watermarks.reached("a", 1, timeout_seconds=20, poll_seconds=0.001)
        assert waiting_in(watermarks) == 0

    run(story())


def test_those_who_gave_up_leave_nothing_behind_on_a_quiet_log() -> None:
    async def story() -> None:
        watermarks = attached(Looked())
        for _ in range(20):
            await watermarks.reached(LOG, 1, timeout_seconds=0.003, poll_seconds=0.001)
        cancelled = asyncio.create_task(watermarks.reached(LOG, 1, timeout_seconds=20))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])

        assert waiting_in(watermarks) == 0

    run(story())


def test_one_who_gives_up_while_being_released_disturbs_nobody() -> None:
    async def story() -> None:
        watermarks = attached(Looked())
        waits = [
            asyncio.create_task(watermarks.reached(LOG, 1, timeout_seconds=20)) for _ in range(3)
        ]
        await asyncio.sleep(0)

        watermarks.advance(LOG, 1)
        waits[1].cancel()
        await asyncio.wait(waits)

        assert waits[0].result()
        assert waits[1].cancelled()
        assert waits[2].result()

    run(story())
