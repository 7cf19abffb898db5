"""Announcements: what one process commits, another hears of at once, whatever else is said.

Listeners on a real PostgreSQL, each in place of a process; the log grows by real appends.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg
import pytest

from infrastructure.postgres.announcer import LISTENER, PostgresAnnouncer
from tests.application.desk import Desk, opened, submit
from tests.conftest import Database

DEADLINE_SECONDS = 20


class Place:
    """What one process hears, and what it knows by that."""

    def __init__(self, database: Database) -> None:
        self.heard: list[int] = []
        self.known = 0
        self.announcer = PostgresAnnouncer(database.url, known=lambda: self.known, heard=self._hear)

    def _hear(self, position: int) -> None:
        self.heard.append(position)
        self.known = max(self.known, position)

    def commit(self, desk: Desk) -> int:
        """Something is committed here, and announced."""
        desk.execute(submit())
        self.known = desk.log.head()
        self.announcer.announce(self.known)
        return self.known


@asynccontextmanager
async def places(database: Database, count: int) -> AsyncIterator[list[Place]]:
    """Processes that listen; when there are several, each knows that it is listened to."""
    found = [Place(database) for _ in range(count)]
    async with AsyncExitStack() as running:
        for place in found:
            task = asyncio.create_task(place.announcer.run())
            running.push_async_callback(_end, task)
        names = {place.announcer.application_name for place in found}
        await until(lambda: names <= listeners(database))
        if count > 1:
            await until(lambda: all(place.announcer.others_listen for place in found))
        yield found


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    ended = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError), ended


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - some conditions are PostgreSQL's
            await asyncio.sleep(0.01)


def sessions(database: Database) -> list[tuple[int, str]]:
    with psycopg.connect(database.owner_url) as owner:
        found = owner.execute(
            "SELECT pid, application_name FROM pg_stat_activity WHERE datname = current_database()"
        ).fetchall()
    return [(pid, name) for pid, name in found if name]


def listeners(database: Database) -> set[str]:
    return {name for _, name in sessions(database) if name.startswith(LISTENER)}


def said(database: Database, payload: str) -> None:
    """Somebody who may connect says something."""
    with psycopg.connect(database.url, autocommit=True) as anybody:
        anybody.execute("SELECT pg_notify('musterroll', %s)", (payload,))


Story = Callable[[Desk, list[Place]], Coroutine[Any, Any, None]]


def played(database: Database, count: int, story: Story) -> None:
    async def play(desk: Desk) -> None:
        async with places(database, count) as found:
            await story(desk, found)

    with opened(database.url) as desk:
        asyncio.run(play(desk))


def test_what_one_process_commits_the_others_hear_of(database: Database) -> None:
    async def story(desk: Desk, found: list[Place]) -> None:
        here, *others = found

        position = here.commit(desk)

        await until(lambda: all(other.known == position for other in others))
        assert here.heard == []

    played(database, 3, story)


def test_of_a_burst_the_newest_is_announced(database: Database) -> None:
    async def story(desk: Desk, found: list[Place]) -> None:
        here, there = found
        desk.execute_many(*(submit() for _ in range(100)))
        head = desk.log.head()

        for position in range(1, head + 1):
            here.announcer.announce(position)

        await until(lambda: there.known == head)
        assert len(there.heard) <= 2

    played(database, 2, story)


def test_a_process_alone_announces_nothing(database: Database) -> None:
    async def story(desk: Desk, found: list[Place]) -> None:
        (here,) = found
        for _ in range(5):
            here.commit(desk)
        # Those would have been said by the time at which another process is seen.
        async with places(database, 1) as (there,):
            await until(lambda: here.announcer.others_listen)
            position = here.commit(desk)
            await until(lambda: there.known == position)

        payloads = [one.payload for one in anybody.notifies(timeout=0)]
        assert payloads == [str(position)]

    with psycopg.connect(database.url, autocommit=True) as anybody:
        anybody.execute("LISTEN musterroll")
        played(database, 1, story)


@pytest.mark.parametrize("payload", ["", "x", "-1", "1.5", "0", "٣", "9" * 19, "x" * 7_000, "1:5"])
def test_what_is_no_announcement_is_ignored(database: Database, payload: str) -> None:
    async def story(desk: Desk, found: list[Place]) -> None:
        here, there = found

        said(database, payload)

        position = here.commit(desk)
        await until(lambda: there.known == position)
        assert there.heard == [position]

    played(database, 2, story)


def test_nobody_believes_in_a_position_that_the_log_has_not_reached(database: Database) -> None:
    async def story(desk: Desk, found: list[Place]) -> None:
        here, there = found
        position = here.commit(desk)
        await until(lambda: there.known == position)

        said(database, "999999999999")

        await until(lambda: len(there.heard) > 1 and len(here.heard) > 0)
        assert there.known == here.known == position

    played(database, 2, story)


def test_what_was_heard_of_already_is_not_looked_up(database: Database) -> None:
    async def story(desk: Desk, found: list[Place]) -> None:
        here, there = found
        first = here.commit(desk)
        await until(lambda: there.known == first)

        said(database, str(first))
        second = here.commit(desk)

        await until(lambda: there.known == second)
        assert there.heard == [first, second]

    played(database, 2, story)


def test_listeners_whose_connections_were_cut_listen_again(database: Database) -> None:
    async def story(desk: Desk, found: list[Place]) -> None:
        here, there = found
        first = here.commit(desk)
        await until(lambda: there.known == first)
        ours = [pid for pid, name in sessions(database) if name.startswith("musterroll ")]

        with psycopg.connect(database.url, autocommit=True) as anybody:
            for pid in ours:
                anybody.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))

        await until(lambda: len(listeners(database)) == 2)
        second = here.commit(desk)
        await until(lambda: announced_again(here, there, second))

    def announced_again(here: Place, there: Place, position: int) -> bool:
        # What was said while nobody listened is lost: that is what makes it a hint.
        here.announcer.announce(position)
        return there.known == position

    played(database, 2, story)


def test_nothing_is_left_when_it_ends(database: Database) -> None:
    async def story(desk: Desk, found: list[Place]) -> None:
        here, there = found
        position = here.commit(desk)
        await until(lambda: there.known == position)

    played(database, 2, story)

    assert [name for _, name in sessions(database) if name.startswith("musterroll ")] == []
