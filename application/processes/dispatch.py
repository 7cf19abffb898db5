"""The dispatcher: brings tasks that are ready and agents that wait together.

Agents pull, so work is bound to an agent as late as possible. Of the agents that wait and can do
the best ranked task, the router picks one; the whole decision goes into `task.assigned`. What may
run twice: a task whose lease expired while its worker still worked. What cannot happen twice: an
accepted report of one attempt.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from application.commands.agents import BringOnline
from application.commands.tasks import AssignTask, Grant, ReportReleased
from application.cursor import Cursor
from application.duties import cancelled
from application.erasure.errors import SubjectLocked
from application.ports import Clock, Json, Page, Record
from application.processes import origin_of
from application.processes.choosing import Choice, LeaseRequest, choose
from application.processes.floor import Floor, KnownAgent, OpenTask, retried_task
from application.receipt import Receipt
from application.workforce import Attempt, GrantedLease, HeartbeatAnswer, LeaseAnswer
from application.writer import Commands
from domain.agent import Standing
from domain.errors import AgentRetired, AggregateNotFound, ControlPlaneError, Unavailable
from domain.routing import Decision, Policy
from domain.task import Task

AWAY_PAUSE_SECONDS = 0.2
log = structlog.get_logger("dispatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What agents are told and held to."""

    lease: timedelta
    heartbeat_seconds: float


