"""Columns of values as PostgreSQL arrays in binary, all elements at once.

psycopg dumps an array element by element in Python, which took three quarters of the client's time
of an append (README, Where the time goes). The format is that of `array_send` and of each type's
own `send` function in PostgreSQL.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any

import orjson
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

NULL = b"\xff\xff\xff\xff"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_header = Struct("!iiIii").pack
_length = Struct("!i").pack
_int2 = Struct("!ih").pack
_int4 = Struct("!ii").pack
_int8 = Struct("!iq").pack
_float8 = Struct("!id").pack


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _length(len(encoded)) + encoded


def _bytes(value: bytes) -> bytes:
    return _length(len(value)) + value


def _moment(value: datetime) -> bytes:
    return _int8(8, (value - EPOCH) // MICROSECOND)


def _jsonb(value: Any) -> bytes:
    encoded = orjson.dumps(value)
    return _length(len(encoded) + 1) + b"\x01" + encoded


Element = Callable[[Any], bytes]
ELEMENTS: dict[str, tuple[int, int, Element]] = {
    "boolean": (16, 1000, lambda value: b"\0\0\0\1\1" if value else b"\0\0\0\1\0"),
    "bytea": (17, 1001, _bytes),
    "bigint": (20, 1016, lambda value: _int8(8, value)),
    "smallint": (21, 1005, lambda value: _int2(2, value)),
    "integer": (23, 1007, lambda value: _int4(4, value)),
    "text": (25, 1009, _text),
    "double precision": (701, 1022, lambda value: _float8(8, value)),
    "timestamptz": (1184, 1185, _moment),
    "uuid": (2950, 2951, lambda value: b"\0\0\0\x10" + value.bytes),
    "jsonb": (3802, 3807, _jsonb),
    "json": (17, 1001, lambda value: _bytes(orjson.dumps(value))),
}
"""By the name of a type: its OID, that of its array, and how one element is written. What is called
`json` here is kept as bytea and never looked into by SQL."""


def array_oid(kind: str) -> int:
    """The OID of arrays of a type."""
    return ELEMENTS[kind][1]


def array_of(kind: str, values: Iterable[Any]) -> bytes:
    """The values, None among them, as one array. Raises struct.error, TypeError."""
    oid, _, element = ELEMENTS[kind]
    # Columns repeat themselves: a tenant, an actor, a topic.
    former: Any = None
    written = NULL
    parts = []
    for value in values:
        if value is not former:
            former, written = value, NULL if value is None else element(value)
        parts.append(written)
    if not parts:
        return _header(0, 0, oid, 0, 1)[:12]
    return _header(1, 1, oid, len(parts), 1) + b"".join(parts)


class Column:
    """An array ready to be sent, as a parameter of a psycopg cursor."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @classmethod
    def of(cls, kind: str, values: Iterable[Any]) -> "Column":
        """See `array_of`."""
        return COLUMNS[kind](array_of(kind, values))


class ColumnDumper(Dumper):
    """Hands a column over as it is."""

    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        """Its bytes."""
        return obj.data


def _column_of(kind: str) -> type[Column]:
    # psycopg finds the OID of a parameter by its class, so that each type of array has one.
    column = type(f"{kind} column", (Column,), {})
    dumper = type(f"{kind} dumper", (ColumnDumper,), {"oid": array_oid(kind)})
    psycopg.adapters.register_dumper(column, dumper)
    return column


COLUMNS = {kind: _column_of(kind) for kind in ELEMENTS}
