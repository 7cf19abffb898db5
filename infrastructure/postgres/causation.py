"""The log as the graph of causes and effects needs it."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from application.causation.ports import FACTS_MAX, Budget
from application.ports import Record
from domain.causation import Fact
from infrastructure.postgres.pool import read
from infrastructure.postgres.sql_files import load

ANSWER_BYTES_MAX = 8 * 2**20

SQL = load("causation.sql")


class PostgresCausation:
    """Implements `application.causation.ports.CausationLog`."""

    def __init__(self, pool: ConnectionPool[Connection[TupleRow]], *, epoch: int) -> None:
        self._pool = pool
        self._epoch = epoch

    def head(self) -> int:
        """Raises DatabaseUnavailable."""
        return int(self._ask(load("log.sql")["head"], {})[0][0])

    def records(self, tenant: str, positions: Sequence[int]) -> Sequence[Record]:
        """By primary key. Raises DatabaseUnavailable."""
        parameters = {"positions": list(positions), "tenant": tenant, "bytes": ANSWER_BYTES_MAX}
        return [Record(*row) for row in self._ask(SQL["records"], parameters)]

    def facts_at(self, tenant: str, positions: Collection[int], *, budget: Budget) -> list[Fact]:
        """By primary key. Raises DatabaseUnavailable."""
        return self._facts("facts_at", tenant, budget, positions=list(positions))

    def facts_before(
        self, tenant: str, aggregate_ids: Collection[UUID], *, before: int, budget: Budget
    ) -> list[Fact]:
        """By the unique index, from the newest. Raises DatabaseUnavailable."""
        aggregates = list(aggregate_ids)
        return self._facts("facts_before", tenant, budget, aggregates=aggregates, before=before)

    def facts_after(
        self, tenant: str, versions: Mapping[UUID, int], *, budget: Budget
    ) -> list[Fact]:
        """By the unique index. Raises DatabaseUnavailable."""
        aggregates, above = list(versions.keys()), list(versions.values())
        return self._facts("facts_after", tenant, budget, aggregates=aggregates, versions=above)

    def births(self, tenant: str, task_ids: Collection[UUID], *, budget: Budget) -> list[Fact]:
        """By the board's index on parents. Raises DatabaseUnavailable."""
        return self._facts("births", tenant, budget, aggregates=list(task_ids))

    def facts_that_name(
        self, tenant: str, positions: Collection[int], *, budget: Budget
    ) -> list[Fact]:
        """By a partial index on causes, as they were written in every epoch. Raises
        DatabaseUnavailable."""
        cursors = [f"{n}:{one}" for one in positions for n in range(1, self._epoch + 1)]
        return self._facts("facts_that_name", tenant, budget, cursors=cursors)

    def lost_leases(self, tenant: str, silences: Sequence[Fact], *, budget: Budget) -> list[Fact]:
        """By a partial index on expiries. Raises DatabaseUnavailable."""
        agents = [one.aggregate_id for one in silences]
        positions = [one.position for one in silences]
        return self._facts("lost_leases", tenant, budget, aggregates=agents, positions=positions)

    def _facts(self, name: str, tenant: str, budget: Budget, **parameters: Any) -> list[Fact]:
        if budget.spent:
            return []
        found = SQL[name].replace("{columns}", SQL["columns"])
        limits = {"limit": FACTS_MAX, "room": budget.facts, "bytes": budget.bytes}
        statement = SQL["facts"].replace("{found}", found)
        rows = self._ask(statement, {"tenant": tenant, **limits, **parameters})
        budget.facts -= len(rows)
        budget.bytes -= sum(row[-1] for row in rows)
        return [_fact(row) for row in rows]

    def _ask(self, statement: str, parameters: dict[str, Any]) -> list[TupleRow]:
        return read(
            self._pool,
            lambda c: c.cursor(binary=True).execute(statement, parameters).fetchall(),
        )


def _fact(row: TupleRow) -> Fact:
    position, aggregate_id, version, topic, command_id, cause, *own, _ = row
    attempt, agent_id, parent_id = own
    return Fact(
        position=position,
        aggregate_id=aggregate_id,
        version=version,
        topic=topic,
        command_id=command_id,
        recorded=_number((cause or "").partition(":")[2]),
        attempt=_number(attempt or ""),
        agent_id=_id(agent_id),
        parent_id=_id(parent_id),
    )


def _number(text: str) -> int | None:
    """A position means the same in every epoch: a restore keeps those that came before."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None


def _id(text: str | None) -> UUID | None:
    with suppress(ValueError):
        return UUID(text) if text else None
    return None
