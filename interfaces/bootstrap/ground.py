"""What everything stands on: the database, the log in it, and the time."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from application.cloud_events import CloudEvents
from application.feed import Feed
from application.ports import Store
from infrastructure.postgres.clock import PostgresClock
from infrastructure.postgres.database import Database
from infrastructure.postgres.log import Pool, PostgresLog, store_in
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.pool import make_async_pool, make_pool, session_of
from infrastructure.postgres.read_models import AsyncPool, PostgresReadModels
from infrastructure.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """An open database, and what needs nothing but it."""

    url: str
    pool: Pool
    async_pool: AsyncPool
    log: PostgresLog
    clock: PostgresClock
    feed: Feed
    models: PostgresReadModels
    store: Store
    cloud_events: CloudEvents


async def open_ground(settings: Settings, database: Database, opened: AsyncExitStack) -> Ground:
    """Start and migrate the database; `opened` closes what was opened.

    Raises EmbeddedPostgresFailed, MigrationFailed, DatabaseUnavailable, OSError.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    opened.push_async_callback(asyncio.to_thread, database.stop)
    await asyncio.to_thread(database.start)
    await asyncio.to_thread(migrate, database.owner_url, database.url)
    store = await asyncio.to_thread(store_in, database.url)
    # From here on everything belongs to this epoch, and ends with it.
    session = session_of(epoch=store.epoch)
    half = settings.database_connections // 2
    pool = make_pool(database.url, connections_max=half, session=session)
    async_pool = make_async_pool(database.url, connections_max=half, session=session)
    opened.push_async_callback(asyncio.to_thread, pool.close)
    await asyncio.to_thread(pool.open)
    await opened.enter_async_context(async_pool)
    log, clock = PostgresLog(pool, session=session), PostgresClock(pool)
    await asyncio.to_thread(clock.set)
    opened.push_async_callback(log.close)
    return Ground(
        url=database.url,
        pool=pool,
        async_pool=async_pool,
        log=log,
        clock=clock,
        feed=Feed(log),
        models=PostgresReadModels(async_pool),
        store=store,
        cloud_events=CloudEvents(store.store_id, store.epoch),
    )
