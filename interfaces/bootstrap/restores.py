"""Restores: who plans and begins them, who notices them, and who drops what they put aside."""

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog

from application.archives.ports import JobFailed
from application.archives.restores import Restores
from application.duties import Duty
from infrastructure.archives.former_stores import PostgresStoreSource
from infrastructure.postgres.epoch_watch import PostgresEpochWatch
from interfaces.bootstrap.archives import Backups
from interfaces.bootstrap.ground import Ground

DROP_SECONDS = 3600.0
CLOSE_SECONDS = 1.0

log = structlog.get_logger("restores")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """`leading` is the work of the leader, `watching` that of every process."""

    restores: Restores
    leading: Duty
    watching: Duty


def wire_restores(ground: Ground, backups: Backups, *, ended: asyncio.Event) -> Restoring:
    """`ended` is set when the epoch of this process has ended. Does no I/O."""
    source = PostgresStoreSource(ground.async_pool)
    restores = Restores(backups.archivist, backups.jobs, source, ground.store)

    async def close() -> None:
        await ground.async_pool.close(timeout=CLOSE_SECONDS)
        await asyncio.to_thread(ground.pool.close, CLOSE_SECONDS)

    watch = PostgresEpochWatch(ground.url, epoch=ground.store.epoch, ended=ended, close=close)
    return Restoring(
        restores=restores,
        leading=Duty("former_stores", partial(_drop_former, restores, source)),
        watching=Duty("epoch", watch.run),
    )


async def _drop_former(restores: Restores, source: PostgresStoreSource) -> None:
    while True:
        if await source.left_over():
            try:
                await restores.drop_former()
            except JobFailed as failed:
                log.warning("former_stores_stay", code=failed.code)
        await asyncio.sleep(DROP_SECONDS)