class Dispatcher:
    """Implements `application.workforce.Workforce` over the floor. For one event loop."""

    def __init__(
        self,
        floor: Floor,
        commands: Commands,
        clock: Clock,
        *,
        terms: Terms,
        policy: Policy,
        epoch: int,
        load_task: Callable[[UUID], Awaitable[Task]],
        load_inputs: Callable[[Sequence[UUID]], Awaitable[dict[UUID, Json]]],
    ) -> None:
        self.floor = floor
        self._commands = commands
        self._clock = clock
        self._terms = terms
        self._policy = policy
        self._epoch = epoch
        self._load_task = load_task
        self._load_inputs = load_inputs
        self._requests: dict[UUID, list[LeaseRequest]] = {}
        self._changed = asyncio.Event()
        self._giving_back: set[asyncio.Task[None]] = set()

    async def handle(self, page: Page) -> None:
        """Fold a page of the log, and look again at what can be assigned."""
        for record, event in page:
            if isinstance(event, Task.Retried) and record.aggregate_id not in self.floor.tasks:
                await self._reopen(record, queued_at=event.timestamp)
            else:
                self.floor.apply(record, event)
        self._announce_news()
        self._changed.set()

    async def _reopen(self, record: Record, *, queued_at: datetime) -> None:
        """A task that had ended, and was forgotten, begins again."""
        task = await self._load_task(record.aggregate_id)
        self.floor.open(retried_task(task, record, queued_at=queued_at), now=queued_at)

    async def run(self) -> None:
        """Assign for ever."""
        while not cancelled():
            await self._changed.wait()
            self._changed.clear()
            while not cancelled():
                chosen = choose(self.floor, self._requests, self._policy)
                if not chosen:
                    break
                if not await self._assign(chosen):
                    await asyncio.sleep(AWAY_PAUSE_SECONDS)

    async def heartbeat(
        self,
        tenant: str,
        agent_id: UUID,
        *,
        cpu: float | None,
        memory: float | None,
        queue: int,
        running: Sequence[Attempt],
    ) -> HeartbeatAnswer:
        """The agent lives; renew the leases it names. Raises AggregateNotFound, AgentRetired."""
        agent = self.agent(tenant, agent_id)
        agent.cpu, agent.memory, agent.queue = cpu, memory, queue
        await self._heard_of(agent)
        cancel, lost = [], []
        now = self._clock()
        # One by one: a worker that is slow to stop may name two attempts of one task.
        for one in running:
            lease = agent.held.get(one.task_id)
            if lease is not None and lease.attempt == one.attempt:
                agent.held[one.task_id] = lease.renewed(now, self._terms.lease)
            elif agent.cancels.get(one.task_id) == one.attempt:
                cancel.append(one)
            else:
                lost.append(one)
        for task_id in agent.cancels.keys() - {one.task_id for one in running}:
            # It has stopped, or never knew of it.
            if task_id in agent.told:
                del agent.cancels[task_id]
                agent.told.discard(task_id)
        agent.told.update(one.task_id for one in cancel)
        return HeartbeatAnswer(
            state=agent.state,
            cancel=cancel,
            lost=lost,
            lease_seconds=self._terms.lease.total_seconds(),
            heartbeat_seconds=self._terms.heartbeat_seconds,
        )

    async def lease(
        self, tenant: str, agent_id: UUID, *, slots: int, wait_seconds: float
    ) -> LeaseAnswer:
        """Up to `slots` leases, as soon as there is one. Raises AggregateNotFound, AgentRetired.

        Cancelling the call withdraws the request, and gives back what was granted meanwhile.
        """
        agent = self.agent(tenant, agent_id)
        await self._heard_of(agent)
        request = LeaseRequest(agent_id, slots, asyncio.get_running_loop().create_future())
        if not self._untold(agent):
            self._requests.setdefault(agent_id, []).append(request)
            self._changed.set()
            try:
                await request.wait(wait_seconds)
            except asyncio.CancelledError:
                self._give_back(agent_id, [attempt_of(lease.grant) for lease in request.granted])
                raise
            finally:
                self._withdraw(request)
        if agent.standing is Standing.RETIRED:
            self._give_back(agent_id, [attempt_of(lease.grant) for lease in request.granted])
            raise AgentRetired(agent_id)
        cancel = [Attempt(task_id=t, attempt=agent.cancels[t]) for t in self._untold(agent)]
        agent.told.update(one.task_id for one in cancel)
        leases = await self._with_inputs(agent_id, request.granted)
        return LeaseAnswer(leases=leases, cancel=cancel, state=agent.state)

    async def _with_inputs(
        self, agent_id: UUID, granted: Sequence[GrantedLease]
    ) -> list[GrantedLease]:
        """The leases with what there is to do; given back when that cannot be read now."""
        if not granted:
            return []
        try:
            inputs = await self._load_inputs([lease.grant.task_id for lease in granted])
        except (Unavailable, asyncio.CancelledError):
            self._give_back(agent_id, [attempt_of(lease.grant) for lease in granted])
            raise
        return [
            replace(lease, grant=replace(lease.grant, input=inputs[lease.grant.task_id]))
            for lease in granted
        ]

    def agent(self, tenant: str, agent_id: UUID) -> KnownAgent:
        """An agent that serves. Raises AggregateNotFound, AgentRetired."""
        agent = self.floor.agents.get(agent_id)
        if agent is None or agent.tenant != tenant:
            raise AggregateNotFound("agent", agent_id)
        if agent.standing is Standing.RETIRED:
            raise AgentRetired(agent_id)
        return agent

    def release_all(self) -> None:
        """Answer everybody who waits, with what there is."""
        for request in [one for requests in self._requests.values() for one in requests]:
            request.answer()

    async def _heard_of(self, agent: KnownAgent) -> None:
        agent.last_heard_at = self._clock()
        agent.heard_of = True
        if not agent.online:
            origin = origin_of("presence", agent.tenant, causation_id=None)
            await self._commands.execute(BringOnline(origin=origin, agent_id=agent.agent_id))
            agent.online = True

    def _untold(self, agent: KnownAgent) -> set[UUID]:
        return agent.cancels.keys() - agent.told

    def _announce_news(self) -> None:
        for agent_id, requests in self._requests.items():
            agent = self.floor.agents.get(agent_id)
            retired = agent is not None and agent.standing is Standing.RETIRED
            if agent is not None and (retired or self._untold(agent)):
                for request in requests:
                    request.answer()

    def _withdraw(self, request: LeaseRequest) -> None:
        requests = self._requests.get(request.agent_id, [])
        if request in requests:
            requests.remove(request)
        if not requests:
            self._requests.pop(request.agent_id, None)

    # Assigning: the decisions become events, then leases.

    async def _assign(self, chosen: Sequence[Choice]) -> bool:
        """Commit the decisions and hand out the leases; False when the database was away."""
        commands = [
            AssignTask(
                origin=origin_of(
                    "dispatch", task.tenant, causation_id=str(Cursor(self._epoch, task.position))
                ),
                task_id=task.task_id,
                decision=decision,
                lease=self._terms.lease,
            )
            for task, decision, _ in chosen
        ]
        outcomes: Sequence[Receipt | ControlPlaneError]
        try:
            outcomes = await self._commands.execute_many(commands)
        except Unavailable as error:
            outcomes = [error] * len(commands)
        available = True
        now = self._clock()
        for (task, decision, request), outcome in zip(chosen, outcomes, strict=True):
            request.in_flight -= 1
            if isinstance(outcome, Receipt):
                self._grant(task, decision, request, outcome, now + self._terms.lease)
            else:
                available = available and not _away(outcome)
                self._not_assigned(task, outcome, now)
            if request.over and not request.in_flight:
                request.answer()
        return available

    def _grant(
        self,
        task: OpenTask,
        decision: Decision,
        request: LeaseRequest,
        receipt: Receipt,
        expires_at: datetime,
    ) -> None:
        grant: Grant = receipt.grant
        self.floor.hold(task, decision.winner, grant.attempt, expires_at)
        if request not in self._requests.get(request.agent_id, []):
            # Its wait was over while this was being committed: nobody would ever work on it.
            self._give_back(request.agent_id, [attempt_of(grant)])
            return
        request.granted.append(GrantedLease(grant=grant, expires_at=expires_at))
        request.answer()

    def _give_back(self, agent_id: UUID, attempts: Sequence[Attempt]) -> None:
        """Queue again at once what was leased to somebody who does not know of it."""
        if not attempts:
            return
        tenant = self.floor.agents[agent_id].tenant
        commands = [
            ReportReleased(
                origin=origin_of("dispatch", tenant, causation_id=None),
                task_id=one.task_id,
                agent_id=agent_id,
                attempt=one.attempt,
            )
            for one in attempts
        ]
        giving = asyncio.create_task(self._release(commands))
        self._giving_back.add(giving)
        giving.add_done_callback(self._giving_back.discard)

    async def _release(self, commands: Sequence[ReportReleased]) -> None:
        # Where the database is away, the lease ends by itself.
        with suppress(Unavailable):
            await self._commands.execute_many(commands)

    def _not_assigned(self, task: OpenTask, error: ControlPlaneError, now: datetime) -> None:
        if _away(error):
            self.floor.ready.put(
                task.task_id,
                task.requirements,
                priority=task.priority,
                queued_at=task.queued_at or now,
            )
        else:
            # Somebody was faster, as with a cancellation; the log tells what the task is now. One
            # of a locked subject stays queued in the log, and waits for the next to lead: signing
            # keys change with the process.
            log.info("not_assigned", task_id=str(task.task_id), code=error.code)


def _away(error: ControlPlaneError) -> bool:
    """Whether it is worth to try again at once."""
    return isinstance(error, Unavailable) and not isinstance(error, SubjectLocked)


def attempt_of(grant: Grant) -> Attempt:
    """The attempt that was granted."""
    return Attempt(task_id=grant.task_id, attempt=grant.attempt)
