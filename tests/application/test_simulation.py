"""What waiting and finishing times another policy would have led to, on recorded run times."""

import random
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from application.decisions.ports import Assignment, Step
from application.decisions.replay import Replay
from application.decisions.simulation import RunTimes, Simulation, Times, happened
from application.ids import uuid7
from domain.routing import Policy, Reading, decide
from tests.application.decisions import LEAST, WEIGHTED
from tests.given import ALICE, BOB, NOON

Attempt = tuple[float, float, float, UUID]
"""Ready, assigned, ended (seconds after noon), by whom."""


def a_reading(agent_id: UUID, *, cpu: float = 0.0, queue: int = 0, slots: int = 1) -> Reading:
    return Reading(agent_id=agent_id, cpu=cpu, memory=0.0, queue=queue, slots=slots)


def recorded(
    attempts: Sequence[Attempt],
    *,
    able: list[Reading],
    kind: str = "review",
    policy: Policy = WEIGHTED,
) -> Replay:
    """A replay of attempts for each of which these agents were considered."""
    steps = []
    for number, (ready, assigned, ended, agent_id) in enumerate(attempts):
        task_id, decision = uuid7(), decide(WEIGHTED, able, seed=number)
        given = Assignment(
            decision=decision.__class__(
                policy=decision.policy,
                policy_version=decision.policy_version,
                seed=number,
                candidates=decision.candidates,
                winner=agent_id,
            ),
            kind=kind,
            ready_at=NOON + timedelta(seconds=ready),
        )
        for at, assignment in ((assigned, given), (ended, None)):
            moment = NOON + timedelta(seconds=at)
            steps.append(Step(position=0, task_id=task_id, at=moment, assignment=assignment))
    replay = Replay(policy, differences_max=0)
    replay.take(sorted(steps, key=lambda step: step.at))
    for position, job in enumerate(replay.jobs):
        job.position = position
    return replay


def simulated(replay: Replay, policy: Policy = WEIGHTED) -> Times:
    simulation = Simulation(replay, policy, RunTimes(replay.jobs))
    for _ in simulation.run():
        pass
    assert simulation.times is not None
    return simulation.times


def test_one_agent_does_one_thing_after_another() -> None:
    replay = recorded(
        [(0, 0, 10, ALICE), (1, 10, 15, ALICE), (2, 15, 16, ALICE)], able=[a_reading(ALICE)]
    )

    times = simulated(replay)

    assert list(times.waiting) == [0, 9, 13]
    assert list(times.finishing) == [10, 14, 14]
    assert times.until_last == 16
    assert times == happened(replay.jobs)


def test_as_many_things_are_done_at_once_as_there_are_slots() -> None:
    replay = recorded(
        [(0, 0, 10, ALICE), (0, 0, 10, ALICE), (0, 10, 20, ALICE)],
        able=[a_reading(ALICE, slots=2)],
    )

    assert list(simulated(replay).waiting) == [0, 0, 10]


def test_another_policy_gives_work_to_others_who_take_as_long_as_they_do() -> None:
    """Alice's machine is idle and she is slow; Bob's is busy and he is quick."""
    attempts = [(0, 0, 100, ALICE), (1, 1, 2, BOB), (5, 5, 105, ALICE), (6, 6, 7, BOB)]
    able = [a_reading(ALICE, slots=4), a_reading(BOB, cpu=90, slots=4)]
    replay = recorded(attempts, able=able)

    by_machine, by_slots = simulated(replay, WEIGHTED), simulated(replay, LEAST)

    assert list(by_machine.finishing) == [100, 100, 100, 100]
    assert sum(by_slots.finishing) < sum(by_machine.finishing)


def test_nobody_works_before_they_were_first_seen() -> None:
    replay = recorded([(0, 30, 40, ALICE)], able=[a_reading(ALICE)])

    assert list(simulated(replay).waiting) == [30]


def test_an_attempt_that_did_not_end_takes_as_long_as_others_of_its_kind() -> None:
    replay = recorded([(0, 0, 10, ALICE), (20, 20, 10_000, ALICE)], able=[a_reading(ALICE)])
    replay.jobs[1].ended_at = None

    assert list(simulated(replay).finishing) == [10, 10]
    assert list(happened(replay.jobs).finishing) == [10]


def test_every_attempt_is_done_once_and_no_agent_has_more_than_its_slots(
    rng: random.Random,
) -> None:
    agents = [ALICE, BOB, uuid7()]
    able = [a_reading(one, slots=rng.randint(1, 3), cpu=rng.uniform(0, 99)) for one in agents]
    attempts = []
    for _ in range(300):
        ready = rng.uniform(0, 300)
        assigned = ready + rng.expovariate(1)
        attempts.append((ready, assigned, assigned + rng.expovariate(0.2), rng.choice(agents)))

    replay = recorded(attempts, able=able)
    times = simulated(replay, LEAST)

    assert len(times.waiting) == len(times.finishing) == 300
    assert min(times.waiting) >= 0
    busy = sum(times.finishing) - sum(times.waiting)
    assert busy <= times.until_last * sum(one.slots for one in able) + 1e-6
    assert simulated(replay, LEAST) == times, "the same comes out again"


def test_what_would_take_too_much_is_not_simulated() -> None:
    replay = recorded([(0, 0, 1, ALICE)], able=[a_reading(ALICE)])
    assert replay.can_be_simulated

    replay.pairs = 10**9

    assert not replay.can_be_simulated
    assert not Replay(WEIGHTED, differences_max=0).can_be_simulated
