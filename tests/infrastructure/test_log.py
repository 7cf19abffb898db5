"""The event log: append-only, in order, with the answer of every request that may be repeated."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from application.ids import uuid7
from application.ports import (
    AppendRefused,
    KeptRequest,
    Record,
    StoredAggregate,
    UnreadableEvent,
    Written,
)
from domain.agent import Agent, agent_id_of
from domain.aggregate import Aggregate, topic_of
from domain.errors import DatabaseUnavailable
from domain.task import Task
from infrastructure.postgres.log import PostgresLog
from infrastructure.postgres.pool import make_pool
from tests.application.loop import Loop
from tests.application.poison import poison
from tests.conftest import Database
from tests.given import ALICE, MINUTE, NOON, SECOND, TENANT, a_decision, a_key, a_specification


@dataclass
class Book:
    """The log, to write in from outside of its event loop."""

    log: PostgresLog
    loop: Loop

    def append(self, *records: Record, requests: Sequence[KeptRequest] = ()) -> Written:
        return self.loop.run(self.log.append(records, requests))

    def find_append(self, *records: Record, requests: Sequence[KeptRequest] = ()) -> Written | None:
        return self.loop.run(self.log.find_append(records, requests))

    def kept_requests(self, *keys: UUID) -> dict[UUID, KeptRequest]:
        return self.loop.run(self.log.kept_requests(keys))

    def records_of(self, aggregate: Aggregate, **changes: Any) -> list[Record]:
        """What was recorded of an aggregate, on its way into the log."""
        origin: dict[str, Any] = {"tenant": TENANT, "actor": "user/ada", "command_id": uuid7()}
        origin |= {"causation_id": None, "traceparent": None}
        return [
            Record(
                aggregate_id=event.originator_id,
                version=event.originator_version,
                topic=topic_of(event),
                state=self.log.encode(event),
                correlation_id=aggregate.correlation_id,
                **(origin | changes),
            )
            for event in aggregate.take_events()
        ]

    def write(self, aggregate: Aggregate) -> None:
        """Append what was recorded of it."""
        self.append(*self.records_of(aggregate))


@pytest.fixture
def book(database: Database) -> Iterator[Book]:
    with make_pool(database.url, connections_max=4) as pool, Loop() as loop:
        log = PostgresLog(pool)
        yield Book(log, loop)
        loop.run(log.close())


def a_new_task(**changes: Any) -> Task:
    specification = a_specification(**changes)
    return Task.submit(uuid7(), specification, tenant=TENANT, parent=None, now=NOON)


def a_request(answer: bytes = b"[]", **changes: Any) -> KeptRequest:
    return KeptRequest(key=a_key(**changes), answer=answer)


# Appending.


def test_what_was_appended_is_read_back_in_order(book: Book) -> None:
    first, second = a_new_task(), a_new_task()

    written = book.append(*book.records_of(first), *book.records_of(second))

    assert written == Written(head=0, base=0)
    records = book.log.read(after=0, limit=10)
    assert [(r.position, r.aggregate_id, r.version) for r in records] == [
        (1, first.id, 1),
        (2, second.id, 1),
    ]
    assert book.log.load(first.id) == first
    assert book.log.head() == 2


def test_an_append_fills_in_what_the_log_knows_and_keeps_all_that_it_was_told(book: Book) -> None:
    book.write(a_new_task())
    told = {"causation_id": "1-7", "traceparent": "00-é", "tenant": "ünï", "actor": "agent/Bob"}
    records = book.records_of(a_task_with_progress(3), **told)

    written = book.append(*records)

    assert written == Written(head=1, base=1)
    assert records == book.log.read(after=1, limit=10)
    assert len({record.recorded_at for record in records}) == 1
    assert records[0].recorded_at.tzinfo is not None
    assert [record.position for record in records] == [2, 3, 4, 5, 6]


def test_a_version_that_is_taken_refuses_the_whole_append_and_says_whose(book: Book) -> None:
    task, other, third = a_new_task(), a_new_task(), a_new_task()
    taken = book.records_of(task)
    book.append(*taken)

    with pytest.raises(AppendRefused) as refused:
        book.append(
            *book.records_of(other), *taken, *book.records_of(third), requests=[a_request()]
        )

    assert set(refused.value.aggregate_ids) == {task.id}
    assert not refused.value.requests
    assert book.log.load(other.id) is None
    assert book.log.head() == 1


def test_an_append_after_a_refused_one_tells_of_the_gap_that_was_left(book: Book) -> None:
    taken = book.records_of(a_new_task())
    book.append(*taken)
    with pytest.raises(AppendRefused):
        book.append(*book.records_of(a_new_task()), *taken)

    records = book.records_of(a_new_task())
    written = book.append(*records)

    assert written.head == 1
    assert written.base > 1
    assert records[0].position == written.base + 1 == book.log.head()


def test_what_cannot_be_sent_is_refused_and_the_next_append_is_taken(book: Book) -> None:
    impossible = book.records_of(a_new_task())
    book.append(*book.records_of(a_new_task()))

    for changes in ({"actor": "a\x00b"}, {"version": 2**63}, {"tenant": None}):
        with pytest.raises(Exception, match=r".") as refused:
            book.append(replace(impossible[0], **changes))
        assert not isinstance(refused.value, DatabaseUnavailable | AppendRefused)

    book.append(*impossible)
    assert book.log.head() > 1


def test_a_batch_of_ten_thousand_and_an_event_of_five_megabytes_are_taken(book: Book) -> None:
    many = [record for _ in range(10_000) for record in book.records_of(a_new_task())]
    huge = a_new_task(input="x" * 5_000_000)

    written = book.append(*many, *book.records_of(huge))

    assert written == Written(head=0, base=0)
    assert [record.position for record in many] == list(range(1, 10_001))
    assert book.log.load(huge.id) == huge


def test_the_recorded_time_never_runs_back(book: Book) -> None:
    for _ in range(50):
        book.write(a_new_task())

    moments = [record.recorded_at for record in book.log.read(after=0, limit=100)]

    assert moments == sorted(moments)


# Requests.


def test_a_request_is_kept_with_its_answer_and_where_its_append_began(book: Book) -> None:
    book.write(a_new_task())
    request, other = a_request(b"answer"), a_request(b"", fingerprint=b"2")

    book.append(*book.records_of(a_new_task()), requests=[request, other])

    unknown = uuid7()
    assert book.kept_requests(request.key.command_id, unknown, other.key.command_id) == {
        request.key.command_id: replace(request, base=1),
        other.key.command_id: replace(other, base=1),
    }
    assert book.kept_requests() == {}


def test_a_request_that_adds_no_event_is_kept_where_the_log_stood(book: Book) -> None:
    book.write(a_new_task())
    request = a_request()

    written = book.append(requests=[request])

    assert written == Written(head=1, base=1)
    assert book.kept_requests(request.key.command_id) == {
        request.key.command_id: replace(request, base=1)
    }
    assert book.log.head() == 1


def test_a_request_that_is_kept_refuses_the_whole_append_and_tells_its_first_answer(
    book: Book,
) -> None:
    kept = a_request(b"first")
    book.append(*book.records_of(a_new_task()), requests=[kept])
    again = KeptRequest(key=replace(kept.key, fingerprint=b"another"), answer=b"second")

    with pytest.raises(AppendRefused) as refused:
        book.append(*book.records_of(a_new_task()), requests=[a_request(), again])

    assert list(refused.value.requests) == [kept]
    assert not refused.value.aggregate_ids
    assert book.log.head() == 1


def test_everything_that_stands_in_the_way_is_told_at_once(book: Book) -> None:
    kept, taken = a_request(), [book.records_of(a_new_task())[0] for _ in range(2)]
    book.append(*taken, requests=[kept])

    with pytest.raises(AppendRefused) as refused:
        book.append(*book.records_of(a_new_task()), *taken, requests=[a_request(), kept])

    assert set(refused.value.aggregate_ids) == {one.aggregate_id for one in taken}
    assert list(refused.value.requests) == [kept]


# What became of an append whose answer was lost.


def test_an_append_is_found_by_its_first_event_and_its_records_are_filled_in(book: Book) -> None:
    book.write(a_new_task())
    task = a_task_with_progress(3)
    records = book.records_of(task)
    book.append(*records)
    unanswered = [replace(record, position=0) for record in records]

    found = book.find_append(*unanswered, requests=[a_request()])

    assert found == Written(head=None, base=1)
    assert unanswered == records


def test_an_append_without_events_is_found_by_its_request(book: Book) -> None:
    book.write(a_new_task())
    request = a_request()
    book.append(requests=[request])

    assert book.find_append(requests=[request]) == Written(head=None, base=1)
    assert book.find_append(requests=[a_request()]) is None


def test_an_append_that_came_to_nothing_is_not_taken_for_that_of_another(book: Book) -> None:
    task = a_new_task()
    theirs = book.records_of(task)
    book.append(*theirs)

    assert book.find_append(replace(theirs[0], command_id=uuid7())) is None
    assert book.find_append(*book.records_of(a_new_task())) is None


def test_a_part_of_it_that_another_node_wrote_is_not_taken_for_the_whole(book: Book) -> None:
    # Two nodes were asked the same under one key, so that both make the very same event of it.
    same, ours = book.records_of(a_new_task()), book.records_of(a_new_task())
    book.append(*same)

    assert book.find_append(*same, *ours) is None
    assert book.find_append(*ours, *same) is None
    book.write(a_new_task())
    book.append(*ours)
    assert book.find_append(*same, *ours) is None


def test_an_append_that_is_still_under_way_is_waited_for(book: Book, database: Database) -> None:
    records = book.records_of(a_new_task())
    found: list[Written | None] = []
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("SET search_path = musterroll")
        owner.execute("SELECT pg_advisory_xact_lock(7311001)")
        asking = threading.Thread(target=lambda: found.append(book.find_append(*records)))
        asking.start()
        owner.execute(
            "INSERT INTO events (aggregate_id, version, topic, state, tenant, actor, command_id,"
            " correlation_id, recorded_at) VALUES (%s, 1, 't', '', '', '', %s, %s, now())",
            (records[0].aggregate_id, records[0].command_id, uuid7()),
        )
        while not waiting_for_a_lock(database):
            assert asking.is_alive(), "it did not wait"
        owner.commit()
        asking.join()

    assert found == [Written(head=None, base=0)]


def waiting_for_a_lock(database: Database) -> bool:
    with psycopg.connect(database.owner_url) as owner:
        rows = owner.execute(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()
    return bool(rows)


# What stands, stands.


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE musterroll.events SET actor = 'nobody'",
        "DELETE FROM musterroll.events",
        "TRUNCATE musterroll.events",
        "UPDATE musterroll.requests SET base = 9",
        "DELETE FROM musterroll.requests",
        "TRUNCATE musterroll.requests",
        "INSERT INTO musterroll.events SELECT * FROM musterroll.events",
        "INSERT INTO musterroll.requests SELECT * FROM musterroll.requests",
    ],
)
@pytest.mark.parametrize("who", ["application", "owner"])
def test_history_cannot_be_changed(book: Book, database: Database, change: str, who: str) -> None:
    request = a_request()
    book.append(*book.records_of(a_new_task()), requests=[request])
    before = book.log.read(after=0, limit=10), book.kept_requests(request.key.command_id)
    url = database.url if who == "application" else database.owner_url

    with psycopg.connect(url) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(change)

    assert refused.value.sqlstate in {"42501", "23505"}
    after = book.log.read(after=0, limit=10), book.kept_requests(request.key.command_id)
    assert after == before


def test_an_event_of_an_unknown_topic_is_refused_when_read(book: Book) -> None:
    book.write(a_new_task())
    record = book.log.read(after=0, limit=1)[0]
    record.topic = "os:system"

    with pytest.raises(UnreadableEvent, match="os:system"):
        book.log.decode(record)


def test_a_page_ends_when_it_has_enough_events_or_bytes(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        book.write(a_new_task(input="x" * 1_000))
    monkeypatch.setattr("infrastructure.postgres.log.PAGE_BYTES", 2_500)

    pages = [book.log.read(after=after, limit=limit) for after, limit in ((0, 2), (0, 9), (4, 9))]

    assert [[record.position for record in page] for page in pages] == [[1, 2], [1, 2], [5]]
    monkeypatch.setattr("infrastructure.postgres.log.PAGE_BYTES", 1)
    assert [record.position for record in book.log.read(after=0, limit=9)] == [1]


# Loading.


def test_there_is_no_aggregate_under_an_unknown_id(book: Book) -> None:
    assert book.log.load(UUID(int=7)) is None
    assert book.log.load_many([]) == {}


def test_a_long_aggregate_is_loaded_from_its_snapshot_and_what_follows(book: Book) -> None:
    task = written_with_progress(book, steps=30)
    book.log.keep_snapshots([book.log.take_snapshot(task)])
    task.progress(ALICE, 1, 0.9, None, now=NOON + MINUTE)
    book.write(task)

    assert book.log.load(task.id) == task


def test_a_snapshot_of_another_shape_is_as_good_as_none(book: Book) -> None:
    task = written_with_progress(book, steps=3)
    book.log.keep_snapshots([unreadable_snapshot_of(task)])

    assert book.log.load(task.id) == task


def test_the_newest_snapshot_is_used_in_whatever_order_they_are_kept(
    book: Book, database: Database
) -> None:
    task = written_with_progress(book, steps=3)
    old = book.log.take_snapshot(task)
    task.progress(ALICE, 1, 0.9, None, now=NOON + MINUTE)
    book.write(task)
    new = book.log.take_snapshot(task)

    for taken in ([old], [new], [new], [old]):
        book.log.keep_snapshots(taken)

    assert book.log.load(task.id) == task
    with psycopg.connect(database.url) as connection:
        kept = connection.execute("SELECT max(version) FROM musterroll.snapshots").fetchone()
    assert kept == (new.version,)


def test_many_are_loaded_together_whatever_there_is_of_each(book: Book, database: Database) -> None:
    plain, ahead, spoilt = (written_with_progress(book, steps=n) for n in (1, 5, 3))
    agent = Agent.register(
        agent_id_of(TENANT, "a"),
        tenant=TENANT,
        name="a",
        capabilities=("review",),
        slots=1,
        labels={},
        now=NOON,
    )
    book.write(agent)
    book.log.keep_snapshots([book.log.take_snapshot(ahead), unreadable_snapshot_of(spoilt)])
    ahead.progress(ALICE, 1, 0.9, None, now=NOON + MINUTE)
    book.write(ahead)
    unreadable, unknown = unreadable_aggregate(database), uuid7()
    whole = [plain, ahead, spoilt, agent]

    found = book.log.load_many([unknown, unreadable, *(one.id for one in whole)])

    assert isinstance(found.pop(unreadable), UnreadableEvent)
    assert found == {one.id: one for one in whole}
    with pytest.raises(UnreadableEvent):
        book.log.load(unreadable)


def test_an_event_that_a_snapshot_covers_need_not_be_readable(
    book: Book, database: Database
) -> None:
    task = written_with_progress(book, steps=3)
    unreadable = unreadable_aggregate(database)
    taken = book.log.take_snapshot(task)
    book.log.keep_snapshots([replace(taken, aggregate_id=unreadable, version=1)])

    loaded = book.log.load(unreadable)

    assert loaded is not None
    assert (loaded.id, loaded.version) == (unreadable, 1)


def a_task_with_progress(steps: int) -> Task:
    task = a_new_task()
    task.assign(a_decision(), now=NOON, lease=timedelta(minutes=1))
    for step in range(steps):
        task.progress(ALICE, 1, step / 100, "on it", now=NOON + step * SECOND)
    return task


def written_with_progress(book: Book, *, steps: int) -> Task:
    task = a_task_with_progress(steps)
    book.write(task)
    return task


def unreadable_snapshot_of(task: Task) -> StoredAggregate:
    return StoredAggregate(
        aggregate_id=task.id, version=task.version, topic="task", state=b'{"no":"task"}'
    )


def unreadable_aggregate(database: Database) -> UUID:
    """One with an event that cannot be read; its id."""
    position = poison(database)
    with psycopg.connect(database.url) as connection:
        row = connection.execute(
            "SELECT aggregate_id FROM musterroll.events WHERE position = %s", (position,)
        ).fetchone()
    assert row is not None
    aggregate_id: UUID = row[0]
    return aggregate_id
