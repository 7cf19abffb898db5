"""Random commands in random order, with hostile values: what must hold of a task, always holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from eventsourcing.domain import AggregateEvent
from eventsourcing.persistence import StoredEvent
from hypothesis import given, strategies

from domain.errors import ControlPlaneError
from domain.task import REFUSALS_RECORDED_MAX, Task
from domain.task_shape import FINAL, LEASED, TaskStatus
from infrastructure.mapper import CatalogueMapper, SnapshotMapper
from tests.given import ALICE, BOB, MINUTE, NOON, TENANT, a_decision, a_specification
from tests.randomly import repeatably

texts = strategies.text(max_size=5) | strategies.sampled_from(["\x00", "os:system", "x" * 200])
any_json = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-(2**63), 2**64 - 1)
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: (
        strategies.lists(inner, max_size=3) | strategies.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=5,
)
moments = strategies.none() | strategies.integers(-5, 100_000).map(
    lambda seconds: NOON + timedelta(seconds=seconds)
)
specifications = strategies.builds(
    a_specification,
    input=any_json,
    priority=strategies.integers(-1, 10),
    max_attempts=strategies.integers(0, 4),
    not_before=moments,
    deadline=moments,
    labels=strategies.dictionaries(texts, texts, max_size=2),
    approval=strategies.booleans(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One command, some time after the last; `off_by` is how wrong the attempt it names is."""

    what: str
    agent: UUID
    off_by: int
    elapsed: timedelta
    jitter: float | None
    value: Any = field(repr=False)


Decide = Callable[[Task, datetime, Try, int], None]
COMMANDS: dict[str, Decide] = {
    "approve": lambda task, now, *_: task.approve(now=now),
    "reject": lambda task, now, one, _: task.reject(str(one.value), now=now),
    "make_due": lambda task, now, *_: task.make_due(now=now),
    "assign": lambda task, now, one, _: task.assign(a_decision(one.agent), now=now, lease=MINUTE),
    "start": lambda task, now, one, attempt: task.start(one.agent, attempt, now=now),
    "progress": lambda task, now, one, attempt: task.progress(
        one.agent, attempt, one.jitter or -1.0, str(one.value), now=now
    ),
    "complete": lambda task, now, one, attempt: task.complete(
        one.agent, attempt, one.value, now=now
    ),
    "fail": lambda task, now, one, attempt: task.fail_attempt(
        attempt, "boom", str(one.value), agent_id=one.agent, retry_jitter=one.jitter, now=now
    ),
    "expire": lambda task, now, _, attempt: task.expire_lease(attempt, now=now),
    "release": lambda task, now, one, attempt: task.release(one.agent, attempt, now=now),
    "miss_deadline": lambda task, now, *_: task.miss_deadline(now=now),
    "cancel": lambda task, now, *_: task.cancel(None, now=now),
    "retry": lambda task, now, *_: task.retry(now=now),
    "refuse": lambda task, now, one, attempt: task.refuse_report(
        one.agent, attempt, "completed", now=now
    ),
}
# The way to an end is long, so what leads there is tried more often.
LIKELY = ["assign", "assign", "make_due", "make_due", "start", "fail", "expire", "retry", "release"]
tries = strategies.builds(
    Try,
    what=strategies.sampled_from([*COMMANDS, *LIKELY]),
    agent=strategies.sampled_from([ALICE, ALICE, BOB]),
    off_by=strategies.sampled_from([0, 0, 0, -1, 1, 99]),
    elapsed=strategies.sampled_from([0.0, 0.5, 1.0, 700.0, 1e6, -86400.0]).map(
        lambda seconds: timedelta(seconds=seconds)
    ),
    jitter=strategies.none() | strategies.floats(0, 1),
    value=any_json,
)


@repeatably
@given(specifications, strategies.lists(tries, min_size=5, max_size=40))
def test_what_must_hold_of_a_task_holds_on_every_way(specification: Any, plan: list[Try]) -> None:
    now = NOON
    try:
        task = Task.submit(ALICE, specification, tenant=TENANT, parent=None, now=now)
    except ControlPlaneError:
        return
    events: list[AggregateEvent] = list(task.take_events())

    for one in plan:
        now += one.elapsed
        before = Standing.of(task)
        recorded = tried(task, one, now)
        events += recorded
        before.allows(Standing.of(task), [type(event) for event in recorded])

    holds_of_history(events)
    assert replayed(events) == task
    assert recalled(task) == task
    assert [through_the_mapper(event) for event in events] == events


def tried(task: Task, one: Try, now: datetime) -> list[AggregateEvent]:
    """What came of it; a command that is refused has recorded nothing."""
    try:
        COMMANDS[one.what](task, now, one, task.attempt + one.off_by)
    except ControlPlaneError:
        assert list(task.take_events()) == []
        return []
    return list(task.take_events())


@dataclass(frozen=True, slots=True)
class Standing:
    """What one command must leave in order."""

    status: TaskStatus
    attempt: int
    version: int
    refusals: int

    @classmethod
    def of(cls, task: Task) -> "Standing":
        holder = task.agent_id is not None
        assert holder if task.status in LEASED else True
        assert (task.due_at is not None) or task.status is not TaskStatus.SCHEDULED
        return cls(task.status, task.attempt, task.version, task.refusals)

    def allows(self, after: "Standing", kinds: list[type[AggregateEvent]]) -> None:
        assert after.version == self.version + len(kinds)
        assert after.refusals <= REFUSALS_RECORDED_MAX
        if self.status in FINAL and kinds != [Task.ReportRefused]:
            retried = self.status is TaskStatus.FAILED and kinds == [Task.Retried]
            assert after == self or retried
        if Task.Assigned in kinds:
            assert self.status is TaskStatus.QUEUED
            assert after.attempt == self.attempt + 1
        else:
            assert after.attempt == self.attempt
        if Task.Completed in kinds:
            assert self.status in LEASED


def holds_of_history(events: list[AggregateEvent]) -> None:
    versions = [event.originator_version for event in events]
    assert versions == list(range(1, len(events) + 1))
    attempts = [event.attempt for event in events if isinstance(event, Task.Assigned)]
    assert attempts == list(range(1, len(attempts) + 1))
    assert sum(isinstance(event, Task.Completed) for event in events) <= 1
    ended = [
        event.attempt
        for event in events
        if isinstance(
            event, Task.Completed | Task.AttemptFailed | Task.LeaseExpired | Task.Released
        )
    ]
    assert len(ended) == len(set(ended)), "an attempt ended twice"


def replayed(events: list[AggregateEvent]) -> Task:
    task: Any = None
    for event in events:
        task = event.mutate(task)
    assert isinstance(task, Task)
    return task


def recalled(task: Task) -> Any:
    mapper = SnapshotMapper()
    taken = mapper.encode_aggregate(task)
    stored = StoredEvent(taken.aggregate_id, taken.version, taken.topic, taken.state)
    snapshot: Any = mapper.to_domain_event(stored)
    return snapshot.mutate(None)


def through_the_mapper(event: AggregateEvent) -> AggregateEvent:
    mapper = CatalogueMapper()
    return mapper.to_domain_event(mapper.to_stored_event(event))
