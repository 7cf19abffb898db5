"""Rows of a read model and their checkpoint, in PostgreSQL, moved in one transaction."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar, get_type_hints

import orjson
from psycopg import Connection, sql
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from application.ports import CheckpointMoved
from application.projections.activity_feed import Activity
from application.projections.agent_roster import RosterLine
from application.projections.archives import ArchiveRow
from application.projections.task_board import TaskCard
from infrastructure.postgres.arrays import Column
from infrastructure.postgres.pool import connection_of, read
from infrastructure.postgres.sql_files import load

SQL = load("read_model_store.sql")
KeyT = TypeVar("KeyT")
RowT = TypeVar("RowT")
Pool = ConnectionPool[Connection[TupleRow]]


@dataclass(frozen=True, kw_only=True, eq=False)
class TableShape(Generic[RowT]):
    """How rows of one class lie in a table: its name, its key, and the type of each column.

    A column of type `json` holds JSON as bytea (never looked into by SQL), `jsonb` as jsonb. What
    is `fixed` is written when the row is new, and never again.
    """

    table: str
    row: type[RowT]
    key: str
    columns: dict[str, str]
    fixed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """The columns are those of the row, in its order."""
        assert list(self.columns) == list(get_type_hints(self.row)), self.table

    @property
    def key_type(self) -> str:
        """The type of the key."""
        return self.columns[self.key]

    @cached_property
    def changing(self) -> list[str]:
        """The key, and what may change of a row."""
        return [name for name in self.columns if name not in self.fixed]

    @cached_property
    def loaded(self) -> list[str]:
        """What is needed to change a row: not the JSON in it that stays as it is."""
        return [n for n, kind in self.columns.items() if n in self.changing or kind != "json"]


TASK_BOARD = TableShape(
    table="task_board",
    row=TaskCard,
    key="task_id",
    columns={
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
    fixed=frozenset(
        {
            "tenant",
            "kind",
            "input",
            "requires",
            "priority",
            "max_attempts",
            "timeout_seconds",
            "not_before",
            "deadline",
            "labels",
            "parent_id",
            "approval",
            "submitted_at",
            "submitted_by",
        }
    ),
)
AGENT_ROSTER = TableShape(
    table="agent_roster",
    row=RosterLine,
    key="agent_id",
    columns={
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
ACTIVITY_FEED = TableShape(
    table="activity_feed",
    row=Activity,
    key="position",
    columns={
        "position": "bigint",
        "tenant": "text",
        "at": "timestamptz",
        "subject": "text",
        "topic": "text",
        "text": "text",
        "actor": "text",
    },
)
ARCHIVES = TableShape(
    table="archives",
    row=ArchiveRow,
    key="archive_id",
    columns={
        "archive_id": "uuid",
        "tenant": "text",
        "type": "text",
        "status": "text",
        "requested_by": "text",
        "started_at": "timestamptz",
        "version": "bigint",
        "position": "bigint",
        "stored_at": "timestamptz",
        "verified_at": "timestamptz",
        "level": "smallint",
        "drilled_at": "timestamptz",
        "drilled_equal": "boolean",
        "expired_at": "timestamptz",
        "expired_because": "text",
        "manifest": "text",
        "sha256": "text",
        "epoch": "integer",
        "last": "bigint",
        "last_at": "timestamptz",
        "size": "bigint",
        "root": "text",
        "new_events": "bigint",
        "segments": "bigint",
        "bytes": "bigint",
        "new_bytes": "bigint",
        "error_stage": "text",
        "error_code": "text",
        "error_message": "text",
    },
    fixed=frozenset({"tenant", "requested_by", "started_at"}),
)


def row_from(shape: TableShape[RowT], values: TupleRow, columns: Iterable[str] = ()) -> RowT:
    """The row object of a row as selected, column by column; all of them unless some are named."""
    row = object.__new__(shape.row)
    for name, value in zip(columns or shape.columns, values, strict=True):
        read = value is not None and shape.columns[name] == "json"
        setattr(row, name, orjson.loads(value) if read else value)
    return row


class PostgresReadModelPage(Generic[KeyT, RowT]):
    """Implements `application.ports.ReadModelPage` within a transaction."""

    def __init__(
        self,
        connection: Connection[TupleRow],
        shape: TableShape[RowT],
        statements: "Statements",
    ) -> None:
        self._connection = connection
        self._shape = shape
        self._statements = statements

    def load(self, keys: Collection[KeyT]) -> dict[KeyT, RowT]:
        """Those of the rows that exist, by key; without what never changes and may be large."""
        cursor = self._connection.cursor(binary=True)
        wanted = Column.of(self._shape.key_type, keys)
        rows = cursor.execute(self._statements.load, (wanted,)).fetchall()
        found = [row_from(self._shape, row, self._shape.loaded) for row in rows]
        return {getattr(row, self._shape.key): row for row in found}

    def put(self, new: Sequence[RowT], changed: Sequence[RowT]) -> None:
        """One statement each, however many they are."""
        if new:
            self._write(self._statements.insert, self._shape.columns, new)
            for name in self._shape.columns.keys() - self._shape.loaded:
                for row in new:
                    setattr(row, name, None)
        if changed:
            self._write(self._statements.update, self._shape.changing, changed)

    def _write(self, statement: str, columns: Iterable[str], rows: Sequence[RowT]) -> None:
        kinds = self._shape.columns
        values = [Column.of(kinds[name], [getattr(row, name) for row in rows]) for name in columns]
        self._connection.cursor(binary=True).execute(statement, values)


class PostgresReadModelStore(Generic[KeyT, RowT]):
    """Implements `application.ports.ReadModelStore` for one table."""

    def __init__(self, pool: Pool, shape: TableShape[RowT], *, table: str | None = None) -> None:
        self._pool = pool
        self._shape = shape
        self._table = table or shape.table
        self._statements = Statements.of(shape, self._table)

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
            yield PostgresReadModelPage(connection, self._shape, self._statements)

    def clear_rebuild(self) -> "PostgresReadModelStore[KeyT, RowT]":
        """The twin table, emptied. Raises DatabaseUnavailable."""
        twin = f"{self._shape.table}_rebuilt"
        with connection_of(self._pool) as connection, connection.transaction():
            # The checkpoint first, as in every turn: two that lock in another order wait for ever.
            # It is made where there is none, which waits for the first page of another rebuild:
            # what that one commits would otherwise stand here without its rows.
            connection.execute(SQL["begin"], (twin,))
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


@dataclass(frozen=True, slots=True)
class Statements:
    """What is asked of one table, written once. Its names and types are ours, never a caller's."""

    load: str
    insert: str
    update: str

    @classmethod
    def of(cls, shape: TableShape[Any], table: str) -> "Statements":
        """Those for a table of this shape."""
        changes = [name for name in shape.changing if name != shape.key]
        return cls(
            load=SQL["load"].format(columns=", ".join(shape.loaded), table=table, key=shape.key),
            insert=SQL["insert"].format(
                table=table,
                columns=", ".join(shape.columns),
                arrays=", ".join("%s" for _ in shape.columns),
            ),
            update=SQL["update"].format(
                table=table,
                key=shape.key,
                changes=", ".join(f"{name} = n.{name}" for name in changes),
                arrays=", ".join("%s" for _ in shape.changing),
                columns=", ".join(shape.changing),
            ),
        )
