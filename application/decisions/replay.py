"""Recorded decisions made again under another policy, and what a simulation needs of them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from application.decisions.ports import Assignment, Step
from domain.routing import Decision, Policy, Reading, winner_of

WORK_MAX = 100_000_000
"""Agents looked at in a simulation, over all attempts: some 10 s. Of more no estimate is made."""
KEPT_MAX = 300_000
"""Pairs of kinds and agents, and changes of readings, that are kept for it: some 100 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One that was, or would have been, chosen; with its score under each of the two policies."""

    agent_id: UUID
    score_then: float
    score_instead: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A decision that comes out otherwise: by its winner, or by a score where the policy and its
    version are the same."""

    position: int
    task_id: UUID
    then: Choice
    instead: Choice


@dataclass(slots=True, kw_only=True)
class Job:
    """One attempt, as it was recorded. `ended_at` is None when it did not end within the range."""

    position: int
    agent_id: UUID
    seed: int
    kind: str
    ready_at: datetime
    assigned_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """From a moment on an agent is known with this reading (its queue is left out of account)."""

    at: datetime
    reading: Reading


class Replay:
    """Takes the steps of a range in order. Everything is counted; of differences the first are
    kept."""

    def __init__(self, policy: Policy, *, differences_max: int) -> None:
        self.policy = policy
        self.decisions = 0
        self.changed = 0
        self.rescored = 0
        self.rescored_alone = 0
        """With the winner that was recorded."""
        self.then: Counter[UUID] = Counter()
        self.instead: Counter[UUID] = Counter()
        self.recorded: Counter[tuple[str, int]] = Counter()
        self.differences: list[Difference] = []
        self.jobs: list[Job] = []
        self.sightings: list[Sighting] = []
        self.able: defaultdict[str, set[UUID]] = defaultdict(set)
        """Who was ever considered for a kind of task."""
        self.pairs = 0
        """How many agents that is, over all kinds."""
        self._differences_max = differences_max
        self._open: dict[UUID, Job] = {}
        self._seen: dict[UUID, tuple[float | None, float | None, int]] = {}

    @property
    def can_be_simulated(self) -> bool:
        """Whether there is something to simulate, and not more than memory and patience allow."""
        if not self.jobs or not self._fits:
            return False
        return sum(len(self.able[job.kind]) for job in self.jobs) <= WORK_MAX

    @property
    def _fits(self) -> bool:
        return self.pairs < KEPT_MAX and len(self.sightings) < KEPT_MAX

    def take(self, steps: Iterable[Step]) -> None:
        """The next steps of the range."""
        for step in steps:
            if step.assignment is not None:
                self._decide_again(step, step.assignment.decision)
                if self._fits:
                    self._keep(step, step.assignment)
            elif job := self._open.pop(step.task_id, None):
                job.ended_at = step.at

    def _decide_again(self, step: Step, decision: Decision) -> None:
        candidates = decision.candidates
        scores = [self.policy.score(one) for one in candidates]
        winner = winner_of(candidates, scores, seed=decision.seed)
        self.decisions += 1
        self.then[decision.winner] += 1
        self.instead[winner] += 1
        policy = decision.policy, decision.policy_version
        self.recorded[policy] += 1
        same_policy = policy == (self.policy.name, self.policy.version)
        rescored = same_policy and any(
            one.score != score for one, score in zip(candidates, scores, strict=True)
        )
        self.changed += winner != decision.winner
        self.rescored += rescored
        self.rescored_alone += rescored and winner == decision.winner
        differs = rescored or winner != decision.winner
        if differs and len(self.differences) < self._differences_max:
            self.differences.append(_difference(step, decision, scores, winner))

    def _keep(self, step: Step, assignment: Assignment) -> None:
        decision, kind = assignment.decision, assignment.kind
        job = Job(
            position=step.position,
            agent_id=decision.winner,
            seed=decision.seed,
            kind=kind,
            ready_at=assignment.ready_at,
            assigned_at=step.at,
        )
        self.jobs.append(job)
        self._open[step.task_id] = job
        able = self.able[kind]
        for one in decision.candidates:
            if one.agent_id not in able:
                able.add(one.agent_id)
                self.pairs += 1
            seen = one.cpu, one.memory, one.slots
            if self._seen.get(one.agent_id) != seen:
                self._seen[one.agent_id] = seen
                self.sightings.append(Sighting(at=step.at, reading=one))


def _difference(
    step: Step, decision: Decision, scores: Sequence[float], winner: UUID
) -> Difference:
    choices = {
        one.agent_id: Choice(agent_id=one.agent_id, score_then=one.score, score_instead=score)
        for one, score in zip(decision.candidates, scores, strict=True)
    }
    return Difference(
        position=step.position,
        task_id=step.task_id,
        then=choices[decision.winner],
        instead=choices[winner],
    )
