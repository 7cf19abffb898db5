"""The group commit: every command gets its own true answer, whatever its neighbours do."""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from application.commands import Command
from application.commands.tasks import (
    AssignTask,
    CancelTask,
    ReportCompleted,
    ReportReleased,
    RetryTask,
    SubmitTask,
    TaskCommand,
)
from application.control_plane import ControlPlane, Handler, Work
from application.handlers import all_handlers
from application.ids import uuid7
from application.receipt import Receipt
from application.writer import Commands, Writer
from domain.aggregate import Aggregate
from domain.errors import (
    AggregateNotFound,
    ConcurrentChange,
    ControlPlaneError,
    DatabaseUnavailable,
    IdempotencyKeyReused,
    StaleAttempt,
    TaskNotFailed,
    VersionMismatch,
)
from domain.task import Task
from domain.task_shape import TaskStatus
from infrastructure.postgres.log import PostgresLog
from infrastructure.postgres.pool import make_pool
from tests.conftest import Database
from tests.given import ALICE, BOB, MINUTE, NOON, a_decision, a_specification, by


@dataclass
class Desk:
    """A writer on a database, with its log."""

    log: PostgresLog
    writer: Writer
    commands: Commands

    def execute(self, command: Command) -> Receipt:
        return asyncio.run(self.commands.execute(command))

    def execute_many(self, *commands: Command) -> list[Receipt | ControlPlaneError]:
        return asyncio.run(self.commands.execute_many(commands))

    def execute_at_once(self, *commands: Command) -> list[Receipt | BaseException]:
        """In one batch: they are all waiting when the writer begins."""
        futures = [self.writer.submit(command) for command in commands]
        self.writer.start()
        return [future.exception(30) or future.result() for future in futures]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stumble(TaskCommand):
    """A command of the tests' own whose handler fails half way through."""


def stumble(command: Stumble, work: Work) -> Task:
    task = work.load(Task, command.task_id)
    task.cancel("half way", now=work.now)
    raise TaskNotFailed(task.id, task.status)


def break_down(command: "BreakDown", work: Work) -> Task:
    raise ZeroDivisionError


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakDown(TaskCommand):
    """A command of the tests' own whose handler has a bug."""


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with opened(database) as desk:
        desk.writer.start()
        yield desk
        desk.writer.stop()


