"""A deterministic simulation: recorded arrivals and run times, under one policy.

Agents have the slots and the readings that they were last recorded with, and do what they were ever
considered for. An attempt takes as long as it took; by another agent, as long as that one's
attempts of the kind took on average, or everybody's.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from application.decisions.replay import Job, Replay, Sighting
from domain.routing import Policy, Reading, winner_of

TURN_STEPS = 1_000
"""So many steps between two pauses: some 10 ms of a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Waiting for an agent, and from being ready to the end: in seconds, of each attempt.

    `until_last`: from when the first was ready to when the last ended.
    """

    waiting: Sequence[float]
    finishing: Sequence[float]
    until_last: float


class RunTimes:
    """How long attempts take, in seconds."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        sums: defaultdict[tuple[UUID | None, str | None], list[float]] = defaultdict(
            lambda: [0.0, 0]
        )
        for job in jobs:
            took = _took(job)
            if took is not None:
                for key in ((job.agent_id, job.kind), (None, job.kind), (None, None)):
                    sums[key][0] += took
                    sums[key][1] += 1
        self._means = {key: total / count for key, (total, count) in sums.items()}

    def of(self, job: Job, agent_id: UUID) -> float:
        """As it was recorded, or else on average."""
        took = _took(job) if agent_id == job.agent_id else None
        if took is not None:
            return took
        keys = ((agent_id, job.kind), (None, job.kind), (None, None))
        return next((self._means[key] for key in keys if key in self._means), 0.0)


def happened(jobs: Sequence[Job]) -> Times:
    """What was recorded; an attempt that did not end within the range has no finishing time."""
    ends = [(job.ready_at, job.ended_at) for job in jobs if job.ended_at is not None]
    last = max((end for _, end in ends), default=None)
    first = min(job.ready_at for job in jobs)
    return Times(
        waiting=[_between(job.ready_at, job.assigned_at) for job in jobs],
        finishing=[_between(ready, end) for ready, end in ends],
        until_last=_between(first, last) if last else 0.0,
    )


@dataclass(slots=True, eq=False)
class _Server:
    """An agent of the simulation. `reading` is None until it is first seen; its queue is what it
    holds."""

    agent_id: UUID
    reading: Reading | None = None
    score: float | None = None
    lines: "list[_Line]" = field(default_factory=list)

    @property
    def has_room(self) -> bool:
        return self.reading is not None and self.reading.queue < self.reading.slots

    def see(self, **changes: Any) -> None:
        assert self.reading is not None, "it was seen"
        self.reading = replace(self.reading, **changes)
        self.score = None

    def scored(self, policy: Policy) -> float:
        if self.score is None:
            assert self.reading is not None, "it was seen"
            self.score = policy.score(self.reading)
        return self.score


@dataclass(slots=True, eq=False)
class _Line:
    """Attempts that the same agents can do, those that wait the longest first."""

    servers: list[_Server]
    waiting: deque[Job] = field(default_factory=deque)


class Simulation:
    """One policy at work on a replay's attempts. `times` is there when `run` has come to its
    end."""

    def __init__(self, replay: Replay, policy: Policy, run_times: RunTimes) -> None:
        self.times: Times | None = None
        self._policy = policy
        self._run_times = run_times
        self._jobs = sorted(replay.jobs, key=lambda job: (job.ready_at, job.position))
        self._sightings: deque[Sighting] = deque(replay.sightings)
        self._servers: dict[UUID, _Server] = {}
        self._lines = self._drawn_up(replay)
        self._ends: list[tuple[datetime, int, _Server]] = []
        self._waiting: list[float] = []
        self._finishing: list[float] = []
        self._last = self._first = self._jobs[0].ready_at

    def _drawn_up(self, replay: Replay) -> dict[str, _Line]:
        """By kind: the line it waits in, one for all kinds that the same agents can do."""
        alike: dict[frozenset[UUID], _Line] = {}
        for agents in replay.able.values():
            if frozenset(agents) in alike:
                continue
            # In a fixed order: a set's is not the same in every process.
            servers = [self._servers.setdefault(one, _Server(one)) for one in sorted(agents)]
            alike[frozenset(agents)] = line = _Line(servers)
            for server in servers:
                server.lines.append(line)
        return {kind: alike[frozenset(agents)] for kind, agents in replay.able.items()}

    def run(self) -> Iterator[None]:
        """Go through all attempts, with a pause after every so many steps."""
        steps = 0
        for job in [*self._jobs, None]:
            while self._goes_on(until=job):
                self._next()
                if (steps := steps + 1) % TURN_STEPS == 0:
                    yield
            if job is not None:
                self._arrive(job)
        self.times = Times(
            waiting=self._waiting,
            finishing=self._finishing,
            until_last=_between(self._first, self._last),
        )

    def _goes_on(self, *, until: Job | None) -> bool:
        at = self._next_at()
        return at is not None and (until is None or at <= until.ready_at)

    def _next_at(self) -> datetime | None:
        end = self._ends[0][0] if self._ends else None
        seen = self._sightings[0].at if self._sightings else None
        if end is None or seen is None:
            return end or seen
        return min(end, seen)

    def _next(self) -> None:
        """The next end of an attempt, or what is next known of an agent."""
        at = self._next_at()
        assert at is not None, "it goes on"
        if self._ends and self._ends[0][0] == at:
            _, _, server = heapq.heappop(self._ends)
            assert server.reading is not None, "it worked"
            server.see(queue=server.reading.queue - 1)
        else:
            server = self._see(self._sightings.popleft().reading)
        self._offer(server, at)

    def _see(self, seen: Reading) -> _Server:
        server = self._servers[seen.agent_id]
        slots = max(seen.slots, 1)
        if server.reading is None:
            server.reading = Reading(
                agent_id=seen.agent_id, cpu=seen.cpu, memory=seen.memory, queue=0, slots=slots
            )
        else:
            server.see(cpu=seen.cpu, memory=seen.memory, slots=slots)
        return server

    def _arrive(self, job: Job) -> None:
        line = self._lines[job.kind]
        free = [] if line.waiting else [one for one in line.servers if one.has_room]
        if not free:
            line.waiting.append(job)
            return
        scores = [one.scored(self._policy) for one in free]
        readings = [one.reading for one in free if one.reading is not None]
        winner = winner_of(readings, scores, seed=job.seed)
        self._start(job, self._servers[winner], job.ready_at)

    def _offer(self, server: _Server, now: datetime) -> None:
        """Whoever waits longest for an agent that has room gets it: where somebody waits, no other
        agent has."""
        while server.has_room:
            heads = [line.waiting for line in server.lines if line.waiting]
            if not heads:
                return
            first = min(heads, key=lambda waiting: (waiting[0].ready_at, waiting[0].position))
            self._start(first.popleft(), server, now)

    def _start(self, job: Job, server: _Server, now: datetime) -> None:
        assert server.reading is not None, "it has room"
        server.see(queue=server.reading.queue + 1)
        end = now + timedelta(seconds=self._run_times.of(job, server.agent_id))
        heapq.heappush(self._ends, (end, job.position, server))
        self._waiting.append(_between(job.ready_at, now))
        self._finishing.append(_between(job.ready_at, end))
        self._last = max(self._last, end)


def _took(job: Job) -> float | None:
    return None if job.ended_at is None else _between(job.assigned_at, job.ended_at)


def _between(begin: datetime, end: datetime) -> float:
    return max((end - begin).total_seconds(), 0.0)
