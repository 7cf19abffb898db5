"""Commits are announced between processes by LISTEN and NOTIFY."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import uuid4

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from application.duties import cancelled
from domain.errors import DatabaseUnavailable
from infrastructure.postgres.pool import CONNECT_SECONDS_MAX, CONNECTION, SESSION
from infrastructure.postgres.sql_files import load
from infrastructure.postgres.statement import PreparedStatement

SQL = load("announcer.sql")
LISTENER = "musterroll listener "
"""How the name of a listening connection begins, by which others see it."""
TEXT_OID = 25
POSITION = re.compile(r"[0-9]{1,18}", re.ASCII)
PAUSE_SECONDS = 0.002
"""Between two announcements, and between two looks at the log: a burst needs one of each."""
LOOK_SECONDS = 1.0
AWAY_PAUSE_SECONDS = 0.25

log = structlog.get_logger("announcer")


class PostgresAnnouncer:
    """Implements `application.ports.Announcer`. Belongs to the event loop.

    What is heard is not believed: the log is asked how far it has come, and that is what `heard` is
    told. Whoever may connect to the database may send a notification, and a position beyond the end
    of the log would be waited for in vain by everybody.
    """

    def __init__(self, url: str, *, known: Callable[[], int], heard: Callable[[int], None]) -> None:
        self.application_name = f"{LISTENER}{uuid4()}"
        self.others_listen = False
        self._url = url
        self._known = known
        self._heard = heard
        self._newest = 0
        self._to_announce = asyncio.Event()
        self._to_look_up = asyncio.Event()
        self._announcement = PreparedStatement(url, SQL["announce"], [TEXT_OID])
        self._head = PreparedStatement(url, load("log.sql")["head"], [])

    def announce(self, position: int) -> None:
        """Tell the others, unless there are none. Returns at once."""
        self._newest = position
        if self.others_listen:
            self._to_announce.set()

    async def run(self) -> None:
        """Listen and announce until cancelled, through outages of the database."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen_for_ever())
                tasks.create_task(_whenever(self._to_announce, self._announce))
                tasks.create_task(_whenever(self._to_look_up, self._look_up))
        finally:
            await self._announcement.close()
            await self._head.close()

    async def _listen_for_ever(self) -> None:
        while not cancelled():
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError, UnicodeDecodeError):
                log.debug("not_listening", exc_info=True)
            await asyncio.sleep(AWAY_PAUSE_SECONDS)

    async def _listen(self) -> None:
        options = CONNECTION | {"application_name": self.application_name}
        async with await AsyncConnection.connect(self._url, **options) as connection:
            await connection.execute(SESSION, prepare=False)
            await connection.execute(SQL["listen"])
            while True:
                # A server that went without a word is found by this question.
                async with asyncio.timeout(CONNECT_SECONDS_MAX):
                    self.others_listen = await _others_listen(connection)
                async for notification in connection.notifies(timeout=LOOK_SECONDS):
                    self._hear(notification.payload)

    def _hear(self, payload: str) -> None:
        # One's own come back too, and are not above what is known.
        if POSITION.fullmatch(payload) and int(payload) > self._known():
            self._to_look_up.set()

    async def _announce(self) -> None:
        await self._announcement.execute([str(self._newest).encode()])

    async def _look_up(self) -> None:
        result = await self._head.execute([])
        self._heard(int.from_bytes(result.get_value(0, 0) or b""))


async def _others_listen(connection: AsyncConnection[TupleRow]) -> bool:
    row = await (await connection.execute(SQL["others"], (LISTENER,))).fetchone()
    return bool(row and row[0])


async def _whenever(wanted: asyncio.Event, do: Callable[[], Awaitable[None]]) -> None:
    while not cancelled():
        await wanted.wait()
        wanted.clear()
        # Only a hint is lost, and the next one comes soon.
        with suppress(DatabaseUnavailable, psycopg.Error):
            await do()
        await asyncio.sleep(PAUSE_SECONDS)
