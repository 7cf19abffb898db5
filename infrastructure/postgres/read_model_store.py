"""Rows of a read model and their checkpoint, in PostgreSQL, moved in one transaction."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_type_hints

import orjson
from psycopg import Connection, sql
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from application.ports import CheckpointMoved
from application.projections.activity_feed import Activity
from application.projections.agent_roster import RosterLine
from application.projections.task_board import TaskCard
from infrastructure.postgres.pool import connection_of, read
from infrastructure.postgres.sql_files import load

SQL = load("read_model_store.sql")
KeyT = TypeVar("KeyT")
RowT = TypeVar("RowT")
Pool = ConnectionPool[Connection[TupleRow]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShape(Generic[RowT]):
    """How rows of one class lie in a table: its name, its key, and the type of each column.

    A column of type `json` holds JSON as bytea (never looked into by SQL), `jsonb` as jsonb.
    """

    table: str
    row: type[RowT]
    key: str
    key_type: str
    columns: dict[str, str]


def _shape(table: str, row: type[RowT], key: str, columns: dict[str, str]) -> TableShape[RowT]:
    assert list(columns) == list(get_type_hints(row)), f"{table}: {columns}"
    return TableShape(table=table, row=row, key=key, key_type=columns[key], columns=columns)


TASK_BOARD = _shape(
    "task_board",
    TaskCard,
    "task_id",
    {
        "task_id": "uuid",
        "tenant": "text",
        "kind": "text",
        "input": "json",
        "requires": "jsonb",
        "priority": "smallint",
        "max_attempts": "integer",
        "timeout_seconds": "integer",
        "not_before": "timestamptz",
        "deadline": "timestamptz",
        "labels": "jsonb",
        "parent_id": "uuid",
        "approval": "boolean",
        "submitted_at": "timestamptz",
        "submitted_by": "text",
        "version": "bigint",
        "position": "bigint",
        "status": "text",
        "attempt": "integer",
        "failures": "integer",
        "progress": "double precision",
        "progress_message": "text",
        "result": "json",
        "error_code": "text",
        "error_message": "text",
        "agent_id": "uuid",
        "lease_expires_at": "timestamptz",
        "due_at": "timestamptz",
        "queued_at": "timestamptz",
        "started_at": "timestamptz",
        "finished_at": "timestamptz",
    },
)
AGENT_ROSTER = _shape(
    "agent_roster",
    RosterLine,
    "agent_id",
    {
        "agent_id": "uuid",
        "tenant": "text",
        "name": "text",
        "capabilities": "jsonb",
        "slots": "integer",
        "labels": "jsonb",
        "standing": "text",
        "online": "boolean",
        "registered_at": "timestamptz",
        "version": "bigint",
        "position": "bigint",
        "completed": "bigint",
        "failed": "bigint",
        "lost": "bigint",
    },
)
ACTIVITY_FEED = _shape(
    "activity_feed",
    Activity,
    "position",
    {
        "position": "bigint",
        "tenant": "text",
        "at": "timestamptz",
        "subject": "text",
        "topic": "text",
        "text": "text",
        "actor": "text",
    },
)


def row_from(shape: TableShape[RowT], values: TupleRow) -> RowT:
    """The row object of a row as selected, column by column."""
    row = object.__new__(shape.row)
    for (name, kind), value in zip(shape.columns.items(), values, strict=True):
        setattr(row, name, orjson.loads(value) if kind == "json" and value is not None else value)
    return row


class PostgresReadModelPage(Generic[KeyT, RowT]):
    """Implements `application.ports.ReadModelPage` within a transaction."""

    def __init__(
        self, connection: Connection[TupleRow], shape: TableShape[RowT], table: str
    ) -> None:
        self._connection = connection
        self._shape = shape
        self._table = table

    def load(self, keys: Collection[KeyT]) -> dict[KeyT, RowT]:
        """Those of the rows that exist, by key."""
        statement = sql.SQL(SQL["load"]).format(
            columns=_names(self._shape),
            table=sql.Identifier(self._table),
            key=sql.Identifier(self._shape.key),
            key_type=sql.SQL(self._shape.key_type),
        )
        cursor = self._connection.cursor(binary=True)
        rows = [row_from(self._shape, v) for v in cursor.execute(statement, (list(keys),))]
        return {getattr(row, self._shape.key): row for row in rows}

    def put(self, rows: Iterable[RowT]) -> None:
        """All of them in one statement, as one array a column."""
        columns = [
            [_stored(kind, getattr(row, name)) for row in rows]
            for name, kind in self._shape.columns.items()
        ]
        cursor = self._connection.cursor(binary=True)
        cursor.execute(_put_statement(self._shape, self._table), columns)


class PostgresReadModelStore(Generic[KeyT, RowT]):
    """Implements `application.ports.ReadModelStore` for one table."""

    def __init__(self, pool: Pool, shape: TableShape[RowT], *, table: str | None = None) -> None:
        self._pool = pool
        self._shape = shape
        self._table = table or shape.table

    def checkpoint(self) -> int:
        """0 before the first page. Raises DatabaseUnavailable."""
        row = read(self._pool, lambda c: c.execute(SQL["checkpoint"], (self._table,)).fetchone())
        return int(row[0]) if row else 0

    @contextmanager
    def turn(self, *, after: int, to: int) -> Iterator[PostgresReadModelPage[KeyT, RowT]]:
        """Commits at the end, or nothing at all. Raises CheckpointMoved, DatabaseUnavailable."""
        with connection_of(self._pool) as connection, connection.transaction():
            moved = connection.execute(
                SQL["advance"], {"name": self._table, "after": after, "to": to}
            )
            if moved.fetchone() is None:
                raise CheckpointMoved
            yield PostgresReadModelPage(connection, self._shape, self._table)

    def clear_rebuild(self) -> "PostgresReadModelStore[KeyT, RowT]":
        """The twin table, emptied. Raises DatabaseUnavailable."""
        twin = f"{self._shape.table}_rebuilt"
        with connection_of(self._pool) as connection, connection.transaction():
            # The checkpoint first, as in every turn: two that lock in another order wait for ever.
            connection.execute(SQL["forget"], (twin,))
            connection.execute(sql.SQL(SQL["clear"]).format(table=sql.Identifier(twin)))
        return PostgresReadModelStore(self._pool, self._shape, table=twin)

    def adopt_rebuild(self) -> bool:
        """Readers see the former rows until the commit, then the new. Raises
        DatabaseUnavailable."""
        twin = f"{self._shape.table}_rebuilt"
        names = {"table": sql.Identifier(self._table), "twin": sql.Identifier(twin)}
        with connection_of(self._pool) as connection, connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute(SQL["begin"], (self._table,))
            held = connection.execute(SQL["hold"], {"name": self._table, "twin": twin})
            checkpoints: dict[str, int] = dict(held.fetchall())
            rebuilt_to = checkpoints.get(twin, 0)
            if rebuilt_to < checkpoints[self._table]:
                return False
            connection.execute(sql.SQL(SQL["delete"]).format(**names))
            connection.execute(sql.SQL(SQL["adopt"]).format(**names))
            connection.execute(SQL["adopt_checkpoint"], (rebuilt_to, self._table))
            connection.execute(sql.SQL(SQL["clear"]).format(table=sql.Identifier(twin)))
            connection.execute(SQL["forget"], (twin,))
            return True

    def digest(self) -> str:
        """SHA-256 over the rows as text, in key order. Raises DatabaseUnavailable."""
        statement = sql.SQL(SQL["digest"]).format(
            table=sql.Identifier(self._table), key=sql.Identifier(self._shape.key)
        )
        row = read(self._pool, lambda connection: connection.execute(statement).fetchone())
        assert row is not None
        return str(row[0])


def _names(shape: TableShape[Any]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, shape.columns))


def _put_statement(shape: TableShape[Any], table: str) -> sql.Composed:
    others = [name for name in shape.columns if name != shape.key]
    return sql.SQL(SQL["put"]).format(
        table=sql.Identifier(table),
        columns=_names(shape),
        arrays=sql.SQL(", ").join(
            sql.SQL("%s::{}[]").format(sql.SQL(_array_of(kind))) for kind in shape.columns.values()
        ),
        key=sql.Identifier(shape.key),
        changes=sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in others
        ),
    )


def _array_of(kind: str) -> str:
    return "bytea" if kind == "json" else kind


ENCODE: dict[str, Callable[[Any], Any]] = {
    "json": orjson.dumps,
    "jsonb": lambda value: orjson.dumps(value).decode(),
    "text": str,
}


def _stored(kind: str, value: Any) -> Any:
    if value is None or kind not in ENCODE:
        return value
    return ENCODE[kind](value)
