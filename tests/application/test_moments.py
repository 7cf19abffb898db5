"""Moments: what can be named of the history, and where it comes to."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from application.cursor import Cursor, CursorAhead
from application.moments import (
    AfterHistory,
    BadMoment,
    BeforeHistory,
    Moment,
    Moments,
)
from domain.errors import EpochEnded
from infrastructure.postgres.moments import PostgresRecordedTimes
from infrastructure.postgres.pool import make_async_pool
from tests.clock import MovableClock
from tests.conftest import Database
from tests.given import NOON, SECOND

ROW = """
    INSERT INTO musterroll.events (position, aggregate_id, version, topic, state, tenant, actor,
                                   command_id, correlation_id, recorded_at)
    VALUES (%s, %s, 1, 'task.queued', '{}', 'default', 'user/ada', %s, %s, %s)
"""


def recorded(database: Database, rows: list[tuple[int, datetime]]) -> None:
    """Events at these positions, recorded at these times."""
    with psycopg.connect(database.owner_url) as connection:
        for position, time in rows:
            connection.execute(ROW, (position, uuid4(), uuid4(), uuid4(), time))


def asked(
    database: Database, ask: Callable[[Moments], Coroutine[Any, Any, Any]], *, now: datetime
) -> Any:
    """What moments answer on this database, in epoch 1."""

    async def run() -> Any:
        async with make_async_pool(database.url, connections_max=2) as pool:
            clock = MovableClock()
            clock.move(seconds=(now - clock()).total_seconds())
            return await ask(Moments(PostgresRecordedTimes(pool), clock, epoch=1))

    return asyncio.run(run())


def test_a_moment_is_a_cursor_a_time_or_a_version() -> None:
    assert Moment.parse("1:4711") == Moment(cursor=Cursor(1, 4711))
    assert Moment.parse("v7") == Moment(version=7)
    assert Moment.parse("2026-01-31T13:00:00.25+01:00") == Moment(
        time=datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    "text",
    [
        *["", "v0", "v", "v-1", "7", "1:", ":1", "1:2:3", "१:४", "v१", "v" + "9" * 40],
        *["yesterday", "2026-01-31", "2026-02-30T12:00:00Z", "2026-01-31T12:00:00"],
        "1:99999999999999999999",
    ],
)
def test_anything_else_is_no_moment(text: str) -> None:
    with pytest.raises(BadMoment) as refusal:
        Moment.parse(text)

    assert refusal.value.code == "bad_moment"


def test_every_time_comes_to_the_last_event_recorded_by_then(
    database: Database, rng: random.Random
) -> None:
    position, time, rows = 0, NOON, []
    for _ in range(rng.randint(1, 200)):
        position += rng.choice([1, 1, 1, 2, 50])
        time += timedelta(microseconds=rng.choice([0, 0, 1, 1_000, 1_000_000]))
        rows.append((position, time))
    recorded(database, rows)
    probes = [rng.choice(rows)[1] + timedelta(microseconds=rng.randint(0, 2)) for _ in range(40)]

    async def ask(moments: Moments) -> list[int]:
        return [await moments.position(Moment(time=probe)) for probe in probes]

    found = asked(database, ask, now=time + 60 * SECOND)

    assert found == [max(at for at, when in rows if when <= probe) for probe in probes]


def test_positions_come_to_the_last_event_before_them_and_their_time(database: Database) -> None:
    recorded(database, [(3, NOON), (7, NOON + SECOND)])

    async def ask(moments: Moments) -> list[Any]:
        assert await moments.position(None) == 7
        assert await moments.position(None, default=5) == 5
        assert await moments.position(Moment(cursor=Cursor(1, 5))) == 5
        return [(one.cursor, one.time) for one in [await moments.at(5), await moments.at(7)]]

    found = asked(database, ask, now=NOON + SECOND)

    assert found == [(Cursor(1, 3), NOON), (Cursor(1, 7), NOON + SECOND)]


@pytest.mark.parametrize(
    ("moment", "error", "nearest"),
    [
        ("1:2", BeforeHistory, "1:3"),
        ("1:8", CursorAhead, "1:7"),
        ("2:3", EpochEnded, None),
        ("v3", BadMoment, None),
        ("2026-11-23T11:59:59.999999Z", BeforeHistory, "1:3"),
        ("2026-11-23T12:00:02Z", AfterHistory, "2026-11-23T12:00:01Z"),
    ],
)
def test_a_moment_outside_of_the_history_is_refused_with_the_nearest_inside(
    database: Database, moment: str, error: type[Exception], nearest: str | None
) -> None:
    recorded(database, [(3, NOON), (7, NOON + SECOND)])

    with pytest.raises(error) as refusal:
        asked(database, lambda moments: moments.position(Moment.parse(moment)), now=NOON + SECOND)

    assert getattr(refusal.value, "facts", {}).get("nearest") == nearest


def test_an_empty_log_has_no_moments_but_now(database: Database) -> None:
    async def ask(moments: Moments) -> None:
        assert await moments.position(None) == 0
        with pytest.raises(BeforeHistory):
            await moments.position(Moment(time=NOON))
        with pytest.raises(BeforeHistory):
            await moments.position(Moment(cursor=Cursor(1, 0)))
        with pytest.raises(BeforeHistory):
            await moments.at(0)

    asked(database, ask, now=NOON)
