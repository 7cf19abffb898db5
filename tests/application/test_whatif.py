"""The past decided by another policy, and by the same one."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from application.decisions import whatif
from application.decisions.ports import Step
from application.decisions.whatif import (
    Comparison,
    UnknownPolicy,
    WhatIf,
    WhatIfBusy,
)
from application.stretch import RangeTooLarge, Stretch
from domain.routing import POLICIES, Policy, Reading, decide, weighted_load
from infrastructure.postgres.decisions import PostgresDecisions
from infrastructure.postgres.pool import make_pool
from tests.application.decisions import LEAST, WEIGHTED, Past, a_random_decision
from tests.conftest import Database
from tests.given import TENANT

WHOLE = Stretch(after=0, until=1_000_000)


def compared(
    database: Database,
    policy: str = "weighted_load",
    *,
    stretch: Stretch = WHOLE,
    tenant: str = TENANT,
    policies: Mapping[str, Policy] = POLICIES,
    differences_max: int = 100,
) -> Comparison:
    async def compare() -> Comparison:
        async with replaying(database, policies) as what_if:
            return await what_if.compare(tenant, policy, stretch, differences_max=differences_max)

    return asyncio.run(compare())


@asynccontextmanager
async def replaying(
    database: Database, policies: Mapping[str, Policy] = POLICIES
) -> AsyncIterator[WhatIf]:
    with make_pool(database.url, connections_max=2) as pool:
        yield WhatIf(PostgresDecisions(pool), epoch=1, policies=policies)


def ten_thousand_decisions(rng: random.Random) -> Past:
    past = Past()
    agents = [past.agent(f"reviewer-{number}") for number in range(6)]
    for _ in range(10_000):
        past.task(a_random_decision(rng, agents))
    return past


def test_the_same_policy_takes_every_one_of_ten_thousand_decisions_again_and_a_wrong_one_does_not(
    database: Database, rng: random.Random
) -> None:
    ten_thousand_decisions(rng).write(database)

    def wrong(reading: Reading) -> float:
        return weighted_load(replace(reading, memory=0.0))

    same = compared(database)
    planted = compared(database, policies={"weighted_load": replace(WEIGHTED, score=wrong)})
    other = compared(database, "least_outstanding")

    assert (same.replay.decisions, same.replay.changed, same.replay.rescored) == (10_000, 0, 0)
    assert same.replay.differences == []
    assert same.replay.then == same.replay.instead
    assert planted.replay.changed > 1_000
    assert planted.replay.rescored > planted.replay.changed
    assert len(planted.replay.differences) == 100
    assert other.replay.changed > 1_000
    assert other.replay.rescored == 0


def test_a_wrong_score_is_told_even_where_it_changes_no_winner(database: Database) -> None:
    past = Past()
    alone = past.agent("alone")
    past.task(
        decide(WEIGHTED, [Reading(agent_id=alone, cpu=0, memory=0, queue=0, slots=1)], seed=1)
    )
    past.write(database)
    wrong = replace(WEIGHTED, score=lambda reading: weighted_load(reading) + 1)

    found = compared(database, policies={"weighted_load": wrong}).replay

    assert (found.changed, found.rescored) == (0, 1)
    (difference,) = found.differences
    assert difference.then == difference.instead
    assert (difference.then.score_then, difference.then.score_instead) == (0.0, 1.0)


def test_what_comes_out_otherwise_is_told_with_both_scores(database: Database) -> None:
    past = Past()
    busy, hot = past.agent("busy"), past.agent("hot")
    readings = [
        Reading(agent_id=busy, cpu=0.0, memory=0.0, queue=3, slots=4),
        Reading(agent_id=hot, cpu=90.0, memory=90.0, queue=1, slots=4),
    ]
    task_id = past.task(decide(WEIGHTED, readings, seed=1))
    past.write(database)

    found = compared(database, "least_outstanding")

    assert (found.replay.decisions, found.replay.changed) == (1, 1)
    (difference,) = found.replay.differences
    assert (difference.position, difference.task_id) == (4, task_id)
    assert (difference.then.agent_id, difference.instead.agent_id) == (busy, hot)
    assert (difference.then.score_then, difference.then.score_instead) == (22.5, 75.0)
    assert (difference.instead.score_then, difference.instead.score_instead) == (70.5, 25.0)
    assert found.names == {busy: "busy", hot: "hot"}


def test_only_the_callers_own_decisions_are_replayed(
    database: Database, rng: random.Random
) -> None:
    for tenant in (TENANT, "other"):
        past = Past(tenant=tenant)
        past.task(a_random_decision(rng, [past.agent("a"), past.agent("b")]))
        past.write(database)

    assert compared(database).replay.decisions == 1
    assert compared(database, tenant="nobody").replay.decisions == 0
    assert compared(database, tenant="nobody").estimate is None


def test_the_range_decides_what_is_replayed(database: Database, rng: random.Random) -> None:
    past = Past()
    agents = [past.agent("a"), past.agent("b")]
    for _ in range(3):
        past.task(a_random_decision(rng, agents))
    past.write(database)  # 1, 2: agents; 3, 4, 5: submitted, assigned, completed; 6 ...

    def decisions(after: int, until: int) -> int:
        return compared(database, stretch=Stretch(after=after, until=until)).replay.decisions

    assert [decisions(0, 11), decisions(3, 4), decisions(4, 6), decisions(4, 10)] == [3, 1, 0, 2]


def test_the_log_is_left_as_it_was(database: Database, rng: random.Random) -> None:
    past = Past()
    past.task(a_random_decision(rng, [past.agent("a")]))
    past.write(database)
    with make_pool(database.url, connections_max=2) as pool, pool.connection() as connection:
        before = connection.execute("SELECT * FROM events").fetchall()
        compared(database, "least_outstanding")
        assert connection.execute("SELECT * FROM events").fetchall() == before


def test_bad_questions_are_refused_with_what_would_be_right(
    database: Database, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = Past()
    agents = [past.agent("a"), past.agent("b")]
    for _ in range(3):
        past.task(a_random_decision(rng, agents))
    past.write(database)

    with pytest.raises(UnknownPolicy) as unknown:
        compared(database, "oracle")
    monkeypatch.setattr(whatif, "DECISIONS_MAX", 2)
    with pytest.raises(RangeTooLarge) as many:
        compared(database)
    with pytest.raises(RangeTooLarge) as long:
        compared(database, stretch=Stretch(after=5, until=20_000_000))

    assert unknown.value.facts == {"policies": ["least_outstanding", "weighted_load"]}
    assert many.value.facts == {"nearest": "1:9"}
    assert long.value.facts == {"nearest": "1:10000005"}
    monkeypatch.undo()
    assert compared(database, stretch=Stretch(after=0, until=9)).replay.decisions == 2


def test_one_range_is_replayed_at_a_time_and_who_goes_away_makes_room(
    database: Database, rng: random.Random
) -> None:
    past = Past()
    agents = [past.agent("a"), past.agent("b")]
    for _ in range(500):
        past.task(a_random_decision(rng, agents))
    past.write(database)

    async def play() -> None:
        async with replaying(database) as what_if:

            def compare() -> Any:
                return what_if.compare(TENANT, "weighted_load", WHOLE, differences_max=0)

            first = asyncio.create_task(compare())
            await asyncio.sleep(0)
            with pytest.raises(WhatIfBusy) as busy:
                await compare()
            assert busy.value.retry_after_seconds > 0
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert (await compare()).replay.decisions == 500

    asyncio.run(play())


class Held(PostgresDecisions):
    """Does not answer until it may; says how many ask at once."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.asking = self.asking_most = 0

    def steps(self, *args: Any, **options: Any) -> Sequence[Step]:
        self.asking += 1
        self.asking_most = max(self.asking_most, self.asking)
        self.begun.set()
        self.go_on.wait(10)
        self.asking -= 1
        return super().steps(*args, **options)


