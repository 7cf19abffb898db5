"""Drops stores that were put aside too long ago, and what a restore left that was killed: `{}`."""

from typing import Any

from application.archives.ports import Told
from infrastructure.archives.former_stores import drop_old
from infrastructure.archives.next_store import NextStore, restoring
from interfaces.bootstrap.archive_jobs.context import JobContext
from interfaces.bootstrap.archive_jobs.restore import urls_of


def run(context: JobContext, _: dict[str, Any], told: Told) -> dict[str, Any]:
    """`{"dropped": [epoch, ...]}`. Raises JobUnderWay, DatabaseUnavailable."""
    told("drop", 0, 0)
    with restoring(urls_of(context)[0]) as connection:
        NextStore(connection).drop()
        return {"dropped": drop_old(connection)}
