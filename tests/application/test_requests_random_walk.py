"""Goal: whatever is asked of two nodes at once, every answer is what stands in the log.

Method: random commands on a few tasks and agents, in requests of one or many, some under a key and
some of these repeated, at either node, several at a time. Afterwards the log is compared with the
answers.
"""

import asyncio
import random
from dataclasses import dataclass, field

from application.answers import Outcome
from application.commands import Command, RequestKey
from application.ports import Record
from application.receipt import Receipt
from domain.errors import ControlPlaneError
from tests.application.desk import Desk, at_the_same_time, opened
from tests.application.stories import a_story
from tests.conftest import Database
from tests.given import NOON, a_key

COMMANDS, AT_ONCE, REPEATED = 1_500, 8, 0.3


@dataclass
class Asked:
    """A request, and what it was answered each time."""

    commands: list[Command]
    key: RequestKey | None
    answers: list[list[Outcome]] = field(default_factory=list)


def some_requests(rng: random.Random) -> list[Asked]:
    story = list(a_story(rng, NOON, length=COMMANDS))
    requests = []
    while story:
        size = rng.choice([1, 1, 1, 2, 5, 20])
        key = a_key() if rng.random() < 0.7 else None
        requests.append(Asked(story[:size], key))
        del story[:size]
    return requests


def handed_over(rng: random.Random, requests: list[Asked]) -> tuple[list[Asked], list[Asked]]:
    """Each to one of the nodes, or to both or twice to one when it can be repeated."""
    sides: tuple[list[Asked], list[Asked]] = [], []
    for request in requests:
        rng.choice(sides).append(request)
        if request.key and rng.random() < REPEATED:
            side = rng.choice(sides)
            side.insert(rng.randrange(max(0, len(side) - 20), len(side) + 1), request)
    return sides


async def ask_all(desk: Desk, requests: list[Asked]) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def ask(request: Asked) -> None:
        async with turn:
            request.answers.append(await desk.writer.submit(request.commands, request.key))

    await asyncio.gather(*map(ask, requests))


def test_every_answer_is_what_stands_in_the_log(database: Database, rng: random.Random) -> None:
    requests = some_requests(rng)
    with opened(database.url) as here, opened(database.url) as there:
        mine, theirs = handed_over(rng, requests)

        at_the_same_time(
            lambda: here.loop.run(ask_all(here, mine)),
            lambda: there.loop.run(ask_all(there, theirs)),
        )

        records = here.log.read(after=0, limit=100_000)
        for desk in (here, there):
            assert [one.position for one, _ in desk.feed.read(after=0, limit=100_000)] == [
                one.position for one in records
            ]
            versions_follow(records)
    written: dict[object, list[Record]] = {}
    for record in records:
        written.setdefault(record.command_id, []).append(record)
    assert len(written) > COMMANDS / 10
    for request in requests:
        repetitions_are_alike(request)
        for answer in request.answers:
            for command, outcome in zip(request.commands, answer, strict=True):
                agrees(outcome, written.get(command.origin.command_id, []), request)


def versions_follow(records: list[Record]) -> None:
    versions: dict[object, int] = {}
    for record in records:
        assert record.version == versions.get(record.aggregate_id, 0) + 1
        versions[record.aggregate_id] = record.version


def repetitions_are_alike(request: Asked) -> None:
    done = [answer for answer in request.answers if any(isinstance(o, Receipt) for o in answer)]
    told = {tuple(facts_of(outcome) for outcome in answer) for answer in done}
    assert len(told) <= 1
    firsts = [one for answer in done for one in answer if not getattr(one, "replayed", True)]
    assert not firsts or sum(1 for a in done if any(o in firsts for o in a)) == 1


def agrees(outcome: Outcome, records: list[Record], request: Asked) -> None:
    if isinstance(outcome, Receipt):
        if records:
            assert records[-1].position == outcome.cursor.position
            assert outcome.version in {
                one.version for one in records if one.aggregate_id == outcome.aggregate_id
            }
        return
    assert isinstance(outcome, ControlPlaneError)
    # One of which nothing was done may be asked again, and then something may be.
    assert not records or len(request.answers) > 1


def facts_of(outcome: Outcome) -> tuple[object, ...]:
    if isinstance(outcome, Receipt):
        reason = outcome.refusal.message if outcome.refusal else None
        return outcome.aggregate_id, outcome.version, outcome.cursor, reason
    assert isinstance(outcome, ControlPlaneError)
    return outcome.code, outcome.message
