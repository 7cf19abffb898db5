"""Tasks: submit, look, decide."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from musterroll._decode import decode
from musterroll._packing import envelope, packs
from musterroll._request import (
    Pages,
    Request,
    Steps,
    command,
    encoded,
    given,
    of,
    query,
    receipt,
    with_id,
)
from musterroll._request import at as path_of
from musterroll._routes._lists import listing
from musterroll._routes.history import Moment
from musterroll.errors import TimedOut
from musterroll.models import (
    Counts,
    NewTask,
    Outcome,
    Receipt,
    TaskCard,
    TaskDetails,
    TaskStatus,
)

POLL_SECONDS_MAX = 30


def submit(
    kind: str,
    input: Any = None,  # noqa: A002  the contract's word for it
    *,
    requires: Sequence[str] | None = None,
    priority: int | None = None,
    max_attempts: int | None = None,
    timeout_seconds: int | None = None,
    not_before: datetime | None = None,
    deadline: datetime | None = None,
    labels: Mapping[str, str] | None = None,
    parent_id: str | None = None,
    approval: bool | None = None,
    subject: str | None = None,
    idempotency_key: str | None = None,
) -> Request[Receipt]:
    """Submit a task; what is None takes the service's default (requires [kind], priority 5 of
    0..9, 3 attempts, 300 s for each). With a `subject`, of whom it is about, its input, result and
    messages are encrypted, and can be erased.

    Raises Invalid, Unauthorized, Forbidden or Unavailable; NotFound for the parent, Conflict for a
    subject that was erased.
    """
    body = given(
        requires=requires,
        priority=priority,
        max_attempts=max_attempts,
        timeout_seconds=timeout_seconds,
        not_before=not_before,
        deadline=deadline,
        labels=labels,
        parent_id=parent_id,
        approval=approval,
        subject=subject,
    )
    return command(
        "/v1/tasks",
        receipt,
        {"kind": kind, "input": input, **body},
        idempotency_key=idempotency_key,
    )


def submit_many(
    tasks: Iterable[NewTask], *, idempotency_key: str | None = None
) -> Steps[list[Outcome]]:
    """Submit tasks, at most 1,000 and 1 MB a request, and answer one outcome each, in order.

    A request is all-or-nothing towards failures of the network only: look at each outcome's
    error. When it raises, earlier requests have been accepted; the same call with the same
    `idempotency_key` and tasks completes it, and submits nothing twice.

    Raises Invalid, Unauthorized, Forbidden or Unavailable.
    """
    return _in_packs("/v1/tasks/batch", "tasks", tasks, idempotency_key)


def status(
    task_id: str,
    *,
    wait_seconds: int = 0,
    after_version: int | None = None,
    at: Moment | None = None,
) -> Request[TaskStatus]:
    """Where a task stands. With `wait_seconds` (0..30) it answers when the version passes
    `after_version`, or the wait is over. `at` a moment (a time, a cursor, or `v7`): where it stood.

    Raises Invalid for a moment that it has not had, NotFound, Unauthorized, Forbidden or
    Unavailable.
    """
    return query(
        path_of("tasks", task_id, "status"),
        of(TaskStatus),
        wait_seconds=wait_seconds,
        wait=wait_seconds or None,
        after_version=after_version,
        at=at,
    )


def wait(task_id: str, *, timeout_seconds: float | None = None) -> Steps[TaskStatus]:
    """Wait until a task is completed, failed or cancelled, and answer that status. None: for ever.

    Raises TimedOut when it is not, by then; NotFound, Unauthorized, Forbidden or Unavailable.
    """
    deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
    found: TaskStatus = yield status(task_id)
    while not found.finished:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(
                f"task {task_id} is still {found.status} after {timeout_seconds} s",
                code="timed_out",
            )
        seconds = math.ceil(min(left, POLL_SECONDS_MAX))
        found = yield status(task_id, wait_seconds=seconds, after_version=found.version)
    return found


def get(task_id: str, *, at: Moment | None = None) -> Request[TaskDetails]:
    """All that is known of a task, or was `at` a moment: a time, a cursor, or its version `v7`.

    Raises Invalid for a moment that it has not had, NotFound, Unauthorized, Forbidden or
    Unavailable.
    """
    return query(path_of("tasks", task_id), of(TaskDetails), at=at)


def list_(
    *,
    status: str | None = None,
    kind: str | None = None,
    agent_id: str | None = None,
    labels: Mapping[str, str] | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> Pages[TaskCard]:
    """Tasks, newest first, read page by page. `limit` is how many in all; None: every one.

    Raises Invalid, Unauthorized, Forbidden or Unavailable.
    """
    return listing(
        "/v1/tasks",
        TaskCard,
        limit,
        status=status,
        kind=kind,
        agent_id=agent_id,
        label=[f"{key}:{value}" for key, value in (labels or {}).items()] or None,
        since=since,
    )


def counts() -> Request[Counts]:
    """How many tasks stand in each status. Raises Unauthorized, Forbidden or Unavailable."""
    return query("/v1/tasks/counts", of(Counts))


def cancel(
    task_id: str,
    *,
    reason: str | None = None,
    if_version: int | None = None,
    idempotency_key: str | None = None,
) -> Request[Receipt]:
    """Cancel a task; a running one is stopped. Cancelling a finished task changes nothing.

    Raises NotFound, Conflict, Unauthorized, Forbidden or Unavailable.
    """
    return _decision(task_id, "cancel", {"reason": reason}, if_version, idempotency_key)


def reject(
    task_id: str,
    *,
    reason: str | None = None,
    if_version: int | None = None,
    idempotency_key: str | None = None,
) -> Request[Receipt]:
    """Refuse a task that awaits approval. Raises as `cancel` does."""
    return _decision(task_id, "reject", {"reason": reason}, if_version, idempotency_key)


def approve(
    task_id: str, *, if_version: int | None = None, idempotency_key: str | None = None
) -> Request[Receipt]:
    """Let a task go on that awaits approval. Raises as `cancel` does."""
    return _decision(task_id, "approve", None, if_version, idempotency_key)


def retry(
    task_id: str, *, if_version: int | None = None, idempotency_key: str | None = None
) -> Request[Receipt]:
    """Queue a failed task again. Raises as `cancel` does."""
    return _decision(task_id, "retry", None, if_version, idempotency_key)


def retry_many(
    task_ids: Iterable[str], *, idempotency_key: str | None = None
) -> Steps[list[Outcome]]:
    """Queue failed tasks again; one outcome each, in order. Repeatable as `submit_many` is.

    Raises Invalid, Unauthorized, Forbidden or Unavailable.
    """
    return _in_packs("/v1/tasks/retry", "task_ids", task_ids, idempotency_key)


def _decision(
    task_id: str, verb: str, body: Any, if_version: int | None, idempotency_key: str | None
) -> Request[Receipt]:
    return command(
        path_of("tasks", task_id, verb),
        receipt,
        body,
        if_version=if_version,
        idempotency_key=idempotency_key,
    )


def _in_packs(path: str, name: str, items: Iterable[Any], key: str | None) -> Steps[list[Outcome]]:
    outcomes: list[Outcome] = []
    for number, pack in enumerate(packs(map(encoded, items))):
        its_key = f"{key}/{number}" if key else None
        outcomes += yield command(path, _outcomes, envelope(name, pack), idempotency_key=its_key)
    return outcomes


def _outcomes(payload: Any) -> list[Outcome]:
    found = payload.get("outcomes") if isinstance(payload, dict) else None
    return [_outcome(outcome) for outcome in found or ()]


def _outcome(outcome: Any) -> Outcome:
    try:
        # By hand, as a thousand may come at once: nearly all are accepted, and hold just this.
        task_id, version, cursor = outcome["task_id"], outcome["version"], outcome["cursor"]
    except (KeyError, TypeError):
        return decode(Outcome, with_id(outcome))
    return Outcome(id=task_id, version=version, cursor=cursor)