class opened:  # noqa: N801 - reads as a word in a with statement
    """A desk whose writer has not begun yet."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: NOON) -> None:
        self._pool = make_pool(database.url, connections_max=4)
        handlers: dict[type[Command], Handler] = {
            **all_handlers(),
            Stumble: stumble,
            BreakDown: break_down,
        }
        log = PostgresLog(self._pool)
        writer = Writer(ControlPlane(log, clock, handlers))
        self._desk = Desk(log, writer, Commands(writer))

    def __enter__(self) -> Desk:
        self._pool.open()
        return self._desk

    def __exit__(self, *_: object) -> None:
        self._pool.close()


def submit(task_id: UUID | None = None, **changes: Any) -> SubmitTask:
    return SubmitTask(
        origin=by(**changes), task_id=task_id or uuid7(), specification=a_specification()
    )


def cancel(task_id: UUID, **changes: Any) -> CancelTask:
    return CancelTask(origin=by(**changes), task_id=task_id)


def test_a_command_is_in_the_log_when_it_is_answered(desk: Desk) -> None:
    command = submit()

    receipt = desk.execute(command)

    assert (receipt.aggregate_id, receipt.version) == (command.task_id, 1)
    record = desk.log.read(after=0, limit=10)[0]
    assert record.position == receipt.cursor.position
    assert (record.command_id, record.actor) == (command.origin.command_id, "user/ada")


def test_two_commands_on_one_aggregate_in_one_batch_apply_in_order(database: Database) -> None:
    with opened(database) as desk:
        task_id = uuid7()

        outcomes = desk.execute_at_once(submit(task_id), cancel(task_id))

        assert [o.version for o in outcomes if isinstance(o, Receipt)] == [1, 2]
        desk.writer.stop()


def test_a_refused_command_does_not_take_its_neighbours_down(database: Database) -> None:
    with opened(database) as desk:
        task_id = uuid7()

        first, refused, unknown, last = desk.execute_at_once(
            submit(task_id),
            RetryTask(origin=by(), task_id=task_id),
            cancel(uuid7()),
            cancel(task_id),
        )

        assert isinstance(first, Receipt)
        assert isinstance(refused, TaskNotFailed)
        assert isinstance(unknown, AggregateNotFound)
        assert isinstance(last, Receipt)
        assert last.version == 2
        desk.writer.stop()


def test_a_command_that_fails_half_way_leaves_no_trace_and_its_neighbours_are_decided_without_it(
    database: Database,
) -> None:
    with opened(database) as desk:
        task_id = uuid7()

        first, stumbled, last = desk.execute_at_once(
            submit(task_id), Stumble(origin=by(), task_id=task_id), cancel(task_id)
        )

        assert isinstance(first, Receipt)
        assert isinstance(stumbled, TaskNotFailed)
        assert isinstance(last, Receipt)
        assert last.version == 2
        assert [r.topic for r in desk.log.read(after=0, limit=9)] == [
            "task.submitted",
            "task.cancelled",
        ]
        desk.writer.stop()


def test_a_bug_in_one_handler_is_told_to_its_caller_alone(database: Database) -> None:
    with opened(database) as desk:
        broken, fine = desk.execute_at_once(BreakDown(origin=by(), task_id=uuid7()), submit())

        assert isinstance(broken, ZeroDivisionError)
        assert isinstance(fine, Receipt)
        desk.writer.stop()


def test_repeating_a_command_returns_its_first_answer(desk: Desk) -> None:
    command = submit(fingerprint=b"body")
    first = desk.execute(command)
    desk.execute(cancel(command.task_id))

    again = desk.execute(command)

    assert again == replace(first, replayed=True)
    assert desk.log.head() == 2


def test_repeating_it_at_the_same_moment_writes_it_once(database: Database) -> None:
    with opened(database) as desk:
        command = submit(fingerprint=b"body")

        outcomes = desk.execute_at_once(*[command] * 5)

        receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
        assert [receipt.replayed for receipt in receipts] == [False, True, True, True, True]
        assert desk.log.head() == 1
        desk.writer.stop()


def test_the_same_id_with_another_body_is_refused(desk: Desk) -> None:
    command = submit(fingerprint=b"body")
    desk.execute(command)

    with pytest.raises(IdempotencyKeyReused):
        desk.execute(replace(command, origin=replace(command.origin, fingerprint=b"another")))


def test_a_stale_report_is_refused_and_the_refusal_is_recorded_once(desk: Desk) -> None:
    task_id = assigned_to(desk, ALICE)
    report = ReportCompleted(
        origin=by(fingerprint=b"x"), task_id=task_id, agent_id=ALICE, attempt=2, result=None
    )

    first, again = desk.execute(report), desk.execute(report)

    assert isinstance(first.refusal, StaleAttempt)
    assert isinstance(again.refusal, StaleAttempt)
    assert again.refusal.message == first.refusal.message
    topics = [record.topic for record in desk.log.read(after=0, limit=9)]
    assert topics == ["task.submitted", "task.assigned", "task.report_refused"]


def test_an_agent_that_never_held_a_task_learns_nothing_of_it_and_leaves_no_trace(
    desk: Desk,
) -> None:
    task_id = assigned_to(desk, ALICE)

    with pytest.raises(AggregateNotFound):
        desk.execute(
            ReportCompleted(origin=by(), task_id=task_id, agent_id=BOB, attempt=1, result=None)
        )

    assert desk.log.head() == 2


def test_a_command_that_expects_another_version_is_refused(desk: Desk) -> None:
    task_id = desk.execute(submit()).aggregate_id

    with pytest.raises(VersionMismatch) as refused:
        desk.execute(cancel(task_id, expected_version=7))

    assert refused.value.facts == {"expected": 7, "found": 1}


def test_another_tenants_task_is_not_found(desk: Desk) -> None:
    task_id = desk.execute(submit()).aggregate_id

    with pytest.raises(AggregateNotFound):
        desk.execute(cancel(task_id, tenant="another"))


def test_a_change_by_another_node_is_seen_before_deciding_again(database: Database) -> None:
    with opened(database) as here, opened(database) as there:
        here.writer.start()
        there.writer.start()
        task_id = here.execute(submit()).aggregate_id
        there.execute(AssignTask(origin=by(), task_id=task_id, decision=a_decision(), lease=MINUTE))

        receipt = here.execute(cancel(task_id))

        assert receipt.version == 3
        here.writer.stop()
        there.writer.stop()


def test_two_nodes_that_race_on_the_same_tasks_lose_and_double_nothing(
    database: Database, rng: random.Random
) -> None:
    with opened(database) as here, opened(database) as there:
        for desk in (here, there):
            desk.writer.start()
        tasks = [here.execute(submit()).aggregate_id for _ in range(5)]

        async def race() -> list[list[Receipt | ControlPlaneError]]:
            return await asyncio.gather(
                *(
                    desk.commands.execute_many(
                        [
                            AssignTask(
                                origin=by(), task_id=task, decision=a_decision(), lease=MINUTE
                            )
                            for task in rng.sample(tasks, len(tasks))
                        ]
                    )
                    for desk in (here, there)
                )
            )

        outcomes = [outcome for side in asyncio.run(race()) for outcome in side]

        assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == len(tasks)
        for task in tasks:
            loaded = here.log.load(task)
            assert isinstance(loaded, Task)
            assert (loaded.status, loaded.attempt) == (TaskStatus.ASSIGNED, 1)
        here.writer.stop()
        there.writer.stop()


def test_an_aggregate_with_a_long_history_gets_a_snapshot(desk: Desk, database: Database) -> None:
    task_id = desk.execute(submit()).aggregate_id
    for _ in range(60):
        desk.execute(AssignTask(origin=by(), task_id=task_id, decision=a_decision(), lease=MINUTE))
        desk.execute(release(desk, task_id))

    with psycopg.connect(database.url) as connection:
        kept = connection.execute("SELECT version FROM musterroll.snapshots").fetchall()

    assert kept == [(100,)]
    assert version_of(desk.log.load(task_id)) == 121


def test_a_stopping_writer_takes_no_more_commands(database: Database) -> None:
    with opened(database) as desk:
        desk.writer.start()
        desk.writer.stop()

        with pytest.raises(DatabaseUnavailable):
            desk.execute(submit())


def test_a_caller_that_goes_away_leaves_the_others_untouched(database: Database) -> None:
    with opened(database) as desk:
        gone = desk.writer.submit(submit())
        stays = desk.writer.submit(submit())
        gone.cancel()

        desk.writer.start()

        assert stays.result(30).version == 1
        desk.writer.stop()
        assert desk.log.head() == 1


def assigned_to(desk: Desk, agent_id: UUID) -> UUID:
    task_id = desk.execute(submit()).aggregate_id
    decision = a_decision(agent_id)
    desk.execute(AssignTask(origin=by(), task_id=task_id, decision=decision, lease=MINUTE))
    return task_id


def release(desk: Desk, task_id: UUID) -> Command:
    task = desk.log.load(task_id)
    assert isinstance(task, Task)
    return ReportReleased(origin=by(), task_id=task_id, agent_id=ALICE, attempt=task.attempt)


def version_of(aggregate: Aggregate | None) -> int:
    assert aggregate is not None
    return aggregate.version


def test_a_command_that_cannot_be_encoded_does_not_take_its_neighbours_down(
    database: Database,
) -> None:
    with opened(database) as desk:
        monster = SubmitTask(
            origin=by(), task_id=uuid7(), specification=a_specification(input=2**80)
        )

        before, failed, after = desk.execute_at_once(submit(), monster, submit())

        assert isinstance(before, Receipt)
        assert isinstance(failed, TypeError)
        assert isinstance(after, Receipt)
        assert desk.log.head() == 2
        desk.writer.stop()


def test_an_id_that_is_taken_is_refused_alone(database: Database) -> None:
    with opened(database) as desk:
        taken = uuid7()

        first, second, other = desk.execute_at_once(submit(taken), submit(taken), submit())

        assert isinstance(first, Receipt)
        assert isinstance(second, ConcurrentChange)
        assert isinstance(other, Receipt)
        desk.writer.stop()
