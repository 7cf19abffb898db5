"""The log as explaining and replaying decisions need it."""

from collections.abc import Collection, Sequence
from typing import Any, cast
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow

from application.decisions.ports import Assignment, Step
from application.ports import Record
from domain.causation import QUEUEING
from domain.task import Task
from infrastructure.mapper import CatalogueMapper
from infrastructure.postgres.log import Pool
from infrastructure.postgres.pool import read
from infrastructure.postgres.sql_files import load

SQL = load("decisions.sql")
ASSIGNED = Task.Assigned.TOPIC
ENDS = tuple(
    kind.TOPIC
    for kind in (
        Task.Completed,
        Task.AttemptFailed,
        Task.LeaseExpired,
        Task.Released,
        Task.Failed,
        Task.Cancelled,
    )
)
"""After these nobody works on an attempt any more."""


class PostgresDecisions:
    """Implements `application.decisions.ports.DecisionLog`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._mapper = CatalogueMapper()

    def story(
        self, tenant: str, task_id: UUID, *, limit: int, bytes_max: int
    ) -> tuple[Sequence[Record], bool]:
        """By the unique index. Raises DatabaseUnavailable."""
        limits = {"limit": limit, "bytes": bytes_max}
        rows = self._rows(SQL["story"], {"tenant": tenant, "task_id": task_id, **limits})
        records = [Record(*row[1:]) for row in rows]
        return records, bool(rows) and rows[0][0] > len(rows)

    def names(self, tenant: str, agent_ids: Collection[UUID]) -> dict[UUID, str]:
        """By the unique index. Raises DatabaseUnavailable."""
        parameters = {"tenant": tenant, "agent_ids": list(agent_ids)}
        return dict(self._rows(SQL["names"], parameters))

    def steps(self, tenant: str, *, after: int, until: int) -> Sequence[Step]:
        """Read and decoded. Raises UnreadableEvent, DatabaseUnavailable."""
        parameters = {
            "tenant": tenant,
            "after": after,
            "until": until,
            "topics": [ASSIGNED, *ENDS],
            "queueing": list(QUEUEING),
        }
        return [self._step(*row) for row in self._rows(SQL["steps"], parameters)]

    def _step(  # noqa: PLR0917 - a row
        self,
        position: int,
        task_id: UUID,
        version: int,
        topic: str,
        recorded_at: Any,
        state: bytes | None,
        kind: str,
        ready_at: Any,
    ) -> Step:
        assignment = None
        if state is not None:
            event = cast("Task.Assigned", self._mapper.decode(task_id, version, topic, state))
            assignment = Assignment(
                decision=event.decision, kind=kind, ready_at=ready_at or recorded_at
            )
        return Step(position=position, task_id=task_id, at=recorded_at, assignment=assignment)

    def _rows(self, statement: str, parameters: dict[str, Any]) -> list[TupleRow]:
        def ask(connection: Connection[TupleRow]) -> list[TupleRow]:
            return connection.cursor(binary=True).execute(statement, parameters).fetchall()

        return read(self._pool, ask)
