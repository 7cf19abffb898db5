"""The group commit: every command gets its own true answer, whatever its neighbours do."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import psycopg
import pytest

from application import writer
from application.answers import Outcome
from application.commands import Command
from application.commands.tasks import (
    CancelTask,
    ReportCompleted,
    ReportReleased,
    RetryTask,
    SubmitTask,
    TaskCommand,
    TaskCommands,
)
from application.control_plane import Handler, Work
from application.ids import uuid7
from application.receipt import Receipt
from domain.errors import (
    AggregateNotFound,
    ConcurrentChange,
    ControlPlaneError,
    DatabaseUnavailable,
    TaskNotAssignable,
    TaskNotFailed,
    VersionMismatch,
)
from domain.task import Task
from domain.task_shape import TaskStatus
from tests.application.desk import Desk, assign, at_the_same_time, cancel, opened, submit
from tests.conftest import Database
from tests.given import ALICE, BOB, a_specification, by


@dataclass(frozen=True, slots=True, kw_only=True)
class Stumble(TaskCommand):
    """A command of the tests' own whose handler fails half way through."""


def stumble(command: Stumble, work: Work) -> Task:
    task = work.load(Task, command.task_id)
    task.cancel("half way", now=work.now)
    raise TaskNotFailed(task.id, task.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakDown(TaskCommand):
    """A command of the tests' own whose handler has a bug."""


def break_down(command: BreakDown, work: Work) -> Task:
    raise ZeroDivisionError


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelBoth(TaskCommand):
    """A command of the tests' own about two tasks, of which the first must be queued."""

    other_id: UUID

    @property
    def needs(self) -> tuple[UUID, ...]:
        return self.task_id, self.other_id


def cancel_both(command: CancelBoth, work: Work) -> Task:
    first, other = work.load(Task, command.task_id), work.load(Task, command.other_id)
    if first.status is not TaskStatus.QUEUED:
        raise TaskNotAssignable(first.id, first.status)
    first.cancel(None, now=work.now)
    other.cancel(None, now=work.now)
    return first


HANDLERS: dict[type[Command], Handler] = {
    Stumble: stumble,
    BreakDown: break_down,
    CancelBoth: cancel_both,
}


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with opened(database.url, handlers=HANDLERS) as desk:
        yield desk


def test_a_command_is_in_the_log_when_it_is_answered(desk: Desk) -> None:
    command = submit()

    receipt = desk.execute(command)

    assert (receipt.aggregate_id, receipt.version) == (command.task_id, 1)
    record = desk.log.read(after=0, limit=10)[0]
    assert record.position == receipt.cursor.position
    assert (record.command_id, record.actor) == (command.origin.command_id, "user/ada")


def test_every_command_of_a_batch_is_told_its_own_position(desk: Desk) -> None:
    commands = [submit() for _ in range(300)]

    receipts = desk.execute_many(*commands)

    records = {one.aggregate_id: one.position for one in desk.log.read(after=0, limit=1_000)}
    assert len(records) == 300
    for command, receipt in zip(commands, receipts, strict=True):
        assert isinstance(receipt, Receipt)
        assert receipt.aggregate_id == command.task_id
        assert receipt.cursor.position == records[command.task_id]


def test_two_commands_on_one_aggregate_in_one_batch_apply_in_order(desk: Desk) -> None:
    task_id = uuid7()

    outcomes = desk.execute_at_once(submit(task_id), cancel(task_id))

    assert [o.version for o in outcomes if isinstance(o, Receipt)] == [1, 2]


def test_a_refused_command_does_not_take_its_neighbours_down(desk: Desk) -> None:
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


@pytest.mark.parametrize("together", [False, True], ids=["neighbours", "one request"])
def test_a_command_that_fails_half_way_leaves_no_trace_and_the_others_are_decided_without_it(
    desk: Desk, together: bool
) -> None:
    task_id, other_id = uuid7(), uuid7()
    commands = [
        submit(task_id),
        submit(other_id),
        Stumble(origin=by(), task_id=task_id),
        cancel(task_id),
        Stumble(origin=by(), task_id=other_id),
    ]

    first, other, stumbled, last, stumbled_too = in_one_batch(desk, commands, together=together)

    assert isinstance(first, Receipt)
    assert isinstance(other, Receipt)
    assert isinstance(stumbled, TaskNotFailed)
    assert isinstance(stumbled_too, TaskNotFailed)
    assert isinstance(last, Receipt)
    assert (first.version, last.version) == (1, 2)
    assert desk.topics(task_id) == ["task.submitted", "task.cancelled"]
    assert desk.topics(other_id) == ["task.submitted"]


@pytest.mark.parametrize("together", [False, True], ids=["neighbours", "one request"])
def test_a_bug_in_one_handler_spoils_that_command_alone(desk: Desk, together: bool) -> None:
    commands = [submit(), BreakDown(origin=by(), task_id=uuid7()), submit()]

    before, broken, after = in_one_batch(desk, commands, together=together)

    assert isinstance(before, Receipt)
    assert isinstance(broken, ZeroDivisionError)
    assert isinstance(after, Receipt)
    assert desk.log.head() == 2


@pytest.mark.parametrize("together", [False, True], ids=["neighbours", "one request"])
def test_a_command_that_cannot_be_encoded_spoils_itself_alone(desk: Desk, together: bool) -> None:
    task_id, monster_id = uuid7(), uuid7()
    monster = SubmitTask(
        origin=by(), task_id=monster_id, specification=a_specification(input=2**80)
    )
    commands = [submit(task_id), monster, cancel(monster_id), cancel(task_id), submit()]

    first, failed, unknown, cancelled, last = in_one_batch(desk, commands, together=together)

    assert isinstance(failed, TypeError)
    assert isinstance(unknown, AggregateNotFound)
    assert [one.version for one in (first, cancelled, last) if isinstance(one, Receipt)] == [
        1,
        2,
        1,
    ]
    assert sorted(desk.topics()) == ["task.cancelled", "task.submitted", "task.submitted"]


def test_an_id_that_is_taken_is_refused_alone(desk: Desk) -> None:
    taken = uuid7()

    first, second, other = desk.execute_at_once(submit(taken), submit(taken), submit())

    assert isinstance(first, Receipt)
    assert isinstance(second, ConcurrentChange)
    assert isinstance(other, Receipt)


def test_an_id_that_another_node_took_is_refused_alone(database: Database) -> None:
    with opened(database.url) as here, opened(database.url) as there:
        taken = there.execute(submit()).aggregate_id

        before, refused, after = here.execute_at_once(submit(), submit(taken), submit())

        assert isinstance(before, Receipt)
        assert isinstance(refused, ConcurrentChange)
        assert isinstance(after, Receipt)
        assert here.topics() == ["task.submitted"] * 3


def test_what_changed_nothing_stands_after_what_it_was_decided_upon(desk: Desk) -> None:
    task_id = uuid7()

    submitted, cancelled, again = desk.execute_at_once(
        submit(task_id), cancel(task_id), cancel(task_id)
    )

    assert isinstance(submitted, Receipt)
    assert isinstance(cancelled, Receipt)
    assert isinstance(again, Receipt)
    assert desk.topics() == ["task.submitted", "task.cancelled"]
    assert (again.version, again.cursor) == (2, cancelled.cursor)


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


# Other nodes.


def test_a_change_by_another_node_is_seen_before_deciding_again(database: Database) -> None:
    with opened(database.url) as here, opened(database.url) as there:
        task_id = here.execute(submit()).aggregate_id
        there.execute(assign(task_id))

        receipt = here.execute(cancel(task_id))

        assert receipt.version == 3


def test_a_conflict_makes_only_those_decide_again_who_stood_on_it_and_all_keep_their_place(
    database: Database,
) -> None:
    decided: list[UUID] = []

    def cancelled(command: CancelTask, work: Work) -> Task:
        decided.append(command.task_id)
        return TaskCommands().cancel(command, work)

    with (
        opened(database.url, handlers={CancelTask: cancelled}) as here,
        opened(database.url) as there,
    ):
        tasks = [here.execute(submit()).aggregate_id for _ in range(6)]
        changed = {tasks[1], tasks[4]}
        for task_id in changed:
            there.execute(assign(task_id))

        outcomes = here.execute_at_once(*map(cancel, tasks))

        versions = [one.version for one in outcomes if isinstance(one, Receipt)]
        assert versions == [2, 3, 2, 2, 3, 2]
        assert Counter(decided) == {one: 2 if one in changed else 1 for one in tasks}
        written = here.log.read(after=8, limit=100)
        assert [(one.topic, one.aggregate_id) for one in written] == [
            ("task.cancelled", task_id) for task_id in tasks
        ]


def test_what_was_decided_upon_a_change_that_came_to_nothing_is_decided_again(
    database: Database,
) -> None:
    with opened(database.url) as here, opened(database.url) as there:
        task_id = here.execute(submit()).aggregate_id
        there.execute(assign(task_id))
        there.execute(released(there, task_id))

        outcomes = here.execute_at_once(assign(task_id), released(here, task_id, attempt=1))

        # Upon what was true at first, the second gave attempt 1 back; it was over long ago.
        assigned, late = outcomes
        assert isinstance(assigned, Receipt)
        assert assigned.version == 4
        assert isinstance(late, Receipt)
        assert late.refusal is not None
        assert here.task(task_id).status is TaskStatus.ASSIGNED


def test_a_refusal_upon_a_change_that_came_to_nothing_is_decided_again(
    database: Database,
) -> None:
    with opened(database.url) as here, opened(database.url) as there:
        task_id = here.execute(submit()).aggregate_id
        there.execute(cancel(task_id))

        first, second = here.execute_at_once(assign(task_id), assign(task_id, BOB))

        for refused in (first, second):
            assert isinstance(refused, TaskNotAssignable)
            assert "is cancelled" in refused.message


def test_what_stood_on_a_change_only_through_another_is_decided_again_too(
    database: Database,
) -> None:
    with opened(database.url, handlers=HANDLERS) as here, opened(database.url) as there:
        first_id, other_id = (here.execute(submit()).aggregate_id for _ in range(2))
        there.execute(assign(first_id))

        both, assigned = here.execute_at_once(
            CancelBoth(origin=by(), task_id=first_id, other_id=other_id), assign(other_id)
        )

        assert isinstance(both, TaskNotAssignable)
        assert isinstance(assigned, Receipt)
        assert here.topics(other_id) == ["task.submitted", "task.assigned"]


def test_a_child_finds_the_parent_that_another_node_submitted(database: Database) -> None:
    with opened(database.url) as here, opened(database.url) as there:
        parent_id = there.execute(submit()).aggregate_id
        specification = a_specification(parent_id=parent_id)

        child = here.execute(SubmitTask(origin=by(), task_id=uuid7(), specification=specification))

        assert here.task(child.aggregate_id).depth == 1


def test_a_refusal_does_not_stand_on_what_another_node_has_changed_since(
    database: Database,
) -> None:
    with opened(database.url) as here, opened(database.url) as there:
        task_id = here.execute(submit()).aggregate_id
        there.execute(assign(task_id))

        receipt = here.execute(cancel(task_id, expected_version=2))

        assert receipt.version == 3


def test_two_nodes_that_race_on_the_same_tasks_lose_and_double_nothing(
    database: Database, rng: random.Random
) -> None:
    with opened(database.url) as here, opened(database.url) as there:
        tasks = [here.execute(submit()).aggregate_id for _ in range(5)]

        def assigned_by(desk: Desk) -> Callable[[], list[Receipt | ControlPlaneError]]:
            return partial(desk.execute_many, *map(assign, rng.sample(tasks, len(tasks))))

        sides = at_the_same_time(assigned_by(here), assigned_by(there))

        assert sum(isinstance(one, Receipt) for side in sides for one in side) == len(tasks)
        for task_id in tasks:
            task = here.task(task_id)
            assert (task.status, task.attempt) == (TaskStatus.ASSIGNED, 1)


# Its own life.


def test_an_aggregate_with_a_long_history_gets_a_snapshot(database: Database) -> None:
    with opened(database.url) as desk:
        task_id = desk.execute(submit()).aggregate_id
        for _ in range(60):
            desk.execute(assign(task_id))
            desk.execute(released(desk, task_id))

    with psycopg.connect(database.url) as connection:
        kept = connection.execute("SELECT version FROM musterroll.snapshots").fetchall()
    assert kept == [(100,)]
    with opened(database.url) as desk:
        assert desk.task(task_id).version == 121


def test_a_writer_that_stops_decides_what_waits_and_takes_no_more(desk: Desk) -> None:
    async def hand_over_and_stop() -> list[Outcome]:
        waiting = desk.writer.submit([submit()])
        await desk.writer.stop()
        return await waiting

    (outcome,) = desk.loop.run(hand_over_and_stop())

    assert isinstance(outcome, Receipt)
    with pytest.raises(DatabaseUnavailable):
        desk.execute(submit())


def test_a_request_is_written_as_a_whole_however_large(desk: Desk) -> None:
    sizes = [300, 1, 700, 2]

    answers = desk.requests_at_once(*(([submit() for _ in range(size)], None) for size in sizes))

    records = desk.log.read(after=0, limit=2_000)
    assert [len(answer) for answer in answers if isinstance(answer, list)] == sizes
    start = 0
    for size in sizes:
        assert len({one.recorded_at for one in records[start : start + size]}) == 1
        start += size
    assert len(records) == start


def test_what_is_large_is_written_bit_by_bit_and_in_order(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "BATCH_BYTES_MAX", 1)
    commands = [submit() for _ in range(20)]

    receipts = desk.execute_at_once(*commands)

    assert [one.cursor.position for one in receipts if isinstance(one, Receipt)] == [*range(1, 21)]
    assert [record.aggregate_id for record in desk.log.read(after=0, limit=100)] == [
        command.task_id for command in commands
    ]


def test_when_too_many_wait_the_next_is_refused_at_once_and_the_others_are_decided(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAITING_COMMANDS_MAX", 3)

    async def hand_over() -> list[Outcome]:
        waiting = [desk.writer.submit([submit(), submit()]), desk.writer.submit([submit()])]
        assert desk.writer.waiting == 3
        with pytest.raises(DatabaseUnavailable, match="wait already"):
            desk.writer.submit([submit()])
        return [outcome for answer in waiting for outcome in await answer]

    assert [type(outcome) for outcome in desk.loop.run(hand_over())] == [Receipt] * 3
    assert desk.writer.waiting == 0
    assert isinstance(desk.execute(submit()), Receipt)


def test_a_caller_that_goes_away_leaves_the_others_untouched(desk: Desk) -> None:
    async def one_leaves() -> list[Outcome]:
        gone, stays = desk.writer.submit([submit()]), desk.writer.submit([submit()])
        gone.cancel()
        return await stays

    (outcome,) = desk.loop.run(one_leaves())

    assert isinstance(outcome, Receipt)
    assert desk.log.head() == 1


def in_one_batch(desk: Desk, commands: Sequence[Command], *, together: bool) -> list[object]:
    """As one request, or each as its own."""
    return list(desk.hand_over(*commands) if together else desk.execute_at_once(*commands))


def assigned_to(desk: Desk, agent_id: UUID) -> UUID:
    task_id = desk.execute(submit()).aggregate_id
    desk.execute(assign(task_id, agent_id))
    return task_id


def released(desk: Desk, task_id: UUID, *, attempt: int | None = None) -> Command:
    attempt = attempt or desk.task(task_id).attempt
    return ReportReleased(origin=by(), task_id=task_id, agent_id=ALICE, attempt=attempt)
