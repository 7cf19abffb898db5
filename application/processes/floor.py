"""What the dispatcher knows: open tasks, agents, leases and what falls due; folded from the log."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.ports import Record
from application.processes.ready_queue import ReadyQueue, Requirements
from domain.agent import Agent, Standing
from domain.lease import Lease
from domain.task import Task
from domain.task_shape import LEASED, TaskStatus

LINES_SHARED_MAX = 10_000


@dataclass(slots=True, kw_only=True, eq=False)
class OpenTask:
    """A task that has not ended, as far as dispatching needs it. `position` is that of its last
    event."""

    task_id: UUID
    tenant: str
    requires: frozenset[str]
    priority: int
    timeout_seconds: int
    not_before: datetime | None
    deadline: datetime | None
    status: str
    version: int
    position: int
    attempt: int = 0
    agent_id: UUID | None = None
    queued_at: datetime | None = None
    due_at: datetime | None = None
    assigned_at: datetime | None = None
    started_at: datetime | None = None

    @property
    def requirements(self) -> Requirements:
        """The line it waits in."""
        return self.tenant, self.requires


def retried_task(task: Task, record: Record, *, queued_at: datetime) -> OpenTask:
    """What dispatching needs of a task as it stood right after it was retried; what came after is
    folded as it is met in the log."""
    return OpenTask(
        task_id=task.id,
        tenant=task.tenant,
        requires=frozenset(task.requires),
        priority=task.priority,
        timeout_seconds=task.timeout_seconds,
        not_before=task.not_before,
        deadline=task.deadline,
        status=TaskStatus.QUEUED,
        version=record.version,
        position=record.position,
        attempt=task.attempt,
        queued_at=queued_at,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class KnownAgent:
    """An agent, what it holds, and what was heard of it.

    `heard_of`: since this dispatcher began. `told`: cancellations that it was told of. `written`:
    how many pieces of output came of each attempt that it holds. `retired_by`: the position of the
    event, None unless it was met in the log.
    """

    agent_id: UUID
    tenant: str
    capabilities: frozenset[str]
    slots: int
    standing: Standing
    online: bool
    version: int
    last_heard_at: datetime
    heard_of: bool = False
    cpu: float | None = None
    memory: float | None = None
    queue: int = 0
    held: dict[UUID, Lease] = field(default_factory=dict)
    cancels: dict[UUID, int] = field(default_factory=dict)
    told: set[UUID] = field(default_factory=set)
    written: dict[UUID, int] = field(default_factory=dict)
    retired_by: int | None = None

    def must_stop(self, task_id: UUID, attempt: int) -> None:
        """Remember to tell it that it works in vain."""
        if self.cancels.get(task_id) != attempt:
            self.cancels[task_id] = attempt
            self.told.discard(task_id)

    @property
    def state(self) -> str:
        """As `application.queries.AgentStatus.state` would have it."""
        return "available" if self.standing is Standing.ACTIVE else str(self.standing)


class Floor:
    """The state that decisions are made on. Everything here runs on the event loop."""

    def __init__(self, *, lease: timedelta, ageing_seconds: float) -> None:
        self.tasks: dict[UUID, OpenTask] = {}
        self.agents: dict[UUID, KnownAgent] = {}
        self.ready = ReadyQueue(ageing_seconds=ageing_seconds)
        self._lease = lease
        self._lines: dict[Requirements, Requirements] = {}
        self._due: list[tuple[datetime, UUID]] = []

    def open(self, task: OpenTask, *, now: datetime) -> None:
        """Take in a task as it stands. An outstanding lease gets a whole term from now, since
        nobody could renew it while no dispatcher ran."""
        self._take_in(task)
        if task.status == TaskStatus.QUEUED:
            self._put_ready(task, task.queued_at or now)
        elif task.status == TaskStatus.SCHEDULED and task.due_at is not None:
            self._fall_due(task.due_at, task)
        elif task.status in LEASED and task.agent_id is not None:
            task.assigned_at = now
            self.hold(task, task.agent_id, task.attempt, now + self._lease)

    def hold(self, task: OpenTask, agent_id: UUID, attempt: int, expires_at: datetime) -> None:
        """The agent has the lease. Known from the receipt of the assignment, before the log
        tells."""
        self.ready.discard(task.task_id)
        task.agent_id, task.attempt = agent_id, attempt
        agent = self.agents.get(agent_id)
        if agent is not None and task.task_id not in agent.held:
            agent.held[task.task_id] = Lease(
                task_id=task.task_id, attempt=attempt, agent_id=agent_id, expires_at=expires_at
            )

    def hold_outstanding(self, now: datetime) -> None:
        """Find the holder of every lease again, for agents that came to be known after their
        tasks."""
        for task in self.tasks.values():
            if task.status in LEASED and task.agent_id is not None:
                self.hold(task, task.agent_id, task.attempt, now + self._lease)

    def renew_all(self, now: datetime) -> None:
        """Give every outstanding lease a term from now."""
        for agent in self.agents.values():
            for task_id, lease in agent.held.items():
                agent.held[task_id] = lease.renewed(now, self._lease)

    def due(self, now: datetime) -> Iterator[OpenTask]:
        """Tasks of which something fell due: their moment to start, or their deadline."""
        while self._due and self._due[0][0] <= now:
            _, task_id = heapq.heappop(self._due)
            task = self.tasks.get(task_id)
            if task is not None:
                yield task

    def come_back_to(self, task: OpenTask, at: datetime) -> None:
        """Ask again later what is due of it."""
        self._fall_due(at, task)

    def apply(self, record: Record, event: AggregateEvent) -> None:
        """Fold one event. What was folded before changes nothing."""
        if record.topic.startswith("agent."):
            self._apply_to_agent(record, event)
        elif isinstance(event, Task.Submitted):
            self._submitted(record, event)
        else:
            task = self.tasks.get(record.aggregate_id)
            if task is not None and record.version > task.version:
                task.version, task.position = record.version, record.position
                self._apply_to_task(task, event)

    def _submitted(self, record: Record, event: Task.Submitted) -> None:
        if record.aggregate_id in self.tasks:
            return
        task = OpenTask(
            task_id=record.aggregate_id,
            tenant=event.tenant,
            requires=frozenset(event.requires),
            priority=event.priority,
            timeout_seconds=event.timeout_seconds,
            not_before=event.not_before,
            deadline=event.deadline,
            status=TaskStatus.AWAITING_APPROVAL,
            version=record.version,
            position=record.position,
        )
        self._take_in(task)
        if not event.approval:
            self._wait_until(task, event.not_before, event.timestamp)

    def _take_in(self, task: OpenTask) -> None:
        # Of a million tasks, most ask for one of a few things.
        task.tenant, task.requires = self._lines.setdefault(task.requirements, task.requirements)
        if len(self._lines) > LINES_SHARED_MAX:
            self._lines.clear()
        self.tasks[task.task_id] = task
        if task.deadline is not None:
            self._fall_due(task.deadline, task)

    def _apply_to_task(self, task: OpenTask, event: AggregateEvent) -> None:
        match event:
            case Task.Approved():
                self._wait_until(task, task.not_before, event.timestamp)
            case Task.Assigned():
                task.status, task.assigned_at = TaskStatus.ASSIGNED, event.timestamp
                self.hold(task, event.agent_id, event.attempt, event.lease_expires_at)
            case Task.Started() | Task.Progressed():
                task.status = TaskStatus.RUNNING
                task.started_at = task.started_at or event.timestamp
            case Task.AttemptFailed():
                self._let_go(task)
                if event.retry_at is not None:
                    self._wait_until(task, event.retry_at, event.timestamp)
            case Task.Queued() | Task.Released() | Task.LeaseExpired() | Task.Retried():
                self._let_go(task)
                if not (isinstance(event, Task.LeaseExpired) and event.last_attempt):
                    self._wait_until(task, None, event.timestamp)
            case Task.Completed():
                self._end(task, stop_worker=False)
            case Task.Failed() | Task.Cancelled() | Task.Rejected():
                self._end(task, stop_worker=True)

    def _apply_to_agent(self, record: Record, event: AggregateEvent) -> None:
        agent = self.agents.get(record.aggregate_id)
        if isinstance(event, Agent.Registered) and agent is None:
            self.agents[record.aggregate_id] = KnownAgent(
                agent_id=record.aggregate_id,
                tenant=event.tenant,
                capabilities=frozenset(event.capabilities),
                slots=event.slots,
                standing=Standing.ACTIVE,
                online=False,
                version=record.version,
                last_heard_at=event.timestamp,
            )
        if agent is None or record.version <= agent.version:
            return
        agent.version = record.version
        match event:
            case Agent.Changed() | Agent.Reinstated():
                agent.capabilities, agent.slots = frozenset(event.capabilities), event.slots
                if isinstance(event, Agent.Reinstated):
                    agent.standing = Standing.ACTIVE
            case Agent.CameOnline():
                agent.online = True
            case Agent.WentOffline():
                agent.online = False
                # Should it come back, what it still runs is `lost` to it.
                agent.cancels.clear()
                agent.told.clear()
            case Agent.Drained():
                agent.standing = Standing.DRAINING
            case Agent.Resumed():
                agent.standing = Standing.ACTIVE
            case Agent.Retired():
                agent.standing, agent.online = Standing.RETIRED, False
                agent.retired_by = record.position

    def _wait_until(self, task: OpenTask, due_at: datetime | None, now: datetime) -> None:
        if due_at is None or due_at <= now:
            task.status, task.due_at = TaskStatus.QUEUED, None
            self._put_ready(task, now)
        else:
            task.status, task.due_at = TaskStatus.SCHEDULED, due_at
            self._fall_due(due_at, task)

    def _put_ready(self, task: OpenTask, queued_at: datetime) -> None:
        task.queued_at = queued_at
        self.ready.put(task.task_id, task.requirements, priority=task.priority, queued_at=queued_at)

    def _fall_due(self, at: datetime, task: OpenTask) -> None:
        heapq.heappush(self._due, (at, task.task_id))

    def _let_go(self, task: OpenTask) -> Lease | None:
        agent = self.agents.get(task.agent_id) if task.agent_id else None
        lease = agent.held.pop(task.task_id, None) if agent else None
        if agent:
            agent.written.pop(task.task_id, None)
        task.agent_id = task.assigned_at = task.started_at = None
        return lease

    def _end(self, task: OpenTask, *, stop_worker: bool) -> None:
        agent = self.agents.get(task.agent_id) if task.agent_id else None
        lease = self._let_go(task)
        self.ready.discard(task.task_id)
        del self.tasks[task.task_id]
        if agent and lease and stop_worker:
            agent.must_stop(task.task_id, lease.attempt)
