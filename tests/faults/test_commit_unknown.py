"""Goal: whoever asked gets the true outcome although the connection died around the COMMIT.

Method: the writer works through a proxy of ours that passes the append on to PostgreSQL and resets
the connection before the answer comes back (or before the append gets there). Afterwards the log
is compared with the answers.
"""

import asyncio
import random
from collections.abc import Iterator

import psycopg
import pytest

from application.commands.tasks import SubmitTask
from application.control_plane import ControlPlane
from application.handlers import all_handlers
from application.ids import uuid7
from application.receipt import Receipt
from application.writer import Commands, Writer
from infrastructure.postgres.clock import PostgresClock
from infrastructure.postgres.log import PostgresLog
from infrastructure.postgres.pool import make_pool
from tests.conftest import Database
from tests.faults.proxy import CuttingProxy
from tests.given import a_specification, by

CUTS = 200
APPEND = b"append_events"


@pytest.fixture
def proxy(database: Database) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(database.url)
    yield proxy
    proxy.close()


@pytest.fixture
def commands(proxy: CuttingProxy) -> Iterator[Commands]:
    with make_pool(proxy.client_url, connections_max=4) as pool:
        log = PostgresLog(pool)
        clock = PostgresClock(pool)
        clock.set()
        writer = Writer(ControlPlane(log, clock, all_handlers()))
        writer.start()
        yield Commands(writer)
        writer.stop()


def a_submission() -> SubmitTask:
    return SubmitTask(
        origin=by(fingerprint=b"same"), task_id=uuid7(), specification=a_specification()
    )


def test_commands_whose_connection_is_cut_after_the_commit_are_answered_with_the_true_outcome(
    database: Database, proxy: CuttingProxy, commands: Commands, rng: random.Random
) -> None:
    submissions = [a_submission() for _ in range(CUTS)]

    async def one_cut_each() -> list[Receipt]:
        receipts = []
        for submission in submissions:
            cut = proxy.cut_after if rng.random() < 0.8 else proxy.cut_before
            cut(APPEND)
            receipts.append(await commands.execute(submission))
        return receipts

    receipts = asyncio.run(one_cut_each())

    assert proxy.cuts == CUTS
    assert [receipt.aggregate_id for receipt in receipts] == [one.task_id for one in submissions]
    assert in_the_log(database) == {
        (one.task_id, one.origin.command_id, receipt.cursor.position)
        for one, receipt in zip(submissions, receipts, strict=True)
    }


def test_a_whole_batch_that_is_cut_is_answered_with_the_true_outcome(
    database: Database, proxy: CuttingProxy, commands: Commands
) -> None:
    submissions = [a_submission() for _ in range(500)]
    proxy.cut_after(APPEND)

    receipts = asyncio.run(commands.execute_many(submissions))

    assert proxy.cuts == 1
    assert all(isinstance(receipt, Receipt) for receipt in receipts)
    assert len(in_the_log(database)) == 500


def in_the_log(database: Database) -> set[tuple[object, ...]]:
    with psycopg.connect(database.url) as connection:
        rows = connection.execute(
            "SELECT aggregate_id, command_id, position FROM musterroll.events"
        ).fetchall()
    assert len(rows) == len(set(rows))
    return set(rows)
