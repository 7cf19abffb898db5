"""Goal: whoever reads slowly, or not at all, or answers no ping, is sent away in the end, costs no
more than a bounded piece of memory until then, and takes nothing from those who listen well.

Method: clients of all these kinds, and idle ones, beside healthy watchers, while more is written
than the kernel holds for anybody. The times after which somebody is sent away are shortened; the
real ones are those of `scripts/live_faults.py`.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from application.live import room
from interfaces.http.live.protocol import LiveProtocol
from interfaces.http.live.sinks import UNSENT_BYTES_MAX
from tests.conftest import Database
from tests.interfaces.live import token_of
from tests.interfaces.service import Service
from tests.system.live_burdens import Burdens
from tests.system.live_story import EVERYTHING, told
from tests.system.live_watchers import BareWatcher, LibraryWatcher, StreamWatcher, Watcher, Wish

STALLED_SECONDS = 1.0
PING_SECONDS, PONG_SECONDS_MAX = 0.5, 1.0
COUNTS = {"deaf": 4, "trickling": 2, "mute": 2, "flapping": 2, "idle": 40}
TOO_SLOW, NO_PONG = 4008, 1011
TASKS, REQUESTS, TEXT_BYTES = 20, 40, 10_000
"""Eight megabytes: the kernel takes less than four for a connection that nobody reads."""
ROOM_BYTES = 512 * 1024
"""What may come on top of UNSENT_BYTES_MAX: the last piece that was written."""
SECONDS_MAX = 40


class Closings:
    """What the service did to its connections."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.unsent_most = 0


@pytest.fixture
def closings() -> Closings:
    return Closings()


@pytest.fixture
def service(
    database: Database, tmp_path: Path, closings: Closings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    monkeypatch.setattr(room, "STALLED_SECONDS", STALLED_SECONDS)

    class Watched(LiveProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.ping_interval, self.ping_timeout = PING_SECONDS, PONG_SECONDS_MAX

        def put(self, frames: bytes) -> None:
            super().put(frames)
            unsent = self.transport.get_write_buffer_size()
            closings.unsent_most = max(closings.unsent_most, unsent)

        def end(self, code: int, reason: str) -> None:
            closings.codes.append(code)
            super().end(code, reason)

    with Service(database, tmp_path, ws=Watched) as service:
        yield service


def test_those_who_do_not_read_are_sent_away_and_nobody_else_notices(
    service: Service, closings: Closings
) -> None:
    with service.client() as admin:
        token = token_of(admin)
        healthy: list[Watcher] = [
            kind(service.url, lambda: token, Wish(EVERYTHING))
            for kind in (LibraryWatcher, BareWatcher, StreamWatcher)
            for _ in range(2)
        ]

        ended, log = asyncio.run(scenario(service, admin, healthy, closings))

    assert {one for one in healthy if one.ids != log} == set(), [told(h.ids, log) for h in healthy]
    assert [one.connections for one in healthy] == [1] * len(healthy)
    assert ended["deaf"] == {str(TOO_SLOW): COUNTS["deaf"]}
    assert ended["trickling"] == {str(TOO_SLOW): COUNTS["trickling"]}
    assert ended["mute"] == {str(NO_PONG): COUNTS["mute"]}
    assert ended["idle"] == {"open": COUNTS["idle"]}
    assert ended["flapping"]["rounds"] > COUNTS["flapping"]
    assert closings.unsent_most <= UNSENT_BYTES_MAX + ROOM_BYTES


async def scenario(
    service: Service, admin: httpx.Client, healthy: list[Watcher], closings: Closings
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """How everybody ended, and the ids of the log."""
    watching = [asyncio.create_task(one.watch()) for one in healthy]
    burdens = Burdens(service.url, token_of(admin), COUNTS)
    await burdens.begin()
    task = {"kind": "nobodys", "input": "x" * TEXT_BYTES}
    for _ in range(REQUESTS):
        made = await asyncio.to_thread(
            admin.post, "/v1/tasks/batch", json={"tasks": [task] * TASKS}
        )
        made.raise_for_status()
    slow = COUNTS["deaf"] + COUNTS["trickling"]
    await until(lambda: closings.codes.count(TOO_SLOW) == slow)
    ended = await burdens.end()
    log = await asyncio.to_thread(ids_of, admin)
    await until(lambda: all(one.ids[-1:] == log[-1:] for one in healthy))
    for one in watching:
        one.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return ended, log


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def ids_of(client: httpx.Client) -> list[str]:
    ids: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = client.get("/v1/events", params={"limit": "1000", **after}).json()
        if not page["items"]:
            return ids
        ids += [e["id"] for e in page["items"] if not e["type"].startswith("audit.")]
        after = {"after": page["next_cursor"]}
