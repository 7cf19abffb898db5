"""Columns of values, written in PostgreSQL's own binary format and read back by PostgreSQL."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest
from hypothesis import example, given, strategies
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads

from infrastructure.postgres.arrays import ELEMENTS, Column, array_of, array_oid
from tests.conftest import Database
from tests.given import ALICE, NOON
from tests.randomly import repeatably

texts = strategies.text(strategies.characters(exclude_characters="\0", exclude_categories=["Cs"]))
moments = strategies.datetimes(timezones=strategies.just(UTC))
any_json = strategies.recursive(
    strategies.booleans()
    | strategies.integers(-(2**63), 2**64 - 1)
    | strategies.floats(-1e15, 1e15)
    | texts,
    lambda inner: (
        strategies.lists(inner | strategies.none(), max_size=3)
        | strategies.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=5,
)
VALUES: dict[str, strategies.SearchStrategy[Any]] = {
    "boolean": strategies.booleans(),
    "bytea": strategies.binary(),
    "bigint": strategies.integers(-(2**63), 2**63 - 1),
    "smallint": strategies.integers(-(2**15), 2**15 - 1),
    "integer": strategies.integers(-(2**31), 2**31 - 1),
    "text": texts,
    "double precision": strategies.floats(allow_nan=False),
    "timestamptz": moments,
    "uuid": strategies.uuids(),
    "jsonb": any_json,
    "json": any_json,
}
EXTREMES: dict[str, list[Any]] = {
    "boolean": [True, False],
    "bytea": [b"", b"\0", bytes(range(256)), b"x" * 1_000_000],
    "bigint": [-(2**63), -1, 0, 2**63 - 1],
    "smallint": [-(2**15), -1, 0, 2**15 - 1],
    "integer": [-(2**31), -1, 0, 2**31 - 1],
    "text": ["", "\n\\'\"{},NULL", "\U0010ffff", "é" * 500_000],
    "double precision": [float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308],
    "timestamptz": [
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        NOON.astimezone(timezone(timedelta(hours=14))),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC),
    ],
    "uuid": [ALICE, UUID(int=0), UUID(int=2**128 - 1)],
    "jsonb": ["", {}, [], [None], {"a": {"b": [1, 2.5, "ü", True]}}, 0, False, 2**64 - 1],
    "json": ["", {}, [], [None], {"a": {"b": [1, 2.5, "\0", True]}}, 0, False, 2**64 - 1],
}


@pytest.fixture
def connection(database: Database) -> Iterator[Connection[TupleRow]]:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        set_json_loads(orjson.loads, connection)
        yield connection


def read_back(connection: Connection[TupleRow], kind: str, values: list[Any]) -> list[Any]:
    """The values as PostgreSQL has them, one a row."""
    rows = connection.execute(
        "SELECT n FROM unnest(%s) WITH ORDINALITY AS v (n, place) ORDER BY place",
        (Column.of(kind, values),),
        binary=True,
    ).fetchall()
    found = [row[0] for row in rows]
    if kind == "json":
        return [None if one is None else orjson.loads(one) for one in found]
    return found


def test_there_are_values_for_every_type() -> None:
    assert set(VALUES) == set(EXTREMES) == set(ELEMENTS)


@pytest.mark.parametrize("kind", list(ELEMENTS))
def test_whatever_is_sent_comes_back(connection: Connection[TupleRow], kind: str) -> None:
    columns = strategies.lists(VALUES[kind] | strategies.none())

    @repeatably
    @given(columns | columns.map(lambda column: [value for value in column for _ in range(2)]))
    @example([])
    @example([None])
    @example([None, None, *EXTREMES[kind], None])
    @example(EXTREMES[kind] * 3)
    def comes_back(values: list[Any]) -> None:
        assert read_back(connection, kind, values) == values

    comes_back()


@pytest.mark.parametrize("kind", list(ELEMENTS))
def test_what_libpq_is_given_is_an_array_of_the_type_it_is_called(
    connection: Connection[TupleRow], kind: str
) -> None:
    sent = EXTREMES[kind][:1] * 2 + [None]
    name = {"json": "bytea", "timestamptz": "timestamp with time zone"}.get(kind, kind)

    for values in ([], sent):
        result = connection.pgconn.exec_params(
            b"SELECT pg_typeof($1)::text, cardinality($1)",
            [array_of(kind, values)],
            [array_oid(kind)],
            [1],
        )

        assert result.error_message == b""
        found = result.get_value(0, 0), result.get_value(0, 1)
        assert found == (f"{name}[]".encode(), str(len(values)).encode())


def test_equal_values_that_are_not_the_same_are_each_written(
    connection: Connection[TupleRow],
) -> None:
    mixed: list[Any] = [True, 1, 1.0, None, 1, None]

    assert read_back(connection, "json", mixed) == mixed
    assert [type(one) for one in read_back(connection, "json", mixed)] == [
        type(one) for one in mixed
    ]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bigint", 2**63),
        ("bigint", "1"),
        ("smallint", 2**15),
        ("integer", -(2**31) - 1),
        ("timestamptz", datetime(2026, 1, 1)),  # noqa: DTZ001 - without a zone on purpose
        ("text", "\ud800"),
        ("jsonb", {1, 2}),
        ("json", 2**80),
        ("double precision", "x"),
    ],
)
def test_what_the_type_does_not_hold_is_refused(kind: str, value: object) -> None:
    with pytest.raises((struct.error, TypeError, UnicodeEncodeError)):
        array_of(kind, [None, value])
