"""What if another policy had decided: a range of recorded decisions made again, nothing written."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from application.cursor import Cursor
from application.decisions.ports import DecisionLog, Step
from application.decisions.replay import Replay
from application.decisions.simulation import RunTimes, Simulation, Times, happened
from application.lane import Lane
from application.stretch import RangeTooLarge, Stretch
from domain.errors import Invalid, Unavailable
from domain.routing import POLICIES, Policy

DECISIONS_MAX = 100_000
POSITIONS_MAX = 10_000_000
PAGE = 2_000
"""Positions that are read and decided upon at a time: some 10 ms of a thread each."""
BUSY_SECONDS = 5


class UnknownPolicy(Invalid):
    """There is no policy of this name."""

    code = "unknown_policy"

    def __init__(self, name: str, policies: Sequence[str]) -> None:
        known = ", ".join(policies)
        super().__init__(
            f"There is no policy {name[:100]!r}; there are {known}.", policies=list(policies)
        )


class WhatIfBusy(Unavailable):
    """Somebody else's range is being replayed; there is one at a time."""

    code = "what_if_busy"

    def __init__(self) -> None:
        message = "Another range of decisions is being replayed; there is one at a time."
        super().__init__(message, retry_after_seconds=BUSY_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Times under a simulation of the policy that decided most often, and of the other one; the
    former is None when this code does not know that version of it. `happened` is no estimate."""

    recorded_policy: tuple[str, int]
    recorded: Times | None
    instead: Times
    happened: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a policy would have decided. `estimate` is None where there is nothing to simulate, or
    too much."""

    replay: Replay
    names: Mapping[UUID, str]
    estimate: Estimate | None


class WhatIf:
    """Replays one range at a time. Reading and deciding are done on a thread, in portions."""

    def __init__(
        self, log: DecisionLog, *, epoch: int, policies: Mapping[str, Policy] = POLICIES
    ) -> None:
        self._log = log
        self._epoch = epoch
        self._policies = policies
        self._busy = False
        self._lane = Lane()

    async def compare(
        self, tenant: str, policy: str, stretch: Stretch, *, differences_max: int
    ) -> Comparison:
        """The decisions in a stretch of the log, made again.

        Cancelling the call ends it. Raises UnknownPolicy, RangeTooLarge, WhatIfBusy,
        UnreadableEvent, DatabaseUnavailable.
        """
        other = self.policy(policy)
        if stretch.until - stretch.after > POSITIONS_MAX:
            nearest = Cursor(self._epoch, stretch.after + POSITIONS_MAX)
            raise RangeTooLarge(f"{POSITIONS_MAX:,} positions", nearest)
        async with self._alone():
            replay = await self._replayed(tenant, other, stretch, differences_max)
            estimate = await self._estimated(replay) if replay.can_be_simulated else None
            agents = replay.then.keys() | replay.instead.keys()
            names = await self._lane.run(self._log.names, tenant, agents)
        return Comparison(replay=replay, names=names, estimate=estimate)

    def policy(self, name: str) -> Policy:
        """Raises UnknownPolicy."""
        policy = self._policies.get(name)
        if policy is None:
            raise UnknownPolicy(name, sorted(self._policies))
        return policy

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Who comes after somebody that went away waits until the step that was begun is done."""
        if self._busy:
            raise WhatIfBusy
        self._busy = True
        try:
            async with self._lane.turn():
                yield
        finally:
            self._busy = False

    async def _replayed(
        self, tenant: str, policy: Policy, stretch: Stretch, differences_max: int
    ) -> Replay:
        replay = Replay(policy, differences_max=differences_max)
        for after in range(stretch.after, stretch.until, PAGE):
            until = min(after + PAGE, stretch.until)
            await self._decided(
                replay, await self._lane.run(self._log.steps, tenant, after=after, until=until)
            )
        return replay

    async def _decided(self, replay: Replay, steps: Sequence[Step]) -> None:
        assignments = [step for step in steps if step.assignment is not None]
        room = DECISIONS_MAX - replay.decisions
        if len(assignments) > room:
            nearest = Cursor(self._epoch, assignments[room].position - 1)
            raise RangeTooLarge(f"{DECISIONS_MAX:,} decisions", nearest)
        await self._lane.run(replay.take, steps)

    async def _estimated(self, replay: Replay) -> Estimate:
        run_times = await self._lane.run(RunTimes, replay.jobs)
        ((name, version), _), *_ = replay.recorded.most_common(1)
        recorded = self._policies.get(name)
        former = None
        if recorded is not None and recorded.version == version:
            former = await self._simulated(replay, recorded, run_times)
        return Estimate(
            recorded_policy=(name, version),
            recorded=former,
            instead=await self._simulated(replay, replay.policy, run_times),
            happened=await self._lane.run(happened, replay.jobs),
        )

    async def _simulated(self, replay: Replay, policy: Policy, run_times: RunTimes) -> Times:
        simulation = await self._lane.run(Simulation, replay, policy, run_times)
        turns = simulation.run()
        while await self._lane.run(_turn, turns):
            pass
        assert simulation.times is not None, "it has come to its end"
        return simulation.times


def _turn(turns: Iterator[None]) -> bool:
    return next(turns, StopIteration) is None
