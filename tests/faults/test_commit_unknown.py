"""Goal: whoever asked gets the true outcome although the connection died around the COMMIT.

Method: the writer works through a proxy of ours that passes the append on to PostgreSQL and resets
the connection before the answer comes back (or before the append gets there). Afterwards the log
is compared with the answers.
"""

import random
from collections.abc import Iterator

import psycopg
import pytest

from application.commands import RequestKey
from application.receipt import Receipt
from tests.application.desk import Desk, assign, cancel, opened, submit
from tests.conftest import Database
from tests.faults.proxy import CuttingProxy
from tests.given import a_key

CUTS = 100
APPEND = b"\0statement\0"
"""Where the prepared statement is called, and not where it is prepared."""


@pytest.fixture
def proxy(database: Database) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(database.url)
    yield proxy
    proxy.close()


@pytest.fixture
def desk(proxy: CuttingProxy) -> Iterator[Desk]:
    with opened(proxy.client_url) as desk:
        # Prepared already, so that what is cut is a call.
        desk.execute(submit())
        yield desk


def key_of(keyed: bool) -> RequestKey | None:
    return a_key() if keyed else None


@pytest.mark.parametrize("keyed", [True, False], ids=["repeatable", "not repeatable"])
def test_commands_whose_connection_is_cut_around_the_commit_are_answered_with_the_true_outcome(
    database: Database, proxy: CuttingProxy, desk: Desk, rng: random.Random, keyed: bool
) -> None:
    before = in_the_log(database)
    submissions = [submit() for _ in range(CUTS)]

    receipts = []
    for submission in submissions:
        cut = proxy.cut_after if rng.random() < 0.8 else proxy.cut_before
        cut(APPEND)
        receipts.append(desk.execute(submission, key_of(keyed)))

    assert proxy.cuts == CUTS
    assert [receipt.aggregate_id for receipt in receipts] == [one.task_id for one in submissions]
    assert not any(receipt.replayed for receipt in receipts)
    assert in_the_log(database) - before == {
        (one.task_id, one.origin.command_id, receipt.cursor.position)
        for one, receipt in zip(submissions, receipts, strict=True)
    }


@pytest.mark.parametrize("keyed", [True, False], ids=["repeatable", "not repeatable"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_request_of_many_that_is_cut_is_answered_with_the_true_outcome(
    database: Database, proxy: CuttingProxy, desk: Desk, when: str, keyed: bool
) -> None:
    before = in_the_log(database)
    submissions = [submit() for _ in range(500)]
    cut = proxy.cut_after if when == "after" else proxy.cut_before
    cut(APPEND)

    receipts = desk.execute_many(*submissions, key=key_of(keyed))

    assert proxy.cuts == 1
    assert in_the_log(database) - before == {
        (one.task_id, one.origin.command_id, receipt.cursor.position)
        for one, receipt in zip(submissions, receipts, strict=True)
        if isinstance(receipt, Receipt)
    }
    assert len(in_the_log(database) - before) == 500


def test_what_was_cut_is_done_once_whatever_stood_on_it(
    database: Database, proxy: CuttingProxy, desk: Desk, rng: random.Random
) -> None:
    for _ in range(CUTS // 2):
        task_id = desk.execute(submit()).aggregate_id
        cut = proxy.cut_after if rng.random() < 0.8 else proxy.cut_before
        cut(APPEND)

        assigned, cancelled, again = desk.execute_at_once(
            assign(task_id), cancel(task_id), cancel(task_id)
        )

        assert isinstance(assigned, Receipt)
        assert assigned.grant.attempt == 1
        assert isinstance(cancelled, Receipt)
        assert isinstance(again, Receipt)
        assert (again.version, again.cursor) == (cancelled.version, cancelled.cursor)
        assert desk.topics(task_id) == ["task.submitted", "task.assigned", "task.cancelled"]


def in_the_log(database: Database) -> set[tuple[object, ...]]:
    with psycopg.connect(database.url) as connection:
        rows = connection.execute(
            "SELECT aggregate_id, command_id, position FROM musterroll.events"
        ).fetchall()
    assert len(rows) == len(set(rows))
    return set(rows)
