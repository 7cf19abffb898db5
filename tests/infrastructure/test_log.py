"""The event log: append-only, in order, with the outcome of every command."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from application.ids import uuid7
from application.ports import Append, CommandRepeated, UnreadableEvent, VersionConflict
from domain.aggregate import Aggregate
from domain.errors import StaleAttempt
from domain.task import Task
from infrastructure.postgres.log import PostgresLog
from infrastructure.postgres.pool import make_pool
from tests.conftest import Database
from tests.given import ALICE, MINUTE, NOON, SECOND, a_decision, a_specification, by


@pytest.fixture
def log(database: Database) -> Iterator[PostgresLog]:
    with make_pool(database.url, connections_max=4) as pool:
        yield PostgresLog(pool)


def a_new_task() -> Task:
    return Task.submit(uuid7(), a_specification(), tenant="default", parent=None, now=NOON)


def an_append(task: Aggregate, **changes: object) -> Append:
    return Append(
        **{  # type: ignore[arg-type]
            "origin": by(),
            "correlation_id": task.correlation_id,
            "aggregate_id": task.id,
            "version": task.version,
            "refusal": None,
            "events": task.take_events(),
        }
        | changes
    )


def test_what_was_appended_is_read_back_in_order(log: PostgresLog) -> None:
    first, second = a_new_task(), a_new_task()

    positions = log.append([an_append(first), an_append(second)])

    assert positions == [1, 2]
    records = log.read(after=0, limit=10)
    assert [(r.position, r.aggregate_id, r.version) for r in records] == [
        (1, first.id, 1),
        (2, second.id, 1),
    ]
    assert log.load(first.id) == first
    assert log.head() == 2


def test_a_version_that_is_taken_refuses_the_whole_append(log: PostgresLog) -> None:
    task = a_new_task()
    append = an_append(task)
    log.append([append])
    other = a_new_task()

    conflicting = an_append(task, version=1, events=append.events)
    with pytest.raises(VersionConflict):
        log.append([an_append(other), conflicting])

    assert log.load(other.id) is None


def test_a_command_that_is_in_the_log_is_not_written_again(log: PostgresLog) -> None:
    origin = by(fingerprint=b"first")
    task = a_new_task()
    log.append([an_append(task, origin=origin)])

    with pytest.raises(CommandRepeated):
        log.append([an_append(a_new_task(), origin=origin)])

    outcome = log.outcomes([origin.command_id, uuid7()])[origin.command_id]
    assert (outcome.aggregate_id, outcome.version, outcome.position) == (task.id, 1, 1)
    assert outcome.fingerprint == b"first"


def test_a_command_that_changed_nothing_stands_where_the_log_stood(log: PostgresLog) -> None:
    task = a_new_task()
    log.append([an_append(task)])

    positions = log.append([an_append(task, events=[])])

    assert positions == [1]


def test_a_recorded_refusal_is_kept_with_its_reason(log: PostgresLog) -> None:
    task = a_new_task()
    origin = by()
    refusal = StaleAttempt(task.id, reported=1, current=2, status="queued")

    log.append([an_append(task, origin=origin, refusal=refusal)])

    outcome = log.outcomes([origin.command_id])[origin.command_id]
    assert outcome.refusal_code == "stale_attempt"
    assert outcome.refusal_message == refusal.message


def test_a_batch_of_ten_thousand_and_an_event_of_five_megabytes_are_taken(log: PostgresLog) -> None:
    many = [an_append(a_new_task()) for _ in range(10_000)]
    huge = Task.submit(
        uuid7(), a_specification(input="x" * 5_000_000), tenant="t", parent=None, now=NOON
    )

    positions = log.append([*many, an_append(huge)])

    assert positions == list(range(1, 10_002))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE musterroll.events SET actor = 'nobody'",
        "DELETE FROM musterroll.events",
        "TRUNCATE musterroll.events",
        "UPDATE musterroll.commands SET version = 9",
        "DELETE FROM musterroll.commands",
        "TRUNCATE musterroll.commands",
        "INSERT INTO musterroll.events SELECT * FROM musterroll.events",
    ],
)
@pytest.mark.parametrize("who", ["application", "owner"])
def test_history_cannot_be_changed(
    log: PostgresLog, database: Database, change: str, who: str
) -> None:
    log.append([an_append(a_new_task())])
    before = log.read(after=0, limit=10)
    url = database.url if who == "application" else database.owner_url

    with psycopg.connect(url) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(change)

    assert refused.value.sqlstate in {"42501", "23505"}
    assert log.read(after=0, limit=10) == before


def test_the_recorded_time_never_runs_back(log: PostgresLog, database: Database) -> None:
    for _ in range(50):
        log.append([an_append(a_new_task())])

    moments = [record.recorded_at for record in log.read(after=0, limit=100)]

    assert moments == sorted(moments)


def test_an_event_of_an_unknown_topic_is_refused_when_read(
    log: PostgresLog, database: Database
) -> None:
    log.append([an_append(a_new_task())])
    record = log.read(after=0, limit=1)[0]
    record.topic = "os:system"

    with pytest.raises(UnreadableEvent, match="os:system"):
        log.decode(record)


def test_a_long_aggregate_is_loaded_from_its_snapshot_and_what_follows(
    log: PostgresLog, database: Database
) -> None:
    task = a_task_with_progress(log, steps=30)
    log.keep_snapshot(task)
    task.progress(ALICE, 1, 0.9, None, now=NOON + MINUTE)
    log.append([an_append(task)])

    assert log.load(task.id) == task


def test_a_snapshot_of_another_shape_is_as_good_as_none(
    log: PostgresLog, database: Database
) -> None:
    task = a_task_with_progress(log, steps=3)
    with psycopg.connect(database.url) as connection:
        connection.execute(
            "INSERT INTO musterroll.snapshots VALUES (%s, %s, 'task', %s)",
            (task.id, task.version, b'{"no":"task"}'),
        )

    assert log.load(task.id) == task


def a_task_with_progress(log: PostgresLog, *, steps: int) -> Task:
    task = a_new_task()
    task.assign(a_decision(), now=NOON, lease=timedelta(minutes=1))
    for step in range(steps):
        task.progress(ALICE, 1, step / 100, "on it", now=NOON + step * SECOND)
    log.append([an_append(task)])
    return task


def test_there_is_no_aggregate_under_an_unknown_id(log: PostgresLog) -> None:
    assert log.load(UUID(int=7)) is None
