"""What comes while a batch is being written: nobody is answered by what may not come to be."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from application.answers import Outcome
from application.commands import Command, RequestKey
from application.commands.tasks import ApproveTask, RejectTask, SubmitTask
from application.ids import uuid7
from application.ports import KeptRequest, Record, Written
from application.receipt import Receipt
from domain.errors import (
    DatabaseUnavailable,
    IdempotencyKeyReused,
    TaskNotAssignable,
    TaskNotAwaitingApproval,
)
from infrastructure.postgres.log import PostgresLog
from tests.application.desk import Desk, assign, cancel, opened, submit
from tests.conftest import Database
from tests.given import BOB, a_key, a_specification, by

AHEAD_SECONDS = 0.2
"""How long what came meanwhile gets to go as far as it can."""


class HeldLog(PostgresLog):
    """Appends may be held, each until it is let through, and the first may be lost."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self.held: asyncio.Event | None = None
        self.arrived = asyncio.Event()
        self.looked_up = asyncio.Event()
        self.lose = False

    async def append(self, records: Sequence[Record], requests: Sequence[KeptRequest]) -> Written:
        self.arrived.set()
        if self.held is not None:
            await self.held.wait()
        if self.lose:
            self.lose = False
            raise DatabaseUnavailable("lost on the way there")
        return await super().append(records, requests)

    async def kept_requests(self, keys: Collection[UUID]) -> dict[UUID, KeptRequest]:
        kept = await super().kept_requests(keys)
        self.looked_up.set()
        return kept


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with opened(database.url, log=HeldLog) as desk:
        yield desk


Asked = tuple[Command, RequestKey | None]
Answer = Outcome | BaseException


def asked_while_written(desk: Desk, first: Sequence[Asked], then: Sequence[Asked]) -> list[Answer]:
    """The answers to those whose batch is being written, then to those that came meanwhile."""
    log = desk.log
    assert isinstance(log, HeldLog)

    async def story() -> list[Answer]:
        log.held = asyncio.Event()
        log.arrived.clear()
        log.looked_up.clear()
        answers = [desk.writer.submit([command], key) for command, key in first]
        await log.arrived.wait()
        answers += [desk.writer.submit([command], key) for command, key in then]
        with suppress(TimeoutError):
            await asyncio.wait_for(log.looked_up.wait(), AHEAD_SECONDS)
        assert not any(answer.done() for answer in answers), "answered before the commit"
        log.held.set()
        told = await asyncio.gather(*answers, return_exceptions=True)
        return [one if isinstance(one, BaseException) else one[0] for one in told]

    return desk.loop.run(story())


def a_task_that_awaits_approval(desk: Desk) -> UUID:
    specification = a_specification(approval=True)
    command = SubmitTask(origin=by(), task_id=uuid7(), specification=specification)
    return desk.execute(command).aggregate_id


def test_what_comes_meanwhile_is_decided_upon_what_is_being_written(desk: Desk) -> None:
    task_id = uuid7()

    submitted, cancelled, refused = asked_while_written(
        desk,
        [(submit(task_id), None)],
        [(cancel(task_id), None), (assign(task_id), None)],
    )

    assert isinstance(submitted, Receipt)
    assert isinstance(cancelled, Receipt)
    assert (submitted.version, cancelled.version) == (1, 2)
    assert isinstance(refused, TaskNotAssignable)
    assert desk.topics() == ["task.submitted", "task.cancelled"]


def test_a_repetition_that_comes_meanwhile_gets_the_first_answer(desk: Desk) -> None:
    task_id, key = a_task_that_awaits_approval(desk), a_key()
    approve = ApproveTask(origin=by(), task_id=task_id)

    first, again = asked_while_written(desk, [(approve, key)], [(approve, key)])

    assert isinstance(first, Receipt)
    assert again == replace(first, replayed=True)


@pytest.mark.parametrize("kind", [RejectTask, SubmitTask])
def test_another_request_under_a_key_that_is_being_written_is_refused(
    desk: Desk, kind: type[Command]
) -> None:
    task_id, key = a_task_that_awaits_approval(desk), a_key()
    other: Command = submit()
    if kind is RejectTask:
        other = RejectTask(origin=by(), task_id=task_id, reason="no")
    approve = ApproveTask(origin=by(), task_id=task_id)

    first, refused = asked_while_written(
        desk, [(approve, key)], [(other, replace(key, fingerprint=b"another"))]
    )

    assert isinstance(first, Receipt)
    assert isinstance(refused, IdempotencyKeyReused)
    assert desk.topics() == ["task.submitted", "task.approved"]


def test_what_was_decided_upon_a_batch_that_another_node_overtook_is_decided_again(
    database: Database, desk: Desk
) -> None:
    task_id = desk.execute(submit()).aggregate_id
    with opened(database.url) as there:
        there.execute(cancel(task_id))

    outcomes = asked_while_written(
        desk,
        [(assign(task_id), None)],
        [(assign(task_id, BOB), None), (cancel(task_id), None), (submit(), None)],
    )

    first, second, cancelled, other = outcomes
    for refused in (first, second):
        assert isinstance(refused, TaskNotAssignable)
        assert "is cancelled" in refused.message
    assert isinstance(cancelled, Receipt)
    assert cancelled.version == 2
    assert isinstance(other, Receipt)
    assert desk.topics(task_id) == ["task.submitted", "task.cancelled"]


def test_what_was_decided_upon_a_batch_that_was_lost_is_done_once_and_in_order(
    desk: Desk,
) -> None:
    assert isinstance(desk.log, HeldLog)
    task_id = uuid7()
    desk.log.lose = True

    submitted, assigned, cancelled = asked_while_written(
        desk,
        [(submit(task_id), a_key())],
        [(assign(task_id), None), (cancel(task_id), a_key())],
    )

    versions = [one.version for one in (submitted, assigned, cancelled) if isinstance(one, Receipt)]
    assert versions == [1, 2, 3]
    assert desk.topics() == ["task.submitted", "task.assigned", "task.cancelled"]


def test_a_refusal_that_stood_on_a_batch_that_came_to_nothing_is_taken_back(
    database: Database, desk: Desk
) -> None:
    task_id = a_task_that_awaits_approval(desk)
    with opened(database.url) as there:
        there.execute(cancel(task_id))

    outcomes = asked_while_written(
        desk,
        [(ApproveTask(origin=by(), task_id=task_id), a_key())],
        [(RejectTask(origin=by(), task_id=task_id, reason="no"), a_key())],
    )

    for refused in outcomes:
        assert isinstance(refused, TaskNotAwaitingApproval)
        assert "is cancelled" in refused.message


def test_what_waits_behind_a_held_batch_when_the_writer_stops_is_decided(desk: Desk) -> None:
    log = desk.log
    assert isinstance(log, HeldLog)

    async def story() -> list[Outcome]:
        log.held = asyncio.Event()
        first = desk.writer.submit([submit()])
        await log.arrived.wait()
        waiting = [desk.writer.submit([submit()]) for _ in range(3)]
        stopping = asyncio.create_task(desk.writer.stop())
        await asyncio.sleep(0)
        with pytest.raises(DatabaseUnavailable):
            desk.writer.submit([submit()])
        log.held.set()
        await stopping
        return [one for answer in (first, *waiting) for one in await answer]

    assert [type(one) for one in desk.loop.run(story())] == [Receipt] * 4
