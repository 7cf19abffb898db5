"""A request that somebody may repeat: written once, and answered the same for ever."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar
from uuid import UUID

import psycopg
import pytest

from application.accounts.administration import Accounts
from application.answers import Failed
from application.commands import Command, RequestKey
from application.commands.tasks import ApproveTask, ReportCompleted, RetryTask, SubmitTask
from application.ids import uuid7
from application.receipt import Receipt
from domain.errors import (
    AggregateNotFound,
    ControlPlaneError,
    IdempotencyKeyReused,
    StaleAttempt,
    TaskNotFailed,
)
from tests.application.desk import Desk, assign, at_the_same_time, cancel, opened, submit
from tests.conftest import Database
from tests.given import ALICE, a_key, a_specification, by
from tests.infrastructure.accounts_stage import accounts_of, the_operator

ResultT = TypeVar("ResultT")


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with opened(database.url) as desk:
        yield desk


def another_under(key: RequestKey) -> RequestKey:
    return replace(key, fingerprint=b"another")


def kept_in(database: Database) -> int:
    """How many requests are kept."""
    with psycopg.connect(database.url) as connection:
        rows = connection.execute("SELECT count(*) FROM musterroll.requests").fetchall()
    count: int = rows[0][0]
    return count


def facts_of(outcome: object) -> tuple[object, ...]:
    """What an answer says, whether it is the first or a repetition."""
    if isinstance(outcome, Receipt):
        refusal = outcome.refusal and facts_of(outcome.refusal)
        return outcome.aggregate_id, outcome.version, outcome.cursor, refusal
    assert isinstance(outcome, ControlPlaneError)
    return outcome.code, outcome.message


# Repeated.


def test_repeating_a_command_returns_its_first_answer(desk: Desk) -> None:
    command, key = submit(), a_key()
    first = desk.execute(command, key)
    desk.execute(cancel(command.task_id))

    again = desk.execute(submit(), key)

    assert again == replace(first, replayed=True)
    assert desk.log.head() == 2


def test_repeating_it_at_the_same_moment_writes_it_once(desk: Desk) -> None:
    outcomes = desk.execute_at_once(*(submit() for _ in range(5)), key=a_key())

    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    assert [receipt.replayed for receipt in receipts] == [False, True, True, True, True]
    assert len({receipt.aggregate_id for receipt in receipts}) == 1
    assert desk.log.head() == 1


def test_without_a_key_nobody_can_repeat_it_and_nothing_is_kept(
    desk: Desk, database: Database
) -> None:
    outcomes = desk.execute_many(submit(), submit())

    assert [type(outcome) for outcome in outcomes] == [Receipt, Receipt]
    assert kept_in(database) == 0


def test_a_stale_report_is_refused_and_the_refusal_is_recorded_once(desk: Desk) -> None:
    task_id = desk.execute(submit()).aggregate_id
    desk.execute(assign(task_id))
    key = a_key()
    report = ReportCompleted(origin=by(), task_id=task_id, agent_id=ALICE, attempt=2, result=None)

    first, again = desk.execute(report, key), desk.execute(report, key)

    assert isinstance(first.refusal, StaleAttempt)
    assert isinstance(again.refusal, StaleAttempt)
    assert again.refusal.message == first.refusal.message
    assert desk.topics() == ["task.submitted", "task.assigned", "task.report_refused"]


@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
def test_a_request_of_many_commands_is_one_row_and_gets_the_same_outcomes_in_place_again(
    database: Database, restarted: bool
) -> None:
    with opened(database.url) as desk:
        first_id, second_id = uuid7(), uuid7()
        desk.execute(submit(first_id))
        desk.execute(assign(first_id))
        commands, key = a_request_of_many(desk, first_id=first_id, second_id=second_id), a_key()

        first = desk.hand_over(*commands, key=key)
        if not restarted:
            again = desk.hand_over(*commands, key=key)
    if restarted:
        with opened(database.url) as desk:
            desk.execute(cancel(second_id))
            again = desk.hand_over(*commands, key=key)

    kinds = [type(getattr(one, "refusal", None) or one) for one in first]
    assert kinds == [Receipt, AggregateNotFound, Receipt, TaskNotFailed, Receipt, StaleAttempt]
    assert [facts_of(one) for one in again] == [facts_of(one) for one in first]
    assert all(one.replayed for one in again if isinstance(one, Receipt))
    assert kept_in(database) == 1


def a_request_of_many(desk: Desk, *, first_id: UUID, second_id: UUID) -> list[Command]:
    """Of every kind of outcome: done, refused, changed nothing, refused on record."""
    late = ReportCompleted(origin=by(), task_id=first_id, agent_id=ALICE, attempt=9, result=None)
    return [
        submit(second_id),
        cancel(uuid7()),
        cancel(first_id),
        RetryTask(origin=by(), task_id=first_id),
        cancel(first_id),
        late,
    ]


@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
def test_what_could_not_be_done_twice_still_gets_its_first_answer(
    database: Database, restarted: bool
) -> None:
    key = a_key()
    with opened(database.url) as desk:
        specification = a_specification(approval=True)
        submission = SubmitTask(origin=by(), task_id=uuid7(), specification=specification)
        task_id = desk.execute(submission).aggregate_id
        approval = ApproveTask(origin=by(), task_id=task_id)
        first = desk.execute(approval, key)
        if not restarted:
            again = desk.execute(approval, key)
    if restarted:
        with opened(database.url) as desk:
            again = desk.execute(approval, key)

    assert again == replace(first, replayed=True)


def test_a_request_of_which_nothing_could_be_done_is_free_to_be_asked_again(
    desk: Desk, database: Database
) -> None:
    key, task_id = a_key(), uuid7()
    first = desk.execute_many(cancel(task_id), cancel(uuid7()), key=key)
    desk.execute(submit(task_id))

    again = desk.execute_many(cancel(task_id), cancel(uuid7()), key=key)

    assert [type(one) for one in first] == [AggregateNotFound, AggregateNotFound]
    assert [type(one) for one in again] == [Receipt, AggregateNotFound]
    assert kept_in(database) == 1


def test_what_went_wrong_on_our_side_is_told_so_again_and_not_done_under_the_same_key(
    desk: Desk,
) -> None:
    monster = SubmitTask(origin=by(), task_id=uuid7(), specification=a_specification(input=2**80))
    commands, key = [submit(), monster, submit()], a_key()
    first = desk.hand_over(*commands, key=key)

    again = desk.hand_over(*commands, key=key)

    assert [type(one) for one in first] == [Receipt, TypeError, Receipt]
    assert [type(one) for one in again] == [Receipt, Failed, Receipt]
    assert desk.log.head() == 2


# Another request under the same key.


class Uses:
    """Ways to use a key, by the kind of route that they stand for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        asyncio.run(self._with_accounts(the_operator))

    def a_command(self, desk: Desk, key: RequestKey) -> object:
        return desk.execute(submit(), key)

    def many_commands(self, desk: Desk, key: RequestKey) -> object:
        return desk.execute_many(submit(), cancel(uuid7()), submit(), key=key)

    def an_account(self, desk: Desk, key: RequestKey) -> object:
        async def added(accounts: Accounts) -> object:
            by, name = await the_operator(accounts), uuid7().hex
            return await accounts.add_client(by, name=name, scopes=[], tenant=None, request=key)

        return asyncio.run(self._with_accounts(added))

    def a_command_that_is_refused(self, desk: Desk, key: RequestKey) -> object:
        return desk.execute(cancel(uuid7()), key)

    def left_behind(self) -> list[object]:
        """Everything that stands in the database."""
        with psycopg.connect(self._database.owner_url) as owner:
            return [
                owner.execute(f"SELECT t::text FROM musterroll.{table} t").fetchall()
                for table in ("events", "requests", "accounts")
            ]

    async def _with_accounts(self, use: Callable[[Accounts], Awaitable[ResultT]]) -> ResultT:
        async with accounts_of(self._database) as accounts:
            return await use(accounts)


