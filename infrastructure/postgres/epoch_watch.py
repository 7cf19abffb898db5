"""Notices that the epoch of this process has ended: somebody restored the store."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import structlog
from psycopg import AsyncConnection

from application.duties import cancelled
from infrastructure.postgres.log import SQL
from infrastructure.postgres.pool import CONNECT_SECONDS_MAX, CONNECTION, SESSION

LOOK_SECONDS = 1.0
AWAY_PAUSE_SECONDS = 0.1

log = structlog.get_logger("epoch")


class PostgresEpochWatch:
    """Looks once a second, and at once when its connection was lost, which is what a switch does to
    all of them. When the store is of another epoch `ended` is set, then `close` awaited, so that
    nobody waits any longer for connections that cannot be had."""

    def __init__(
        self,
        url: str,
        *,
        epoch: int,
        ended: asyncio.Event,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._url = url
        self._close = close
        self._epoch = epoch
        self._ended = ended

    async def run(self) -> None:
        """Until cancelled, through outages of the database."""
        while not cancelled():
            try:
                await self._watch()
            except (psycopg.Error, OSError, TimeoutError):
                log.debug("not_watching", exc_info=True)
            await asyncio.sleep(AWAY_PAUSE_SECONDS)

    async def _watch(self) -> None:
        async with await AsyncConnection.connect(self._url, **CONNECTION) as connection:
            await connection.execute(SESSION, prepare=False)
            while True:
                async with asyncio.timeout(CONNECT_SECONDS_MAX):
                    row = await (await connection.execute(SQL["store"])).fetchone()
                if row is not None and row[1] != self._epoch and not self._ended.is_set():
                    log.warning("epoch_ended", epoch=self._epoch, now=row[1])
                    self._ended.set()
                    await self._close()
                # Which hears at once of a connection that is ended.
                async for _ in connection.notifies(timeout=LOOK_SECONDS):
                    pass
