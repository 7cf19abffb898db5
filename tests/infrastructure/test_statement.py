"""One prepared statement on a connection of its own: it outlives whatever happens to that."""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from domain.errors import DatabaseUnavailable
from infrastructure.postgres import statement as module
from infrastructure.postgres.arrays import array_of, array_oid
from infrastructure.postgres.statement import PreparedStatement
from tests.application.loop import Loop
from tests.conftest import Database

DIVIDE = "SELECT 100 / n, pg_sleep(seconds) FROM unnest($1, $2) AS asked (n, seconds)"
LONG = 600.0


@dataclass
class Divider:
    """Divides 100 by a number, at the latest after so many seconds."""

    statement: PreparedStatement
    loop: Loop
    database: Database

    async def divide(self, by: int, *, seconds: float = 0) -> int:
        columns = [array_of("bigint", [by]), array_of("double precision", [seconds])]
        result = await self.statement.execute(columns)
        quotient: int = struct.unpack("!q", result.get_value(0, 0) or b"")[0]
        return quotient

    def answer(self, by: int, *, seconds: float = 0) -> int:
        return self.loop.run(self.divide(by, seconds=seconds))

    def backends(self) -> list[tuple[int, str]]:
        """Its connections as the server sees them: number and state."""
        with psycopg.connect(self.database.url) as connection:
            return connection.execute(
                "SELECT pid, state FROM pg_stat_activity WHERE application_name = %s",
                (self.statement.application_name,),
            ).fetchall()

    def end_backends(self) -> None:
        with psycopg.connect(self.database.url) as connection:
            for pid, _ in self.backends():
                connection.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))


@pytest.fixture
def divider(database: Database) -> Iterator[Divider]:
    kinds = [array_oid("bigint"), array_oid("double precision")]
    with Loop() as loop:
        statement = PreparedStatement(database.url, DIVIDE, kinds)
        divider = Divider(statement, loop, database)
        yield divider
        loop.run(statement.close())
        # The server goes on with what was given up, and would keep the database from being dropped.
        divider.end_backends()


def test_it_is_answered_in_binary_again_and_again_on_one_connection(divider: Divider) -> None:
    assert divider.backends() == []

    assert [divider.answer(by) for by in (1, 3, -7)] == [100, 33, -14]

    assert len(divider.backends()) == 1


def test_what_postgresql_refuses_is_told_and_the_connection_stays(divider: Divider) -> None:
    divider.answer(1)
    before = divider.backends()

    with pytest.raises(psycopg.errors.DivisionByZero):
        divider.answer(0)

    assert divider.answer(4) == 25
    assert divider.backends() == before


def test_a_connection_that_the_server_ended_is_told_and_then_replaced(divider: Divider) -> None:
    divider.answer(1)
    before = divider.backends()
    divider.end_backends()

    with pytest.raises(DatabaseUnavailable):
        divider.answer(2)

    assert divider.answer(2) == 50
    assert len(divider.backends()) == 1
    assert divider.backends() != before


def test_a_connection_that_is_ended_over_a_question_is_told_and_then_replaced(
    divider: Divider,
) -> None:
    async def ended() -> None:
        asking = asyncio.create_task(divider.divide(1, seconds=LONG))
        await busy(divider)
        await asyncio.to_thread(divider.end_backends)
        with pytest.raises(DatabaseUnavailable):
            await asking

    divider.loop.run(ended())

    assert divider.answer(2) == 50


def test_the_answer_to_a_question_that_was_given_up_is_not_taken_for_that_to_the_next(
    divider: Divider,
) -> None:
    async def given_up() -> None:
        asking = asyncio.create_task(divider.divide(1, seconds=LONG))
        await busy(divider)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    divider.answer(1)
    divider.loop.run(given_up())

    assert [divider.answer(by) for by in (2, 4)] == [50, 25]


def test_a_question_that_is_given_up_while_it_connects_leaves_nothing_behind(
    divider: Divider,
) -> None:
    async def given_up(turns: int) -> None:
        asking = asyncio.create_task(divider.divide(1))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])

    for turns in range(30):
        divider.loop.run(given_up(turns))
        divider.loop.run(divider.statement.close())

    assert divider.answer(2) == 50
    assert len(divider.backends()) == 1


def test_no_answer_in_time_is_as_good_as_none(
    divider: Divider, monkeypatch: pytest.MonkeyPatch
) -> None:
    divider.answer(1)
    monkeypatch.setattr(module, "ANSWER_SECONDS_MAX", 0.1)

    with pytest.raises(DatabaseUnavailable):
        divider.answer(1, seconds=LONG)

    monkeypatch.undo()
    assert divider.answer(2) == 50


def test_a_database_that_cannot_be_reached_is_told(divider: Divider) -> None:
    url = make_conninfo(divider.database.url, port=1)
    nowhere = PreparedStatement(url, DIVIDE, [])

    with pytest.raises(DatabaseUnavailable):
        divider.loop.run(nowhere.execute([]))


def test_a_statement_that_cannot_be_prepared_is_told_and_keeps_no_connection(
    divider: Divider,
) -> None:
    wrong = PreparedStatement(divider.database.url, "SELECT no_such_column", [])

    for _ in range(2):
        with pytest.raises(psycopg.errors.UndefinedColumn):
            divider.loop.run(wrong.execute([]))

    assert Divider(wrong, divider.loop, divider.database).backends() == []


def test_a_question_larger_than_any_buffer_is_sent_and_so_is_its_answer(divider: Divider) -> None:
    text = "é" * 10_000_000
    echo = PreparedStatement(divider.database.url, "SELECT unnest($1)", [array_oid("text")])

    for _ in range(2):
        result = divider.loop.run(echo.execute([array_of("text", [text])]))
        assert result.get_value(0, 0) == text.encode()
    divider.loop.run(echo.close())


def test_a_commit_that_fails_after_the_rows_were_sent_is_told(divider: Divider) -> None:
    with psycopg.connect(divider.database.owner_url) as owner:
        owner.execute(
            "CREATE TABLE musterroll.once (n bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)"
        )
        owner.execute("GRANT INSERT, SELECT ON musterroll.once TO PUBLIC")
    insert = PreparedStatement(
        divider.database.url,
        "INSERT INTO once SELECT unnest($1) RETURNING n",
        [array_oid("bigint")],
    )

    def inserted(numbers: Sequence[int]) -> int:
        return divider.loop.run(insert.execute([array_of("bigint", numbers)])).ntuples

    with pytest.raises(psycopg.errors.UniqueViolation):
        inserted([1, 1])
    assert inserted([1, 2]) == 2
    divider.loop.run(insert.close())


async def busy(divider: Divider) -> None:
    """Until the server works on a question."""
    while "active" not in {state for _, state in await asyncio.to_thread(divider.backends)}:
        pass