WAYS: dict[str, Callable[[Uses, Desk, RequestKey], object]] = {
    "a command": Uses.a_command,
    "many commands": Uses.many_commands,
    "an account": Uses.an_account,
    "a command that is refused": Uses.a_command_that_is_refused,
}
THAT_KEEP_THEIR_KEY = list(WAYS)[:3]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "at another node"])
@pytest.mark.parametrize("asked_for", list(WAYS))
@pytest.mark.parametrize("used_by", THAT_KEEP_THEIR_KEY)
def test_another_request_under_the_same_key_is_refused_as_a_whole(
    database: Database, used_by: str, asked_for: str, elsewhere: bool
) -> None:
    uses, key = Uses(database), a_key()
    with opened(database.url) as here, opened(database.url) as there:
        WAYS[used_by](uses, here, key)
        before = uses.left_behind()

        with pytest.raises(IdempotencyKeyReused):
            WAYS[asked_for](uses, there if elsewhere else here, another_under(key))

        assert uses.left_behind() == before


def test_of_two_requests_under_one_key_in_one_batch_the_first_is_done(desk: Desk) -> None:
    key = a_key()

    first, second, third = desk.requests_at_once(
        ([submit(), submit()], key), ([submit()], another_under(key)), ([submit()], None)
    )

    assert isinstance(first, list)
    assert [type(one) for one in first] == [Receipt, Receipt]
    assert isinstance(second, IdempotencyKeyReused)
    assert isinstance(third, list)
    assert desk.log.head() == 3


