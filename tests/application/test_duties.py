"""Work without an end: begun again after whatever fault, and ended without a word."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from application import duties
from application.duties import Duty, Work
from domain.errors import DatabaseUnavailable

SECONDS_MAX = 10


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duties, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(duties, "STEADY_SECONDS", 0.1)


@asynccontextmanager
async def at_work(work: Work) -> AsyncIterator[Duty]:
    """A duty within the block; at its end it is cancelled, and has to end by that alone."""
    duty = Duty("work", work)
    running = asyncio.create_task(duty.run())
    try:
        yield duty
    finally:
        assert not running.done()
        running.cancel()
        await asyncio.wait([running], timeout=SECONDS_MAX)
    assert running.cancelled() or running.exception() is None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


def played(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_work_whose_group_of_tasks_failed_is_begun_again() -> None:
    """On Python 3.11 such a group leaves its task looking cancelled."""

    async def story() -> None:
        begun: list[bool] = []

        async def fail() -> None:
            await asyncio.sleep(0)
            raise ValueError(len(begun))

        async def work() -> None:
            begun.append(True)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())

        async with at_work(work):
            await until(lambda: len(begun) >= 4)

    played(story)


@pytest.mark.parametrize(
    ("fault", "event", "level"),
    [
        (DatabaseUnavailable("away"), "duty_waits", "info"),
        (ExceptionGroup("", [DatabaseUnavailable("away")]), "duty_waits", "info"),
        (ExceptionGroup("", [DatabaseUnavailable("away"), ValueError()]), "duty_failed", "error"),
        (ValueError(), "duty_failed", "error"),
    ],
)
def test_a_database_that_is_away_is_told_of_with_a_reason_and_faults_with_their_place(
    fault: Exception, event: str, level: str
) -> None:
    async def story() -> None:
        begun: list[bool] = []

        async def work() -> None:
            begun.append(True)
            if len(begun) == 1:
                raise fault
            await asyncio.Event().wait()

        async with at_work(work):
            await until(lambda: len(begun) == 2)

    with capture_logs() as lines:
        played(story)

    [line] = lines
    assert (line["event"], line["log_level"]) == (event, level)
    assert line.get("reason") == ("away" if level == "info" else None)
    assert bool(line.get("exc_info")) == (level == "error")


def test_work_that_failed_is_begun_again() -> None:
    async def story() -> None:
        begun = []

        async def work() -> None:
            begun.append(True)
            if len(begun) < 4:
                raise ValueError(len(begun))
            await asyncio.Event().wait()

        async with at_work(work):
            await until(lambda: len(begun) == 4)

    played(story)


def test_work_that_ended_or_was_cancelled_from_within_is_begun_again() -> None:
    async def story() -> None:
        begun = []

        async def work() -> None:
            begun.append(True)
            if len(begun) == 1:
                return
            if len(begun) == 2:
                raise asyncio.CancelledError
            await asyncio.Event().wait()

        async with at_work(work):
            await until(lambda: len(begun) == 3)

    played(story)


def test_work_that_ends_because_it_was_cancelled_is_no_fault() -> None:
    """As where the cancellation is lost in a wait, and the loop asks for it."""

    async def story() -> None:
        begun = asyncio.Event()

        async def work() -> None:
            begun.set()
            while not duties.cancelled():
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()

        async with at_work(work):
            await begun.wait()

    with capture_logs() as lines:
        played(story)

    assert lines == []


def test_a_duty_tells_that_it_keeps_failing_until_it_has_got_over_it() -> None:
    async def story() -> None:
        broken, told = True, []

        async def work() -> None:
            told.append(duty.failing)
            if broken:
                raise ValueError
            await asyncio.Event().wait()

        async with at_work(work) as duty:
            await until(lambda: duty.failing)
            broken = False
            await until(lambda: not duty.failing)

        assert told[:3] == [False, False, False], "a failure or two are none to speak of"
        assert told[-1], "to begin again is not to have got over it"

    played(story)


def test_pauses_grow_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duties, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(duties, "PAUSE_SECONDS_MAX", 0.05)

    async def story() -> None:
        begun: list[float] = []

        async def work() -> None:
            begun.append(asyncio.get_running_loop().time())
            raise ValueError

        async with at_work(work):
            await until(lambda: len(begun) == 7)

        pauses = [later - earlier for earlier, later in pairwise(begun)]
        least = [0.01, 0.02, 0.04, 0.05, 0.05, 0.05]
        assert all(pause > low * 0.9 for pause, low in zip(pauses, least, strict=True))

    played(story)


def test_a_fault_while_it_is_cancelled_does_not_come_out() -> None:
    async def story() -> None:
        begun, ended = asyncio.Event(), []

        async def work() -> None:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                ended.append(True)
                raise ValueError

        async with at_work(work):
            await begun.wait()
        await asyncio.sleep(0.01)

        assert ended == [True], "it must not be begun again either"

    played(story)
