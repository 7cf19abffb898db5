"""A task's events told in order, each explained by those before it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from eventsourcing.domain import AggregateEvent

from application.decisions import sentences
from application.decisions.sentences import Names, clock_time, name_of, seconds
from application.ports import Record
from domain.routing import Decision, UnknownPolicyVersion, recomputed
from domain.task import Task

ENDS_OF_ATTEMPTS = (
    Task.Completed,
    Task.AttemptFailed,
    Task.LeaseExpired,
    Task.Released,
    Task.Failed,
    Task.Cancelled,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Since when a task waited for an agent, and because of what."""

    position: int
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A decision, and the same made again from what was recorded; `again` is None when this code
    does not know that version of the policy."""

    decision: Decision
    again: Decision | None
    ready: Ready | None
    waited: timedelta | None

    @property
    def reproduced(self) -> bool | None:
        """Whether every score and the winner came out as they were recorded; None: not known."""
        return None if self.again is None else self.again == self.decision


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTold:
    """An event in a sentence; `explained` for those that gave the task to an agent."""

    record: Record
    at: datetime
    attempt: int | None
    text: str
    explained: Explained | None = None


class Telling:
    """Goes through the events of one task, and keeps what later ones are explained by.

    `whole`: no event is missing, so that failures can be counted.
    """

    def __init__(self, names: Names, *, whole: bool) -> None:
        self._names = names
        self._whole = whole
        self._asked: Task.Submitted | None = None
        self._failures = 0
        self._ready: Ready | None = None
        self._due: tuple[datetime, str] | None = None
        self._assigned: Task.Assigned | None = None

    def tell(self, record: Record, event: AggregateEvent) -> StepTold | None:
        """The event in a sentence; None for what is routine."""
        explained = None
        if isinstance(event, Task.Assigned):
            explained = self._explained(event)
        self._count(event)
        text = self._by_people(record, event) or self._of_attempt(record, event)
        self._follow(record, event)
        if text is None:
            return None
        return StepTold(
            record=record,
            at=event.timestamp,
            attempt=getattr(event, "attempt", None),
            text=text,
            explained=explained,
        )

    def _explained(self, event: Task.Assigned) -> Explained:
        try:
            again = recomputed(event.decision)
        except UnknownPolicyVersion:
            again = None
        ready = self._ready
        waited = None if ready is None else max(event.timestamp - ready.at, timedelta())
        return Explained(decision=event.decision, again=again, ready=ready, waited=waited)

    def _count(self, event: AggregateEvent) -> None:
        if isinstance(event, Task.AttemptFailed | Task.LeaseExpired):
            self._failures += 1
        elif isinstance(event, Task.Retried):
            self._failures = 0

    # What is said.

    def _by_people(self, record: Record, event: AggregateEvent) -> str | None:
        match event:
            case Task.Submitted():
                of = f" as a part of task {event.parent_id}" if event.parent_id else ""
                return f"{record.actor} submitted it{of}. {self._beginning(event)}"
            case Task.Approved():
                return f"{record.actor} approved it. {self._wait(event.timestamp)}"
            case Task.Rejected():
                return sentences.ending("rejected", record.actor, event.reason)
            case Task.Cancelled():
                return sentences.ending("cancelled", record.actor, event.reason)
            case Task.Retried():
                attempts = f" of {self._asked.max_attempts} attempts" if self._asked else ""
                return f"{record.actor} gave it a new set{attempts}; it was queued at once."
            case _:
                return None

    def _of_attempt(self, record: Record, event: AggregateEvent) -> str | None:
        who = name_of(event.agent_id, self._names) if hasattr(event, "agent_id") else ""
        match event:
            case Task.Queued():
                return f"Its time had come, and it was queued: {self._reason_due()} was over."
            case Task.Assigned():
                return f"{sentences.choice(event.decision, self._names)}{self._waited(event)}"
            case Task.AttemptFailed():
                return self._failure(event, who)
            case Task.LeaseExpired():
                until = self._assigned.lease_expires_at if self._assigned else None
                return sentences.lease_expiry(event, who, until)
            case _:
                return self._of_end(record, event, who)

    def _of_end(self, record: Record, event: AggregateEvent, who: str) -> str | None:
        match event:
            case Task.Completed():
                return f"Attempt {event.attempt} by {who} was completed{self._took(event)}."
            case Task.Released():
                return sentences.release(event, who, record.actor)
            case Task.ReportRefused():
                return sentences.refusal(event, who, held=self._assigned is not None)
            case Task.Failed():
                return self._end(event)
            case _:
                return None

    def _beginning(self, event: Task.Submitted) -> str:
        if event.approval:
            return "It waits for somebody's approval."
        return self._wait(event.timestamp, event.not_before)

    def _wait(self, now: datetime, not_before: datetime | None = None) -> str:
        begin = not_before or (self._asked.not_before if self._asked else None)
        if begin is not None and begin > now:
            return f"It was not to begin before {clock_time(begin)}."
        return "It was queued at once."

    def _reason_due(self) -> str:
        return self._due[1] if self._due else "the wait"

    def _waited(self, event: Task.Assigned) -> str:
        if self._ready is None:
            return ""
        waited = seconds(event.timestamp - self._ready.at)
        return f" The task had waited {waited} for an agent, since {self._ready.reason}."

    def _took(self, event: Task.Completed) -> str:
        if self._assigned is None:
            return ""
        return f", {seconds(event.timestamp - self._assigned.timestamp)} after it was assigned"

    def _failure(self, event: Task.AttemptFailed, who: str) -> str:
        return sentences.failure(
            event,
            who,
            failures=self._failures if self._whole else None,
            max_attempts=self._asked.max_attempts if self._asked else 0,
            limit=self._asked.timeout_seconds if self._asked else 0,
        )

    def _end(self, event: Task.Failed) -> str:
        deadline = self._asked.deadline if self._asked else None
        if event.code == "deadline_missed" and deadline is not None:
            return f"It failed: it was not done by its deadline, {clock_time(deadline)}."
        return f"It failed for good ({event.code}); somebody may retry it."

    # What is kept.

    def _follow(self, record: Record, event: AggregateEvent) -> None:
        match event:
            case Task.Submitted():
                self._asked = event
                if not event.approval:
                    self._wait_until(record, event.not_before, event.timestamp, "its submission")
            case Task.Approved():
                begin = self._asked.not_before if self._asked else None
                self._wait_until(record, begin, event.timestamp, "its approval")
            case Task.Queued():
                self._be_ready(record, event.timestamp, f"{self._reason_due()} was over")
            case Task.Retried():
                self._be_ready(record, event.timestamp, "it was retried")
            case Task.Assigned():
                self._assigned = event
            case _:
                self._let_go(record, event)

    def _let_go(self, record: Record, event: AggregateEvent) -> None:
        if isinstance(event, ENDS_OF_ATTEMPTS):
            self._assigned = None
        if isinstance(event, Task.Released | Task.LeaseExpired):
            self._be_ready(record, event.timestamp, f"attempt {event.attempt} had ended")
        elif isinstance(event, Task.AttemptFailed) and event.retry_at is not None:
            self._due = event.retry_at, f"the back-off after attempt {event.attempt}"

    def _wait_until(
        self, record: Record, begin: datetime | None, now: datetime, reason: str
    ) -> None:
        if begin is not None and begin > now:
            self._due = begin, f"the wait for {clock_time(begin)}"
        else:
            self._be_ready(record, now, reason)

    def _be_ready(self, record: Record, at: datetime, reason: str) -> None:
        self._ready = Ready(position=record.position, at=at, reason=reason)
