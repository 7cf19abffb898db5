"""Choosing: which ready tasks go to which of the agents that wait. Pure, on what is known now."""

import asyncio
import heapq
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from application.processes.floor import Floor, KnownAgent, OpenTask
from application.processes.ready_queue import Requirements
from application.workforce import GrantedLease
from domain.agent import Standing
from domain.routing import Decision, Policy, Reading, decide

ASSIGNMENTS_MAX = 256
"""Assignments decided in one turn; they are committed together."""
CANDIDATES_MAX = 64
"""Agents considered for one task. All of them stand in its event, which has to stay small."""
LOT = secrets.SystemRandom()
WAIT_SECONDS_MIN = 0.05
"""Who will not wait at all still gets one turn of the dispatcher."""


@dataclass(slots=True, eq=False)
class LeaseRequest:
    """An agent waits for up to `slots` leases."""

    agent_id: UUID
    slots: int
    answered: "asyncio.Future[None]"
    granted: list[GrantedLease] = field(default_factory=list)
    in_flight: int = 0
    """Assignments that were chosen for it and are being committed."""
    over: bool = False
    """Nothing more is chosen for it."""

    def answer(self) -> None:
        """Whoever waits goes on; once more changes nothing."""
        if not self.answered.done():
            self.answered.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Until it is answered or its time is over; what is being committed for it then, is waited
        for, since it would otherwise be assigned to nobody."""
        await asyncio.wait([self.answered], timeout=max(seconds, WAIT_SECONDS_MIN))
        self.over = True
        if self.in_flight:
            await asyncio.wait([self.answered])


Requests = Mapping[UUID, Sequence[LeaseRequest]]
Choice = tuple[OpenTask, Decision, LeaseRequest]
Places = dict[KnownAgent, list[LeaseRequest]]


def choose(floor: Floor, requests: Requests, policy: Policy) -> list[Choice]:
    """The best ranked tasks for the agents that wait, with the decisions that led there.

    They leave the ready queue, and are in flight for the requests that they go to.
    """
    free = _free_places(floor, requests)
    ready = floor.ready
    # A line leaves the heap when it is empty or its agents are busy: within a turn, for good.
    lines = ready.lines() if free else ()
    heads = [(head, line) for line in lines if (head := ready.first(line))]
    heapq.heapify(heads)
    chosen: list[Choice] = []
    won: Counter[UUID] = Counter()
    while heads and len(chosen) < ASSIGNMENTS_MAX:
        _, line = heapq.heappop(heads)
        candidates = _able(line, free)
        taken = ready.take_best([line]) if candidates else None
        if taken is None:
            continue
        _, task_id = taken
        if (head := ready.first(line)) is not None:
            heapq.heappush(heads, (head, line))
        readings = [_reading(agent, won[agent.agent_id]) for agent in candidates]
        decision = decide(policy, readings, seed=secrets.randbits(32))
        winner = floor.agents[decision.winner]
        won[winner.agent_id] += 1
        request = free[winner].pop()
        request.in_flight += 1
        chosen.append((floor.tasks[task_id], decision, request))
    return chosen


def _free_places(floor: Floor, requests: Requests) -> Places:
    """For each agent that waits and may take work, the request behind each slot it can fill."""
    free = {}
    for agent_id, waiting in requests.items():
        agent = floor.agents.get(agent_id)
        if agent is None or agent.standing is not Standing.ACTIVE:
            continue
        wanted = [
            request
            for request in waiting
            if not request.answered.done() and not request.over
            for _ in range(request.slots - len(request.granted))
        ]
        places = wanted[: max(agent.slots - len(agent.held), 0)]
        if places:
            free[agent] = places
    return free


def _reading(agent: KnownAgent, being_assigned: int) -> Reading:
    return Reading(
        agent_id=agent.agent_id,
        cpu=agent.cpu,
        memory=agent.memory,
        queue=max(len(agent.held) + being_assigned, agent.queue),
        slots=agent.slots,
    )


def _able(line: Requirements, free: Places) -> list[KnownAgent]:
    """Those that have a place and can do what this line asks for; of very many, some by lot."""
    tenant, requires = line
    able = [
        agent
        for agent, places in free.items()
        if places and agent.tenant == tenant and requires <= agent.capabilities
    ]
    return able if len(able) <= CANDIDATES_MAX else LOT.sample(able, CANDIDATES_MAX)
