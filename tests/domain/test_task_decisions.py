"""What a task may become, by whom, and what is refused."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from domain.aggregate import Aggregate
from domain.errors import (
    DeadlinePassed,
    StaleAttempt,
    TaskNotAssignable,
    TaskNotAwaitingApproval,
    TaskNotDue,
    TaskNotFailed,
)
from domain.retry import BACKOFF_FIRST
from domain.task import REFUSALS_RECORDED_MAX, Task
from domain.task_shape import FINAL, TaskStatus
from tests.given import (
    ALICE,
    BOB,
    MINUTE,
    NOON,
    SECOND,
    TENANT,
    Step,
    a_decision,
    a_specification,
    a_task,
    assigned,
    attempt_failed,
    completed,
    due,
    started,
)

LATER = NOON + MINUTE


def only_event(task: Task) -> Any:
    """The one event that was recorded since the last look."""
    (event,) = task.take_events()
    return event


def topics(task: Task) -> list[str]:
    return [type(event).TOPIC for event in task.take_events() if isinstance(event, Aggregate.Event)]


def cancelled(task: Task) -> None:
    task.cancel(None, now=NOON)


def rejected(task: Task) -> None:
    task.reject("no", now=NOON)


def failed_for_good(task: Task) -> None:
    task.fail_attempt(1, "bad", "It is bad.", agent_id=ALICE, retry_jitter=None, now=NOON)


def scheduled(task: Task) -> None:
    """Nothing to do: the specification says it."""


STANDS: dict[TaskStatus, tuple[dict[str, Any], tuple[Step, ...]]] = {
    TaskStatus.AWAITING_APPROVAL: ({"approval": True}, ()),
    TaskStatus.SCHEDULED: ({"not_before": LATER}, ()),
    TaskStatus.QUEUED: ({}, ()),
    TaskStatus.ASSIGNED: ({}, (assigned(),)),
    TaskStatus.RUNNING: ({}, (assigned(), started())),
    TaskStatus.COMPLETED: ({}, (assigned(), completed())),
    TaskStatus.FAILED: ({}, (assigned(), failed_for_good)),
    TaskStatus.CANCELLED: ({}, (cancelled,)),
}


def a_task_that_is(status: TaskStatus, **changes: Any) -> Task:
    """One that came to stand there in the plainest way."""
    specification, steps = STANDS[status]
    task = a_task(*steps, **(specification | changes))
    assert task.status is status
    return task


def those_but(*excepted: TaskStatus) -> list[TaskStatus]:
    return [status for status in TaskStatus if status not in excepted]


# Submission.


def test_a_submitted_task_is_queued() -> None:
    task = Task.submit(ALICE, a_specification(), tenant=TENANT, parent=None, now=NOON)

    event = only_event(task)
    assert isinstance(event, Task.Submitted)
    assert (event.originator_version, event.tenant, event.depth) == (1, TENANT, 0)
    assert task.status is TaskStatus.QUEUED


def test_a_task_that_is_not_to_start_before_a_moment_is_scheduled_for_it() -> None:
    task = a_task(not_before=LATER)

    assert (task.status, task.due_at) == (TaskStatus.SCHEDULED, LATER)


def test_a_moment_that_has_passed_already_delays_nothing() -> None:
    task = a_task(not_before=NOON)

    assert (task.status, task.due_at) == (TaskStatus.QUEUED, None)


@pytest.mark.parametrize(
    ("not_before", "deadline"), [(None, NOON), (None, NOON - SECOND), (LATER, LATER)]
)
def test_a_deadline_that_leaves_no_time_is_refused(not_before: Any, deadline: Any) -> None:
    specification = a_specification(not_before=not_before, deadline=deadline)

    with pytest.raises(DeadlinePassed, match="leaves no time"):
        Task.submit(ALICE, specification, tenant=TENANT, parent=None, now=NOON)


def test_a_deadline_after_the_moment_to_start_is_accepted() -> None:
    task = a_task(not_before=LATER, deadline=LATER + SECOND)

    assert task.status is TaskStatus.SCHEDULED


def test_a_family_is_found_under_its_oldest_member() -> None:
    root = a_task()

    child = Task.submit(ALICE, a_specification(), tenant=TENANT, parent=root, now=NOON)
    grandchild = Task.submit(BOB, a_specification(), tenant=TENANT, parent=child, now=NOON)

    assert (root.depth, child.depth, grandchild.depth) == (0, 1, 2)
    assert root.correlation_id == child.correlation_id == grandchild.correlation_id == root.id


# Approval.


def test_a_task_that_needs_approval_waits_for_it() -> None:
    task = a_task(approval=True)

    assert task.status is TaskStatus.AWAITING_APPROVAL


def test_an_approved_task_is_queued() -> None:
    task = a_task(approval=True)

    task.approve(now=NOON)

    assert topics(task) == ["task.approved"]
    assert task.status is TaskStatus.QUEUED


def test_a_task_approved_before_its_moment_waits_for_the_moment() -> None:
    task = a_task(approval=True, not_before=LATER)

    task.approve(now=NOON)

    assert (task.status, task.due_at) == (TaskStatus.SCHEDULED, LATER)


def test_a_rejected_task_is_cancelled_with_the_reason() -> None:
    task = a_task(approval=True)

    task.reject("too dear", now=NOON)

    assert only_event(task).reason == "too dear"
    assert task.status is TaskStatus.CANCELLED


@pytest.mark.parametrize("status", those_but(TaskStatus.AWAITING_APPROVAL))
def test_only_a_task_that_awaits_approval_is_approved_or_rejected(status: TaskStatus) -> None:
    task = a_task_that_is(status)

    with pytest.raises(TaskNotAwaitingApproval, match=f"is {status}, not awaiting approval"):
        task.approve(now=NOON)
    with pytest.raises(TaskNotAwaitingApproval):
        task.reject(None, now=NOON)

    assert topics(task) == []


# Falling due.


def test_a_scheduled_task_is_queued_when_its_moment_comes() -> None:
    task = a_task(not_before=LATER)

    task.make_due(now=LATER)

    assert topics(task) == ["task.queued"]
    assert (task.status, task.due_at) == (TaskStatus.QUEUED, None)


def test_a_scheduled_task_is_not_queued_before_its_moment() -> None:
    task = a_task(not_before=LATER)

    with pytest.raises(TaskNotDue, match="nothing is due"):
        task.make_due(now=LATER - SECOND)

    assert topics(task) == []


@pytest.mark.parametrize("status", those_but(TaskStatus.SCHEDULED))
def test_only_a_scheduled_task_falls_due(status: TaskStatus) -> None:
    task = a_task_that_is(status)

    with pytest.raises(TaskNotDue, match=f"is {status}"):
        task.make_due(now=LATER)

    assert topics(task) == []


# Assignment.


def test_an_assignment_records_the_decision_and_leases_the_task_to_its_winner() -> None:
    task = a_task()
    decision = a_decision(ALICE, BOB)

    task.assign(decision, now=NOON, lease=MINUTE)

    event = only_event(task)
    assert event.decision == decision
    assert (event.agent_id, event.attempt, event.lease_expires_at) == (ALICE, 1, NOON + MINUTE)
    assert (task.status, task.agent_id, task.attempt) == (TaskStatus.ASSIGNED, ALICE, 1)


@pytest.mark.parametrize("status", those_but(TaskStatus.QUEUED))
def test_only_a_queued_task_is_assigned(status: TaskStatus) -> None:
    task = a_task_that_is(status)

    with pytest.raises(TaskNotAssignable, match=f"is {status}, not queued"):
        task.assign(a_decision(BOB), now=NOON, lease=MINUTE)

    assert topics(task) == []


# The holder's reports.


def test_the_holder_starts() -> None:
    task = a_task(assigned())

    task.start(ALICE, 1, now=NOON)

    assert topics(task) == ["task.started"]
    assert task.status is TaskStatus.RUNNING


def test_starting_twice_changes_nothing() -> None:
    task = a_task(assigned(), started())

    task.start(ALICE, 1, now=LATER)

    assert topics(task) == []


def test_progress_is_recorded_and_shows_that_the_work_runs() -> None:
    task = a_task(assigned())

    task.progress(ALICE, 1, 0.5, "half way", now=NOON)

    event = only_event(task)
    assert (event.fraction, event.message) == (0.5, "half way")
    assert task.status is TaskStatus.RUNNING


def test_progress_within_a_second_of_the_last_is_not_recorded() -> None:
    task = a_task(assigned(), lambda t: t.progress(ALICE, 1, 0.1, None, now=NOON))

    task.progress(ALICE, 1, 0.2, None, now=NOON + 0.999 * SECOND)
    task.progress(ALICE, 1, 0.3, None, now=NOON + SECOND)

    assert only_event(task).fraction == 0.3


def test_the_first_progress_of_a_new_attempt_is_recorded_at_once() -> None:
    task = a_task(
        assigned(),
        lambda t: t.progress(ALICE, 1, 0.9, None, now=NOON),
        lambda t: t.release(ALICE, 1, now=NOON),
        assigned(to=BOB),
    )

    task.progress(BOB, 2, 0.1, None, now=NOON)

    assert only_event(task).attempt == 2


@pytest.mark.parametrize("steps", [(assigned(),), (assigned(), started())])
def test_the_holder_completes_whether_it_said_that_it_began_or_not(steps: tuple[Step, ...]) -> None:
    task = a_task(*steps)

    task.complete(ALICE, 1, {"verdict": "fine"}, now=NOON)

    event = only_event(task)
    assert (event.result, event.attempt, event.agent_id) == ({"verdict": "fine"}, 1, ALICE)
    assert task.status is TaskStatus.COMPLETED


def test_a_failed_attempt_backs_off_and_the_delay_is_in_the_event() -> None:
    task = a_task(assigned())

    task.fail_attempt(1, "boom", "It broke.", agent_id=ALICE, retry_jitter=0.0, now=NOON)

    event = only_event(task)
    assert (event.code, event.message) == ("boom", "It broke.")
    assert event.retry_at == NOON + BACKOFF_FIRST
    assert (task.status, task.due_at, task.failures) == (
        TaskStatus.SCHEDULED,
        NOON + BACKOFF_FIRST,
        1,
    )


def test_the_last_attempt_that_fails_fails_the_task() -> None:
    task = a_task(assigned(), max_attempts=1)

    task.fail_attempt(1, "boom", "It broke.", agent_id=ALICE, retry_jitter=0.0, now=NOON)

    failed_attempt, failed = task.take_events()
    assert isinstance(failed_attempt, Task.AttemptFailed)
    assert failed_attempt.retry_at is None
    assert isinstance(failed, Task.Failed)
    assert (failed.code, failed.message) == ("boom", "It broke.")
    assert task.status is TaskStatus.FAILED


def test_an_attempt_that_failed_for_good_is_not_followed_by_another() -> None:
    task = a_task(assigned(), max_attempts=3)

    task.fail_attempt(1, "bad_input", "No.", agent_id=ALICE, retry_jitter=None, now=NOON)

    assert topics(task) == ["task.attempt_failed", "task.failed"]


def test_every_attempt_may_fail_before_the_task_does() -> None:
    task = a_task(max_attempts=3)
    now = NOON

    for attempt in (1, 2, 3):
        assigned(at=now)(task)
        attempt_failed(attempt=attempt, at=now)(task)
        if task.status is TaskStatus.SCHEDULED:
            assert task.due_at
            now = task.due_at
            due(now)(task)

    assert (task.status, task.attempt, task.failures) == (TaskStatus.FAILED, 3, 3)


def test_a_released_task_is_queued_again_and_it_cost_no_attempt() -> None:
    task = a_task(assigned(), started(), max_attempts=1)

    task.release(ALICE, 1, now=NOON)

    assert topics(task) == ["task.released"]
    assert (task.status, task.failures, task.agent_id) == (TaskStatus.QUEUED, 0, None)


def test_an_attempt_number_is_never_given_twice() -> None:
    task = a_task(assigned(), lambda t: t.release(ALICE, 1, now=NOON))

    task.assign(a_decision(ALICE), now=NOON, lease=MINUTE)

    assert only_event(task).attempt == 2


REPORTS: dict[str, Callable[[Task, Any, int], None]] = {
    "started": lambda task, agent, attempt: task.start(agent, attempt, now=NOON),
    "progress": lambda task, agent, attempt: task.progress(agent, attempt, 0.5, None, now=NOON),
    "completed": lambda task, agent, attempt: task.complete(agent, attempt, None, now=NOON),
    "failed": lambda task, agent, attempt: task.fail_attempt(
        attempt, "x", "y", agent_id=agent, retry_jitter=0.5, now=NOON
    ),
    "released": lambda task, agent, attempt: task.release(agent, attempt, now=NOON),
}


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("status", those_but(TaskStatus.ASSIGNED, TaskStatus.RUNNING))
def test_nobody_reports_on_a_task_that_is_not_leased(report: str, status: TaskStatus) -> None:
    task = a_task_that_is(status)

    with pytest.raises(StaleAttempt, match=f"the task is {status}"):
        REPORTS[report](task, ALICE, max(task.attempt, 1))

    assert topics(task) == []


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize(("agent", "attempt"), [(BOB, 1), (ALICE, 0), (ALICE, 2), (BOB, 2)])
def test_only_the_holder_of_this_very_attempt_reports(
    report: str, agent: Any, attempt: int
) -> None:
    task = a_task(assigned(to=ALICE))

    with pytest.raises(StaleAttempt, match=f"Attempt {attempt} of task .* attempt 1"):
        REPORTS[report](task, agent, attempt)

    assert topics(task) == []


@pytest.mark.parametrize("report", REPORTS)
def test_a_late_report_of_a_former_attempt_of_the_same_agent_is_refused(report: str) -> None:
    task = a_task(assigned(), lambda t: t.expire_lease(1, now=NOON), assigned())

    with pytest.raises(StaleAttempt):
        REPORTS[report](task, ALICE, 1)

    assert topics(task) == []


def test_a_refused_report_is_remembered_with_what_was_current() -> None:
    task = a_task(assigned(), completed())

    task.refuse_report(BOB, 7, "completed", now=NOON)

    event = only_event(task)
    assert (event.agent_id, event.attempt, event.report, event.current_attempt) == (
        BOB,
        7,
        "completed",
        1,
    )
    assert task.status is TaskStatus.COMPLETED


def test_refusals_do_not_fill_the_log() -> None:
    task = a_task(assigned())

    for _ in range(REFUSALS_RECORDED_MAX + 5):
        task.refuse_report(BOB, 9, "progress", now=NOON)

    assert len(topics(task)) == REFUSALS_RECORDED_MAX


# Leases.


def test_an_expired_lease_queues_the_task_again_and_counts_as_a_failure() -> None:
    task = a_task(assigned(), started())

    task.expire_lease(1, now=LATER)

    event = only_event(task)
    assert (event.attempt, event.agent_id, event.last_attempt) == (1, ALICE, False)
    assert (task.status, task.failures, task.agent_id) == (TaskStatus.QUEUED, 1, None)


def test_the_expiry_of_the_last_attempt_fails_the_task() -> None:
    task = a_task(assigned(), max_attempts=1)

    task.expire_lease(1, now=LATER)

    expired, failed = task.take_events()
    assert isinstance(expired, Task.LeaseExpired)
    assert expired.last_attempt
    assert isinstance(failed, Task.Failed)
    assert failed.code == "lease_expired"
    assert str(ALICE) in failed.message
    assert task.status is TaskStatus.FAILED


@pytest.mark.parametrize("status", those_but(TaskStatus.ASSIGNED, TaskStatus.RUNNING))
def test_only_a_leased_task_can_lose_its_lease(status: TaskStatus) -> None:
    task = a_task_that_is(status)

    with pytest.raises(StaleAttempt):
        task.expire_lease(max(task.attempt, 1), now=LATER)

    assert topics(task) == []


def test_the_lease_of_another_attempt_does_not_expire() -> None:
    task = a_task(assigned())

    with pytest.raises(StaleAttempt):
        task.expire_lease(2, now=LATER)

    assert topics(task) == []


# Deadlines.


@pytest.mark.parametrize("status", those_but(*FINAL))
def test_a_task_that_is_not_done_by_its_deadline_fails_wherever_it_stands(
    status: TaskStatus,
) -> None:
    task = a_task_that_is(status, deadline=LATER + SECOND)

    task.miss_deadline(now=LATER + SECOND)

    assert only_event(task).code == "deadline_missed"
    assert task.status is TaskStatus.FAILED


@pytest.mark.parametrize("status", sorted(FINAL))
def test_a_task_that_has_ended_misses_no_deadline(status: TaskStatus) -> None:
    task = a_task_that_is(status, deadline=LATER)

    with pytest.raises(TaskNotDue):
        task.miss_deadline(now=LATER)

    assert topics(task) == []


@pytest.mark.parametrize("deadline", [None, LATER])
def test_a_deadline_is_not_missed_before_it_is_there(deadline: Any) -> None:
    task = a_task(deadline=deadline)

    with pytest.raises(TaskNotDue):
        task.miss_deadline(now=LATER - timedelta(microseconds=1))

    assert topics(task) == []


# Cancellation and retry.


@pytest.mark.parametrize("status", those_but(*FINAL))
def test_a_task_is_cancelled_wherever_it_stands(status: TaskStatus) -> None:
    task = a_task_that_is(status)

    task.cancel("enough", now=NOON)

    assert only_event(task).reason == "enough"
    assert task.status is TaskStatus.CANCELLED


@pytest.mark.parametrize("status", sorted(FINAL))
def test_cancelling_a_task_that_has_ended_changes_nothing(status: TaskStatus) -> None:
    task = a_task_that_is(status)

    task.cancel("enough", now=NOON)

    assert topics(task) == []
    assert task.status is status


def test_a_failed_task_is_retried_with_all_its_attempts() -> None:
    task = a_task(assigned(), failed_for_good)

    task.retry(now=LATER)

    assert topics(task) == ["task.retried"]
    assert (task.status, task.failures, task.attempt) == (TaskStatus.QUEUED, 0, 1)


@pytest.mark.parametrize("status", those_but(TaskStatus.FAILED))
def test_only_a_failed_task_is_retried(status: TaskStatus) -> None:
    task = a_task_that_is(status)

    with pytest.raises(TaskNotFailed, match=f"is {status}, not failed"):
        task.retry(now=NOON)

    assert topics(task) == []


def test_a_task_does_not_remember_its_input_which_may_be_large() -> None:
    task = a_task(input="x" * 1_000_000)

    assert not any("x" * 1_000 in repr(value) for value in vars(task).values())