def test_what_somebody_who_went_away_had_begun_is_done_before_the_next_range_begins(
    database: Database,
) -> None:
    async def play() -> None:
        with make_pool(database.url, connections_max=2) as pool:
            log = Held(pool)
            what_if = WhatIf(log, epoch=1)

            def compare() -> Any:
                stretch = Stretch(after=0, until=1)
                return what_if.compare(TENANT, "weighted_load", stretch, differences_max=0)

            first = asyncio.create_task(compare())
            await asyncio.to_thread(log.begun.wait, 10)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            second = asyncio.create_task(compare())
            await asyncio.wait([second], timeout=0.05)
            assert not second.done()
            log.go_on.set()
            await second
        assert log.asking_most == 1

    asyncio.run(play())


def test_a_policy_that_this_code_does_not_know_any_more_can_be_compared_with_and_not_simulated(
    database: Database, rng: random.Random
) -> None:
    past = Past()
    agents = [past.agent("a"), past.agent("b")]
    former = replace(WEIGHTED, version=0)
    for _ in range(5):
        past.task(a_random_decision(rng, agents, former))
    past.write(database)

    found = compared(database)

    assert (found.replay.decisions, found.replay.rescored) == (5, 0)
    assert found.estimate is not None
    assert found.estimate.recorded_policy == ("weighted_load", 0)
    assert found.estimate.recorded is None


def test_of_each_attempt_the_decision_is_replayed(database: Database, rng: random.Random) -> None:
    past = Past()
    agents = [past.agent("a"), past.agent("b")]
    past.task(*(a_random_decision(rng, agents, LEAST) for _ in range(4)))
    past.write(database)

    found = compared(database, "least_outstanding")

    assert (found.replay.decisions, found.replay.changed) == (4, 0)
    assert found.estimate is not None
    assert len(found.estimate.instead.waiting) == 4
    assert len(found.estimate.happened.finishing) == 4
