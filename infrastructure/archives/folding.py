"""Folds the read models of a store that is not in its place, and compares them with what was."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from psycopg import sql

from application.archives.manifest import Digest
from application.archives.ports import JobFailed, Told
from application.feed import Feed
from application.ports import Record
from application.projections import Projection
from application.projections.activity_feed import ActivityFeedProjection
from application.projections.agent_roster import AgentRosterProjection
from application.projections.archives import ArchivesProjection
from application.projections.runner import Projector, Unprojectable
from application.projections.task_board import TaskBoardProjection
from domain.task import Task
from infrastructure.archives.next_store import SQL
from infrastructure.postgres.log import Pool, PostgresLog
from infrastructure.postgres.pool import make_pool, read, session_of
from infrastructure.postgres.read_model_store import (
    ACTIVITY_FEED,
    AGENT_ROSTER,
    ARCHIVES,
    TASK_BOARD,
    PostgresReadModelStore,
    TableShape,
)

MODELS: tuple[tuple[type[Projection[Any, Any]], TableShape[Any]], ...] = (
    (TaskBoardProjection, TASK_BOARD),
    (AgentRosterProjection, AGENT_ROSTER),
    (ActivityFeedProjection, ACTIVITY_FEED),
    (ArchivesProjection, ARCHIVES),
)


class LogUntil(PostgresLog):
    """A log that ends at a position."""

    def __init__(self, pool: Pool, until: int) -> None:
        super().__init__(pool)
        self._until = until

    def read(self, *, after: int, limit: int) -> list[Record]:
        """What stands there up to the end."""
        records = super().read(after=after, limit=limit)
        return [record for record in records if record.position <= self._until]


class Folding:
    """Folds all read models of one store from where they stand, all of them page by page, so that
    each event is read and decoded once. Raises JobFailed, DatabaseUnavailable."""

    def __init__(self, pool: Pool, schema: str, told: Told) -> None:
        self._pool = pool
        self._schema = schema
        self._told = told

    def fold(self, until: int, digests: Mapping[str, Digest] | None = None) -> list[str]:
        """Up to a position, stopping where a digest was taken; names of those that differ."""
        wanted = {n: d for n, d in (digests or {}).items() if 0 < d.position <= until}
        different = []
        for stop in sorted({until, *(digest.position for digest in wanted.values())}):
            self._fold_to(stop, until)
            for projection, shape in MODELS:
                digest = wanted.get(projection.name)
                if digest is None or digest.position != stop:
                    continue
                if self._store(shape).digest() != digest.sha256:
                    different.append(projection.name)
        return different

    def leased(self) -> list[Task]:
        """Whatever agents hold. The models must have been folded to the end."""
        statement = sql.SQL(SQL["leased"]).format(schema=sql.Identifier(self._schema))
        rows = read(self._pool, lambda connection: connection.execute(statement).fetchall())
        found = PostgresLog(self._pool).load_many([row[0] for row in rows])
        return [task for task in found.values() if isinstance(task, Task)]

    def _store(self, shape: TableShape[Any]) -> PostgresReadModelStore[Any, Any]:
        return PostgresReadModelStore(self._pool, shape)

    def _fold_to(self, stop: int, until: int) -> None:
        feed = Feed(LogUntil(self._pool, stop))
        projectors = [
            Projector(feed, projection(), self._store(shape)) for projection, shape in MODELS
        ]
        at = -1
        try:
            while (reached := _one_page(projectors)) != at:
                at = reached
                self._told("fold", at, until)
        except Unprojectable as error:
            raise JobFailed("unprojectable", f"{error}.") from error


def _one_page(projectors: Collection[Projector]) -> int:
    """Each by one page at most; how far the hindmost came."""
    hindmost = min(projector.catch_up(up_to=0) for projector in projectors)
    return min(projector.catch_up(up_to=hindmost + 1) for projector in projectors)


@contextmanager
def folding(url: str, schema: str, told: Told) -> Iterator[Folding]:
    """As the owner, with connections that are closed in the end."""
    session = f"{session_of(schema=schema, statement_seconds=0)}; {SQL['as_text']}"
    with make_pool(url, connections_max=2, session=session) as pool:
        yield Folding(pool, schema, told)
