"""Which agent gets a task, and that the decision can be made again from what was recorded."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, strategies

from domain.routing import (
    POLICIES,
    Reading,
    UnknownPolicyVersion,
    decide,
    least_outstanding,
    queue_percent,
    recomputed_winner,
    weighted_load,
)
from tests.given import ALICE, BOB
from tests.randomly import repeatably

WEIGHTED = POLICIES["weighted_load"]


def a_reading(
    agent_id: UUID = ALICE,
    *,
    cpu: float | None = 0.0,
    memory: float | None = 0.0,
    queue: int = 0,
    slots: int = 4,
) -> Reading:
    return Reading(agent_id=agent_id, cpu=cpu, memory=memory, queue=queue, slots=slots)


@pytest.mark.parametrize(
    ("reading", "load"),
    [
        (a_reading(), 0.0),
        (a_reading(cpu=100), 40.0),
        (a_reading(memory=100), 30.0),
        (a_reading(queue=4), 30.0),
        (a_reading(cpu=100, memory=100, queue=4), 100.0),
        (a_reading(cpu=80, memory=60, queue=1), 57.5),
        (a_reading(queue=400), 30.0),
    ],
)
def test_load_weighs_cpu_four_tenths_and_memory_and_queue_three_each(
    reading: Reading, load: float
) -> None:
    assert weighted_load(reading) == load


def test_an_agent_that_reports_no_reading_counts_as_half_loaded() -> None:
    assert weighted_load(a_reading(cpu=None, memory=None)) == 35.0
    assert weighted_load(a_reading(cpu=None)) == 20.0


def test_an_agent_without_slots_divides_nothing_by_zero() -> None:
    assert queue_percent(1, 0) == 100.0


def test_least_outstanding_looks_at_the_slots_alone() -> None:
    assert least_outstanding(a_reading(cpu=100, memory=100, queue=1)) == 25.0


def test_the_least_loaded_agent_wins() -> None:
    decision = decide(WEIGHTED, [a_reading(ALICE, cpu=50), a_reading(BOB, cpu=49)], seed=1)

    assert decision.winner == BOB
    assert [candidate.score for candidate in decision.candidates] == [20.0, 19.6]
    assert (decision.policy, decision.policy_version, decision.seed) == ("weighted_load", 1, 1)


def test_the_seed_settles_ties_and_neither_agent_is_favoured() -> None:
    readings = [a_reading(ALICE), a_reading(BOB)]

    wins = [decide(WEIGHTED, readings, seed=seed).winner for seed in range(1_000)]

    assert 400 < wins.count(ALICE) < 600
    assert wins == [decide(WEIGHTED, readings[::-1], seed=seed).winner for seed in range(1_000)]


def test_the_winner_of_an_unknown_policy_is_not_guessed() -> None:
    decision = replace(decide(WEIGHTED, [a_reading()], seed=1), policy="oracle")

    with pytest.raises(UnknownPolicyVersion, match="oracle v1"):
        recomputed_winner(decision)


def test_the_winner_under_another_version_of_a_policy_is_not_guessed() -> None:
    decision = replace(decide(WEIGHTED, [a_reading()], seed=1), policy_version=2)

    with pytest.raises(UnknownPolicyVersion, match="weighted_load v2"):
        recomputed_winner(decision)


percents = strategies.none() | strategies.floats(0, 100)
readings = strategies.builds(
    Reading,
    agent_id=strategies.uuids(),
    cpu=percents,
    memory=percents,
    queue=strategies.integers(0, 10**9),
    slots=strategies.integers(0, 10_000),
)


@repeatably
@given(
    strategies.sampled_from(sorted(POLICIES)),
    strategies.lists(readings, min_size=1, max_size=20, unique_by=lambda r: r.agent_id),
    strategies.integers(0, 2**32 - 1),
)
def test_from_the_decision_alone_its_winner_is_found_again(
    policy: str, waiting: list[Reading], seed: int
) -> None:
    decision = decide(POLICIES[policy], waiting, seed=seed)

    assert recomputed_winner(decision) == decision.winner
    assert decision.winner in {reading.agent_id for reading in waiting}
    best = min(candidate.score for candidate in decision.candidates)
    assert {c.score for c in decision.candidates if c.agent_id == decision.winner} == {best}
