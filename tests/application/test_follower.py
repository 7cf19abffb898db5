"""How the log is handed over, page by page."""

import asyncio
import time

import pytest

from application.feed import Feed
from application.follower import SHOWN, LogFollower
from application.ports import Page, Written
from application.watermarks import LOG, Watermarks
from tests.application.desk import Desk, opened, submit
from tests.conftest import Database

HANDED_OVER_IN_SECONDS = 0.02


@pytest.mark.parametrize(
    ("pause", "pages"), [(0.0, [[1], [2], [3]]), (0.2, [[1], [2, 3]])], ids=["without", "with"]
)
def test_with_a_pause_what_comes_soon_after_a_long_page_comes_as_one(
    database: Database, pause: float, pages: list[list[int]]
) -> None:
    """The first page takes long; the second event comes during it, the third right after."""
    with opened(database.url) as desk:
        desk.execute_many(*(submit() for _ in range(3)))

        handed = desk.loop.run(handed_over(desk, pause))

    assert handed == pages


async def handed_over(desk: Desk, pause: float) -> list[list[int]]:
    committed = desk.log.read(after=0, limit=10)

    async def stands_at(name: str) -> int:
        return watermarks.position(name)

    feed, watermarks = Feed(desk.log), Watermarks(stands_at)
    handed: list[list[int]] = []

    def commit(position: int) -> None:
        record = committed[position - 1]
        entry = record, desk.log.decode(record)
        feed.publish(Written(head=position - 1, base=position - 1), [entry])
        watermarks.advance(LOG, position)

    async def hand_over(page: Page) -> None:
        handed.append([record.position for record, _ in page])
        if len(handed) == 1:
            commit(2)
            time.sleep(HANDED_OVER_IN_SECONDS)  # noqa: ASYNC251 - as writing to thousands does
            asyncio.get_running_loop().call_soon(commit, 3)

    follower = LogFollower(feed, watermarks, hand_over, name=SHOWN, after=0, pause=pause)
    commit(1)
    following = asyncio.create_task(follower.follow())
    await watermarks.reached(SHOWN, 3, timeout_seconds=30)
    following.cancel()
    return handed
