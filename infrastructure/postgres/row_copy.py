"""Rows as PostgreSQL's COPY sends them in binary: the canonical bytes of events.

The stream is a header, a message for each row (the first comes with the header) and a trailer. A
row is the number of its columns (2 bytes), then each column: its length (4 bytes, -1 for null) and
its bytes. All numbers are big-endian.
"""

from collections.abc import Iterable, Iterator

import psycopg
from psycopg import Connection, pq
from psycopg.rows import TupleRow

from domain.errors import DatabaseUnavailable

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
POSITION = slice(6, 14)
"""Where a row has its position, when that is the first column: a number of 8 bytes."""


def copy_rows(messages: Iterable[bytes]) -> Iterator[bytes]:
    """The rows in what psycopg's `copy` gave, without what stands around them."""
    for message in messages:
        row = message.removeprefix(HEADER)
        if row and row != TRAILER:
            yield row


def rows_of(connection: Connection[TupleRow], statement: bytes) -> Iterator[memoryview]:
    """The rows that a COPY sends, each good until the next is asked for. Read them to the end.

    Through libpq itself: psycopg's `copy` takes longer for a row than hashing it. Raises
    DatabaseUnavailable, psycopg.Error.
    """
    pgconn = connection.pgconn
    pgconn.send_query(statement)
    result = pgconn.get_result()
    if result is None or result.status != pq.ExecStatus.COPY_OUT:
        raise _failure(connection, result)
    get = pgconn.get_copy_data
    length, row = get(0)
    row = row[len(HEADER) :]
    while length > 0:
        if len(row) > len(TRAILER):
            yield row
        length, row = get(0)
    while (result := pgconn.get_result()) is not None:
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise _failure(connection, result)


def _failure(connection: Connection[TupleRow], result: pq.abc.PGresult | None) -> Exception:
    if result is None or connection.pgconn.status != pq.ConnStatus.OK:
        return DatabaseUnavailable("The database does not answer.")
    return psycopg.DatabaseError(result.get_error_message())
