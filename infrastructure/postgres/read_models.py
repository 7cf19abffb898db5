"""Answers to queries, from the read models and the log in PostgreSQL."""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from psycopg import AsyncConnection, AsyncServerCursor
from psycopg.rows import TupleRow, class_row, kwargs_row
from psycopg_pool import AsyncConnectionPool

from application.ports import Json, Record, Vitals
from application.processes.floor import KnownAgent, OpenTask
from application.projections.activity_feed import Activity
from application.projections.agent_roster import RosterLine
from application.projections.task_board import TaskCard
from application.queries import AgentStatus, EventFilter, Fleet, TaskFilter, TaskState
from application.watermarks import LOG
from domain.agent import Standing
from domain.routing import Reading, weighted_load
from infrastructure.postgres.arrays import Column
from infrastructure.postgres.gathering import Gathering
from infrastructure.postgres.pool import read_async
from infrastructure.postgres.read_model_store import (
    ACTIVITY_FEED,
    AGENT_ROSTER,
    TASK_BOARD,
    TableShape,
    row_from,
)
from infrastructure.postgres.sql_files import load

SQL = load("read_models.sql")
OPEN_TASKS_AT_ONCE = 2_000
NOT_IN_LISTS = frozenset({"input", "result"})
AsyncPool = AsyncConnectionPool[AsyncConnection[TupleRow]]


class PostgresReadModels:
    """Implements `application.queries.ReadModels` on the event loop."""

    def __init__(self, pool: AsyncPool) -> None:
        self._pool = pool
        self._states: Gathering[UUID, TaskState] = Gathering(self._task_states)
        self._task_tenants = self._tenants("task_tenants")
        self._agent_tenants = self._tenants("agent_tenants")

    async def task(self, tenant: str, task_id: UUID) -> TaskCard | None:
        """By primary key. Raises DatabaseUnavailable."""
        rows = await self._ask(_select("task", TASK_BOARD), {"tenant": tenant, "task_id": task_id})
        return row_from(TASK_BOARD, rows[0]) if rows else None

    async def task_state(self, tenant: str, task_id: UUID) -> TaskState | None:
        """By primary key, with all who ask at the same moment. Raises DatabaseUnavailable."""
        state = await self._states.find(task_id)
        return state if state is not None and state.tenant == tenant else None

    async def tasks_among(self, tenant: str, task_ids: Sequence[UUID]) -> AbstractSet[UUID]:
        """By primary key, with all who ask at the same moment. Raises DatabaseUnavailable."""
        return await _among(self._task_tenants, tenant, task_ids)

    async def tasks(
        self, tenant: str, wanted: TaskFilter, *, before: UUID | None, limit: int
    ) -> Sequence[TaskCard]:
        """A keyset page. Raises DatabaseUnavailable."""
        parameters = {
            "tenant": tenant,
            "status": wanted.status,
            "kind": wanted.kind,
            "agent_id": wanted.agent_id,
            "labels": orjson.dumps(wanted.labels).decode(),
            "since": wanted.since,
            "before": before,
            "limit": limit,
        }
        statement = _select("tasks", TASK_BOARD, without=NOT_IN_LISTS)
        rows = await self._ask(statement, parameters, prepare=False)
        return [row_from(TASK_BOARD, row) for row in rows]

    async def task_counts(self, tenant: str) -> dict[str, int]:
        """Raises DatabaseUnavailable."""
        return dict(await self._ask(SQL["task_counts"], (tenant,)))

    async def agent(self, tenant: str, agent_id: UUID) -> AgentStatus | None:
        """By primary key. Raises DatabaseUnavailable."""
        found = await self._agents(tenant, agent_id=agent_id, after=None, limit=1)
        return found[0] if found else None

    async def agents_among(self, tenant: str, agent_ids: Sequence[UUID]) -> AbstractSet[UUID]:
        """By primary key, with all who ask at the same moment. Raises DatabaseUnavailable."""
        return await _among(self._agent_tenants, tenant, agent_ids)

    async def agents(
        self, tenant: str, *, after: str | None, limit: int | None
    ) -> Sequence[AgentStatus]:
        """A keyset page by name. Raises DatabaseUnavailable."""
        return await self._agents(tenant, agent_id=None, after=after, limit=limit)

    async def fleet(self, tenant: str) -> Fleet:
        """One row, however many agents. Raises DatabaseUnavailable."""
        (row,) = await self._ask(SQL["fleet"], (tenant,))
        return Fleet(**dict(zip(Fleet.__slots__, row, strict=True)))

    async def roster(self, tenant: str) -> Sequence[RosterLine]:
        """Raises DatabaseUnavailable."""
        rows = await self._ask(_select("roster", AGENT_ROSTER), (tenant,))
        return [row_from(AGENT_ROSTER, row) for row in rows]

    async def activity(self, tenant: str, *, before: int | None, limit: int) -> Sequence[Activity]:
        """A keyset page. Raises DatabaseUnavailable."""
        parameters = {"tenant": tenant, "before": before, "limit": limit}
        rows = await self._ask(_select("activity", ACTIVITY_FEED), parameters)
        return [row_from(ACTIVITY_FEED, row) for row in rows]

    async def events(self, wanted: EventFilter, *, limit: int) -> Sequence[Record]:
        """A keyset page of the log. Raises DatabaseUnavailable."""
        parameters = {
            "tenant": wanted.tenant,
            "after": wanted.after,
            "until": wanted.until,
            "topic": wanted.topic,
            "aggregate_id": wanted.aggregate_id,
            "limit": limit,
        }

        async def ask(connection: AsyncConnection[TupleRow]) -> list[Record]:
            async with connection.cursor(binary=True, row_factory=class_row(Record)) as cursor:
                await cursor.execute(SQL["events"], parameters, prepare=False)
                return await cursor.fetchall()

        return await read_async(self._pool, ask)

    async def checkpoint(self, name: str) -> int:
        """0 before the first page. Raises DatabaseUnavailable."""
        if name == LOG:
            return await self.head()
        rows = await self._ask(load("read_model_store.sql")["checkpoint"], (name,))
        return int(rows[0][0]) if rows else 0

    async def head(self) -> int:
        """Raises DatabaseUnavailable."""
        return int((await self._ask(load("log.sql")["head"], ()))[0][0])

    async def open_tasks(self) -> tuple[int, list[OpenTask]]:
        """Every task that has not ended, and the checkpoint that is true of them.

        Raises DatabaseUnavailable.
        """

        async def ask(connection: AsyncConnection[TupleRow]) -> tuple[int, list[OpenTask]]:
            async with connection.transaction():
                await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                checkpoint = await connection.execute(
                    load("read_model_store.sql")["checkpoint"], ("task_board",)
                )
                row = await checkpoint.fetchone()
                # A cursor of the server's: a million rows at once would take half a gigabyte.
                async with AsyncServerCursor(
                    connection, "open_tasks", row_factory=kwargs_row(_open_task)
                ) as cursor:
                    cursor.itersize = OPEN_TASKS_AT_ONCE
                    await cursor.execute(SQL["open_tasks"], binary=True)
                    return (row[0] if row else 0), [task async for task in cursor]

        return await read_async(self._pool, ask)

    async def known_agents(self, now: datetime) -> tuple[int, list[KnownAgent]]:
        """Every agent of every tenant, taken as heard of now, and a checkpoint they are no older
        than.

        Raises DatabaseUnavailable.
        """
        checkpoint = await self.checkpoint("agent_roster")
        rows = await self._ask(SQL["known_agents"], ())
        return checkpoint, [
            KnownAgent(
                agent_id=row[0],
                tenant=row[1],
                capabilities=frozenset(row[2]),
                slots=row[3],
                standing=Standing(row[4]),
                online=row[5],
                version=row[6],
                last_heard_at=now,
            )
            for row in rows
        ]

    async def inputs(self, task_ids: Sequence[UUID]) -> dict[UUID, Json]:
        """From the first event of each, by its unique index. Raises DatabaseUnavailable."""
        rows = await self._ask(SQL["inputs"], (list(task_ids),))
        return {row[0]: orjson.loads(row[1]) for row in rows}

    async def put_vitals(self, vitals: Sequence[Vitals]) -> None:
        """Keep the newest reading of each agent. Raises DatabaseUnavailable."""
        rows = [(v.agent_id, v.cpu, v.memory, v.queue, v.last_heard_at) for v in vitals]
        columns = [list(column) for column in zip(*rows, strict=True)]

        async def ask(connection: AsyncConnection[TupleRow]) -> None:
            await connection.execute(SQL["put_vitals"], columns)

        if columns:
            await read_async(self._pool, ask)

    async def _agents(
        self, tenant: str, *, agent_id: UUID | None, after: str | None, limit: int | None
    ) -> list[AgentStatus]:
        parameters = {"tenant": tenant, "agent_id": agent_id, "after": after, "limit": limit}
        rows = await self._ask(_select("agents", AGENT_ROSTER), parameters)
        return [_agent_status(row) for row in rows]

    async def _task_states(self, task_ids: Sequence[UUID]) -> dict[UUID, TaskState]:
        rows = await self._ask(SQL["task_states"], (Column.of("uuid", task_ids),))
        return {row[0]: _task_state(*row) for row in rows}

    def _tenants(self, statement: str) -> Gathering[UUID, str]:
        async def ask(ids: Sequence[UUID]) -> dict[UUID, str]:
            return dict(await self._ask(SQL[statement], (Column.of("uuid", ids),)))

        return Gathering(ask)

    async def _ask(
        self, statement: Any, parameters: Any, *, prepare: bool | None = None
    ) -> list[TupleRow]:
        async def ask(connection: AsyncConnection[TupleRow]) -> list[TupleRow]:
            cursor = connection.cursor(binary=True)
            await cursor.execute(statement, parameters, prepare=prepare)
            return await cursor.fetchall() if cursor.description else []

        return await read_async(self._pool, ask)


