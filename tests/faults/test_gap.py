"""Goal: a reader that tails the log by position misses nothing, whatever writers do.

Method: 8 writers append at once; some roll back, some sleep between their append and their COMMIT.
A reader tails. The same race is run against a copy of the append without its lock, and must then
miss events: the test of the test.
"""

import random
import threading
import time
from collections.abc import Callable

import psycopg

from application.ids import uuid7
from infrastructure.postgres.log import SQL, PostgresLog
from infrastructure.postgres.pool import make_pool
from tests.conftest import Database
from tests.given import NOON

WRITERS = 8
BATCH_EVENTS = 100
EVENTS_MIN = 100_000
DEADLINE_SECONDS = 120
WRITTEN = "SELECT position FROM musterroll.events WHERE aggregate_id = ANY (%s) ORDER BY position"


def test_a_tailing_reader_misses_no_event_of_eight_writers(
    database: Database, rng: random.Random
) -> None:
    appended, read = race(database, "append_events", rng, until=lambda a, _: len(a) >= EVENTS_MIN)

    assert len(appended) >= EVENTS_MIN
    assert read == sorted(appended)


def test_without_the_lock_the_same_reader_misses_events(
    database: Database, rng: random.Random
) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        row = owner.execute(
            "SELECT pg_get_functiondef('musterroll.append_events'::regproc)"
        ).fetchone()
        assert row is not None
        unlocked = row[0].replace("append_events", "append_unlocked")
        unlocked = unlocked.replace("PERFORM pg_advisory_xact_lock(7311001);", "")
        assert "advisory" not in unlocked
        owner.execute(unlocked)
        owner.execute("GRANT EXECUTE ON FUNCTION musterroll.append_unlocked TO PUBLIC")

    appended, read = race(
        database, "append_unlocked", rng, until=lambda a, r: len(a) >= 5_000 and missed(a, r) > 0
    )

    assert missed(appended, read) > 0


def missed(appended: list[int], read: list[int]) -> int:
    """How many of the committed events the reader stepped over."""
    if not read:
        return 0
    return len({position for position in list(appended) if position < read[-1]} - set(read))


def race(
    database: Database,
    function: str,
    rng: random.Random,
    *,
    until: Callable[[list[int], list[int]], bool],
) -> tuple[list[int], list[int]]:
    """The positions that were committed, and those that the reader saw, in its order."""
    appended: list[int] = []
    read: list[int] = []
    over = threading.Event()
    threads = [
        threading.Thread(target=append_until, args=(database, function, seed, appended, over))
        for seed in [rng.random() for _ in range(WRITERS)]
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + DEADLINE_SECONDS
    with make_pool(database.url, connections_max=2) as pool:
        log = PostgresLog(pool)
        while not until(appended, read) and time.monotonic() < deadline:
            tail(log, read)
        over.set()
        for thread in threads:
            thread.join()
        while tail(log, read):
            pass
    return appended, read


def tail(log: PostgresLog, read: list[int]) -> int:
    """Read on; how many came."""
    page = log.read(after=read[-1] if read else 0, limit=2_000)
    read.extend(record.position for record in page)
    return len(page)


def append_until(
    database: Database, function: str, seed: float, appended: list[int], over: threading.Event
) -> None:
    rng = random.Random(seed)
    statement = SQL["append"].replace("append_events", f"musterroll.{function}")
    with psycopg.connect(database.url, autocommit=True) as connection:
        while not over.is_set():
            batch = a_batch(rng.randint(1, BATCH_EVENTS))
            fate = rng.choices(["commit", "sleep", "roll back"], [88, 2, 10])[0]
            with connection.transaction(force_rollback=fate == "roll back"):
                psycopg.RawCursor(connection).execute(statement, batch)
                positions = connection.execute(WRITTEN, (batch[0],)).fetchall()
                if fate == "sleep":
                    connection.execute("SELECT pg_sleep(0.02)")
            if fate != "roll back":
                appended.extend(row[0] for row in positions)


def a_batch(count: int) -> list[list[object]]:
    ids: list[object] = [uuid7() for _ in range(count)]
    nothing: list[object] = [None] * count
    return [
        ids, [1] * count, ["task.approved"] * count,
        [f'{{"timestamp":"{NOON.isoformat()}"}}'.encode()] * count,
        ["default"] * count, ["test"] * count, ids, ids, nothing, nothing,
        [uuid7()], [b"fingerprint"], [b"answer"],
    ]  # fmt: skip
