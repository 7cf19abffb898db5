"""Where a store stands, and what makes it the one that it is."""

from typing import NamedTuple
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import TupleRow

from infrastructure.archives.next_store import SQL


class Standing(NamedTuple):
    """A store as it stands. `store_id` and `epoch` are those of its own row: in a store that is
    being built they are chance and 0, and tell it from one that another process makes.

    `last` is the position of its newest event, `size` how many there are, `issued` the highest
    position that was handed out, and `seal_size` and `seal_root` are of its newest seal; None: it
    has none.
    """

    store_id: UUID
    epoch: int
    last: int
    size: int
    issued: int
    seal_size: int | None
    seal_root: bytes | None


def contents_of(connection: Connection[TupleRow], schema: str) -> Standing:
    """Every event is counted, some 10 million a second. Raises psycopg.Error."""
    statement = sql.SQL(SQL["contents"]).format(schema=sql.Identifier(schema))
    row = connection.execute(statement).fetchone()
    assert row is not None, "the migration puts this row"
    return Standing(*row)