def test_a_reused_key_takes_no_neighbour_down(database: Database) -> None:
    key = a_key()
    with opened(database.url) as here, opened(database.url) as there:
        first = there.execute(submit(), key)

        before, again, other, after = here.requests_at_once(
            ([submit()], a_key()),
            ([submit()], key),
            ([submit()], another_under(key)),
            ([submit()], None),
        )

        assert isinstance(other, IdempotencyKeyReused)
        assert again == [replace(first, replayed=True)]
        for neighbour in (before, after):
            assert isinstance(neighbour, list)
            assert [type(one) for one in neighbour] == [Receipt]
        assert len(here.topics()) == 3


RACES = [
    ("a command", "a command"),
    ("many commands", "many commands"),
    ("a command", "many commands"),
    ("a command", "an account"),
    ("many commands", "an account"),
]


@pytest.mark.parametrize(("one", "other"), RACES)
def test_two_nodes_that_race_for_a_key_do_one_of_the_requests(
    database: Database, one: str, other: str
) -> None:
    uses = Uses(database)
    with opened(database.url) as here, opened(database.url) as there:
        for round_ in range(1, 11):
            key = a_key()
            outcomes = at_the_same_time(
                partial(attempted, partial(WAYS[one], uses, here, key)),
                partial(attempted, partial(WAYS[other], uses, there, another_under(key))),
            )

            assert [isinstance(each, IdempotencyKeyReused) for each in outcomes].count(True) == 1
            assert kept_in(database) == round_


@pytest.mark.parametrize("way", THAT_KEEP_THEIR_KEY)
def test_two_nodes_that_race_with_the_same_request_do_it_once(database: Database, way: str) -> None:
    uses, key = Uses(database), a_key()
    with opened(database.url) as here, opened(database.url) as there:
        outcomes = at_the_same_time(*(partial(WAYS[way], uses, one, key) for one in (here, there)))

        once = uses.left_behind()
        WAYS[way](uses, here, key)
        assert uses.left_behind() == once
        assert kept_in(database) == 1
        if way != "an account":
            first, second = (one if isinstance(one, list) else [one] for one in outcomes)
            assert [facts_of(each) for each in first] == [facts_of(each) for each in second]


def attempted(use: Callable[[], object]) -> object:
    try:
        return use()
    except ControlPlaneError as error:
        return error
