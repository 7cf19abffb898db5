"""What happened in the demo so far, told by the log alone: events in, figures out."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Event = Mapping[str, Any]
"""One CloudEvent of the service's log."""


@dataclass(slots=True)
class TaskTale:
    """One task: what it is called here, who had it, and how it stands."""

    label: str
    status: str = "queued"
    attempt: int = 0
    agent_id: str | None = None
    started_at: datetime | None = None
    result: Any = None
    completions: int = 0


@dataclass(slots=True)
class AgentTale:
    """One agent: what it is called, what it has in hand, and what it did."""

    name: str
    slots: int
    online: bool = False
    in_hand: dict[str, None] = field(default_factory=dict)
    completed: int = 0
    failed: int = 0
    lost: int = 0


@dataclass(slots=True)
class Rescue:
    """A lease that expired, and where its task ended up."""

    task_id: str
    label: str
    attempt: int
    lost_by: str
    expired_at: datetime
    taken_by: str | None = None
    completed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something worth a line to whoever watches."""

    at: datetime
    text: str
    is_trouble: bool = False


@dataclass(slots=True)
class Routing:
    """How agents were chosen."""

    decisions: int = 0
    #: With more than one agent waiting for such a task.
    contested: int = 0
    #: ... of which the agent with the lowest load score won.
    won_by_least_loaded: int = 0


class Story:
    """A fold over the log. It knows the names of tasks and agents, and takes each event once."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskTale] = {}
        self.agents: dict[str, AgentTale] = {}
        self.rescues: list[Rescue] = []
        self.moments: list[Moment] = []
        self.routing = Routing()
        self.events = Counter[str]()
        self.retries = 0
        self.first_start: datetime | None = None
        self.last_end: datetime | None = None

    def expect_agent(self, agent_id: str, name: str, *, slots: int) -> None:
        """Give a name to an agent before its first event."""
        self.agents[agent_id] = AgentTale(name=name, slots=slots)

    def expect_task(self, task_id: str, label: str) -> None:
        """Give a name to a task before its first event."""
        self.tasks[task_id] = TaskTale(label=label)

    def take(self, event: Event) -> None:
        """Tell one more event; what the demo does not know is counted and left alone."""
        self.events[event["type"]] += 1
        aggregate, _, identity = event["subject"].partition("/")
        at = datetime.fromisoformat(event["time"])
        if aggregate == "task" and identity in self.tasks:
            self._take_task(event, identity, at)
        elif aggregate == "agent" and identity in self.agents:
            self._take_agent(event["type"], self.agents[identity], at)

    def note(self, at: datetime, text: str, *, is_trouble: bool = False) -> None:
        """Keep something worth a line."""
        self.moments.append(Moment(at, text, is_trouble))

    @property
    def completed(self) -> int:
        """Tasks that are done."""
        return sum(1 for task in self.tasks.values() if task.status == "completed")

    @property
    def failed(self) -> int:
        """Tasks that failed for good."""
        return sum(1 for task in self.tasks.values() if task.status in {"failed", "cancelled"})

    @property
    def running(self) -> int:
        """Tasks that an agent has in hand."""
        return sum(len(agent.in_hand) for agent in self.agents.values())

    @property
    def is_over(self) -> bool:
        """Whether every expected task has ended."""
        return self.completed + self.failed == len(self.tasks)

    @property
    def seconds_worked(self) -> float:
        """From the first start of a task to the latest end of one."""
        if self.first_start is None or self.last_end is None:
            return 0.0
        return (self.last_end - self.first_start).total_seconds()

    def agent_name(self, agent_id: str | None) -> str:
        """What an agent is called; its id where it is none of ours."""
        agent = self.agents.get(agent_id or "")
        return agent.name if agent else str(agent_id)

    # Tasks.

    def _take_task(self, event: Event, task_id: str, at: datetime) -> None:
        task, facts = self.tasks[task_id], event["data"]
        match event["type"]:
            case "task.assigned":
                self._hand_over(task, task_id, facts)
            case "task.started":
                task.status, task.started_at = "running", at
                self.first_start = self.first_start or at
            case "task.completed":
                self._complete(task, task_id, facts, at)
            case "task.attempt_failed":
                self._fail_attempt(task, task_id, facts, at)
            case "task.lease_expired":
                self._expire(task, task_id, facts, at)
            case "task.failed" | "task.cancelled":
                self._take_back(task, task_id)
                task.status, self.last_end = event["type"].removeprefix("task."), at
                self.note(at, f"{task.label} failed for good", is_trouble=True)
            case "task.released" | "task.queued":
                self._take_back(task, task_id)
                task.status = "queued"

    def _hand_over(self, task: TaskTale, task_id: str, facts: Event) -> None:
        task.status, task.attempt, task.agent_id = "assigned", facts["attempt"], facts["agent_id"]
        if agent := self.agents.get(facts["agent_id"]):
            agent.in_hand[task_id] = None
        for rescue in self._open_rescues(task_id):
            rescue.taken_by = self.agent_name(task.agent_id)
        self._judge(facts["decision"])

    def _judge(self, decision: Event) -> None:
        self.routing.decisions += 1
        scores = {rival["agent_id"]: rival["score"] for rival in decision["candidates"]}
        if len(scores) > 1:
            self.routing.contested += 1
            if scores[decision["winner"]] == min(scores.values()):
                self.routing.won_by_least_loaded += 1

    def _complete(self, task: TaskTale, task_id: str, facts: Event, at: datetime) -> None:
        agent = self._take_back(task, task_id)
        if agent:
            agent.completed += 1
        task.status, task.result, self.last_end = "completed", facts["result"], at
        task.completions += 1
        for rescue in self._open_rescues(task_id):
            rescue.completed_at = at
            self.note(at, f"{task.label} was finished by {rescue.taken_by} instead")

    def _fail_attempt(self, task: TaskTale, task_id: str, facts: Event, at: datetime) -> None:
        agent = self._take_back(task, task_id)
        if agent:
            agent.failed += 1
        name = self.agent_name(facts["agent_id"])
        if facts["retry_at"] is not None:
            task.status = "scheduled"
            if self.retries == 0:  # The first one tells what the counters mean from then on.
                self.note(at, f"{name} failed {task.label} ({facts['message']}): tried again later")
            self.retries += 1

    def _expire(self, task: TaskTale, task_id: str, facts: Event, at: datetime) -> None:
        agent = self._take_back(task, task_id)
        if agent:
            agent.lost += 1
        task.status = "queued"
        name = self.agent_name(facts["agent_id"])
        self.rescues.append(
            Rescue(
                task_id=task_id,
                label=task.label,
                attempt=facts["attempt"],
                lost_by=name,
                expired_at=at,
            )
        )
        self.note(at, f"lease expired: {task.label} goes back from {name}", is_trouble=True)

    def _take_back(self, task: TaskTale, task_id: str) -> AgentTale | None:
        """Out of the hands of whoever has it."""
        agent = self.agents.get(task.agent_id or "")
        task.started_at = None
        if agent:
            agent.in_hand.pop(task_id, None)
        return agent

    def _open_rescues(self, task_id: str) -> list[Rescue]:
        return [r for r in self.rescues if r.task_id == task_id and r.completed_at is None]

    # Agents.

    def _take_agent(self, kind: str, agent: AgentTale, at: datetime) -> None:
        match kind:
            case "agent.came_online":
                agent.online = True
                self.note(at, f"{agent.name} came online")
            case "agent.went_offline":
                agent.online = False
                self.note(at, f"{agent.name} went offline: not heard of", is_trouble=True)