async def _among(
    tenants: Gathering[UUID, str], tenant: str, ids: Sequence[UUID]
) -> AbstractSet[UUID]:
    found = await asyncio.gather(*(tenants.find(one) for one in ids))
    return {one for one, owner in zip(ids, found, strict=True) if owner == tenant}


@cache
def _select(name: str, shape: TableShape[Any], *, without: frozenset[str] = frozenset()) -> str:
    columns = ", ".join("NULL" if column in without else column for column in shape.columns)
    return SQL[name].format(columns=columns)


def _task_state(*values: Any) -> TaskState:
    state = TaskState(*values)
    if state.result is not None:
        state.result = orjson.loads(state.result)
    return state


def _open_task(requires: list[str], **columns: Any) -> OpenTask:
    return OpenTask(requires=frozenset(requires), **columns)


def _agent_status(row: TupleRow) -> AgentStatus:
    line = row_from(AGENT_ROSTER, row[: len(AGENT_ROSTER.columns)])
    running, cpu, memory, queue, last_heard_at = row[len(AGENT_ROSTER.columns) :]
    load_percent = None
    if last_heard_at is not None:
        reading = Reading(
            agent_id=line.agent_id,
            cpu=cpu,
            memory=memory,
            queue=max(queue, running),
            slots=line.slots,
        )
        load_percent = weighted_load(reading)
    return AgentStatus(
        line=line,
        running=running,
        cpu=cpu,
        memory=memory,
        queue=queue,
        load=load_percent,
        last_heard_at=last_heard_at,
    )
