"""Which agent gets which task: pure functions from readings to a decision that explains itself.

The decision holds everything that it was made of, so that its winner can be computed again from
the event alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

CPU_WEIGHT = 0.4
MEMORY_WEIGHT = 0.3
QUEUE_WEIGHT = 0.3
UNKNOWN_PERCENT = 50.0
"""An agent that reports no reading is taken to be half loaded: neither favoured nor shunned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is known of a waiting agent at the moment of a decision.

    `cpu` and `memory` are percentages, None where the agent reports none; `queue` counts the tasks
    it holds or has waiting; `slots` is how many it can do at once.
    """

    agent_id: UUID
    cpu: float | None
    memory: float | None
    queue: int
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Reading):
    """A reading and the score a policy gave it; the lowest score wins."""

    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who was considered, on what readings, under which policy, and who won."""

    policy: str
    policy_version: int
    seed: int
    candidates: tuple[Candidate, ...]
    winner: UUID


def queue_percent(queue: int, slots: int) -> float:
    """How full an agent is, 0..100."""
    return min(100.0, 100.0 * queue / max(slots, 1))


def weighted_load(reading: Reading) -> float:
    """cpu 0.4, memory 0.3, queue 0.3, each in percent: 0 idle .. 100 full (the mission's
    formula)."""
    cpu = UNKNOWN_PERCENT if reading.cpu is None else reading.cpu
    memory = UNKNOWN_PERCENT if reading.memory is None else reading.memory
    queue = queue_percent(reading.queue, reading.slots)
    return round(CPU_WEIGHT * cpu + MEMORY_WEIGHT * memory + QUEUE_WEIGHT * queue, 3)


def least_outstanding(reading: Reading) -> float:
    """The share of its slots that an agent has in use, in percent, whatever its machine says."""
    return round(queue_percent(reading.queue, reading.slots), 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A way to score agents. Its version goes up whenever its scores change."""

    name: str
    version: int
    score: Callable[[Reading], float]


POLICIES = {
    policy.name: policy
    for policy in (
        Policy(name="weighted_load", version=1, score=weighted_load),
        Policy(name="least_outstanding", version=1, score=least_outstanding),
    )
}


def decide(policy: Policy, readings: Sequence[Reading], *, seed: int) -> Decision:
    """Choose among agents that can do the task (at least one); the seed settles ties."""
    candidates = tuple(
        Candidate(
            agent_id=reading.agent_id,
            cpu=reading.cpu,
            memory=reading.memory,
            queue=reading.queue,
            slots=reading.slots,
            score=policy.score(reading),
        )
        for reading in readings
    )
    return Decision(
        policy=policy.name,
        policy_version=policy.version,
        seed=seed,
        candidates=candidates,
        winner=winner_of(candidates, [c.score for c in candidates], seed=seed),
    )


class UnknownPolicyVersion(Exception):
    """This code does not know the policy, or not that version of it."""


def recomputed(decision: Decision, policies: Mapping[str, Policy] = POLICIES) -> Decision:
    """The decision that the recorded readings and seed lead to under the recorded policy: equal to
    the recorded one, unless either is wrong.

    Raises UnknownPolicyVersion: it is not guessed.
    """
    policy = policies.get(decision.policy)
    if policy is None or policy.version != decision.policy_version:
        raise UnknownPolicyVersion(f"{decision.policy} v{decision.policy_version}")
    return decide(policy, decision.candidates, seed=decision.seed)


def recomputed_winner(decision: Decision) -> UUID:
    """The winner that the recorded readings lead to under the recorded policy. Raises
    UnknownPolicyVersion."""
    return recomputed(decision).winner


def winner_of(readings: Sequence[Reading], scores: Sequence[float], *, seed: int) -> UUID:
    """Who has the lowest score; of several, whom the lot falls to."""
    best = min(scores)
    tied = [one.agent_id for one, score in zip(readings, scores, strict=True) if score == best]
    if len(tied) == 1:
        return tied[0]
    return min(tied, key=lambda agent_id: _lot(agent_id, seed))


def _lot(agent_id: UUID, seed: int) -> bytes:
    # Drawn from the seed and not from random(), so that a replay draws the same.
    return blake2b(agent_id.bytes, digest_size=8, key=seed.to_bytes(8, "big")).digest()
