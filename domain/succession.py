"""What may follow on what: the tables of README.md, for histories that were written elsewhere.

Decisions keep to these rules by themselves; what others recorded is held against them before it is
taken in, since evolution never refuses.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from domain.agent import Agent, Standing, agent_id_of
from domain.aggregate import Aggregate, FirstEvent
from domain.task import REFUSALS_RECORDED_MAX, Task
from domain.task_shape import FINAL, LEASED, TaskStatus

TaskRule = Callable[[Task, Any], bool]
AgentRule = Callable[[Agent], bool]


def may_follow(aggregate: Aggregate | None, event: AggregateEvent) -> bool:
    """Whether the event can have happened to the aggregate as it stands; None: before its first."""
    if aggregate is None or isinstance(event, FirstEvent):
        return aggregate is None and isinstance(event, FirstEvent) and _may_begin(event)
    if isinstance(aggregate, Task) and type(event) in TASK_RULES:
        return TASK_RULES[type(event)](aggregate, event)
    if isinstance(aggregate, Agent) and type(event) in AGENT_RULES:
        return AGENT_RULES[type(event)](aggregate)
    return False


def is_half(event: AggregateEvent) -> bool:
    """Whether `task.failed` is recorded together with it, right behind."""
    match event:
        case Task.AttemptFailed():
            return event.retry_at is None
        case Task.LeaseExpired():
            return event.last_attempt
    return False


def agent_named_by(event: AggregateEvent) -> UUID | None:
    """The agent that an event of a task speaks of, if any."""
    named: UUID | None = getattr(event, "agent_id", None)
    return named


def _may_begin(event: AggregateEvent) -> bool:
    match event:
        case Task.Submitted():
            alone = event.parent_id is None
            is_own_parent = event.originator_id in (event.parent_id, event.root_id)
            return not is_own_parent and alone == (event.root_id is None) == (event.depth == 0)
        case Agent.Registered():
            return event.originator_id == agent_id_of(event.tenant, event.name)
    return False


def _holds(task: Task, event: Any) -> bool:
    """The holder of the present lease, naming the present attempt."""
    is_present = task.status in LEASED and event.attempt == task.attempt
    return is_present and agent_named_by(event) in (None, task.agent_id)


def _is_open(task: Task, _: Any) -> bool:
    return task.status not in FINAL


def _assignable(task: Task, event: Task.Assigned) -> bool:
    is_next = task.status is TaskStatus.QUEUED and event.attempt == task.attempt + 1
    return is_next and event.decision.winner == event.agent_id


def _in(status: TaskStatus) -> TaskRule:
    return lambda task, _: task.status is status


TASK_RULES: dict[type[Any], TaskRule] = {
    Task.Approved: _in(TaskStatus.AWAITING_APPROVAL),
    Task.Rejected: _in(TaskStatus.AWAITING_APPROVAL),
    Task.Queued: _in(TaskStatus.SCHEDULED),
    Task.Assigned: _assignable,
    Task.Started: lambda task, event: task.status is TaskStatus.ASSIGNED and _holds(task, event),
    Task.Progressed: _holds,
    Task.Completed: _holds,
    Task.AttemptFailed: _holds,
    Task.LeaseExpired: _holds,
    Task.Released: _holds,
    Task.Failed: _is_open,
    Task.Cancelled: _is_open,
    Task.Retried: _in(TaskStatus.FAILED),
    Task.ReportRefused: lambda task, _: task.refusals < REFUSALS_RECORDED_MAX,
}
AGENT_RULES: dict[type[Any], AgentRule] = {
    Agent.Changed: lambda agent: agent.standing is not Standing.RETIRED,
    Agent.CameOnline: lambda agent: agent.standing is not Standing.RETIRED and not agent.online,
    Agent.WentOffline: lambda agent: agent.online,
    Agent.Drained: lambda agent: agent.standing is Standing.ACTIVE,
    Agent.Resumed: lambda agent: agent.standing is Standing.DRAINING,
    Agent.Retired: lambda agent: agent.standing is not Standing.RETIRED,
    Agent.Reinstated: lambda agent: agent.standing is Standing.RETIRED,
}
