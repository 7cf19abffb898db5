"""Tasks: submit, look, decide."""

from collections.abc import Sequence

from starlette.responses import Response

from application.commands.tasks import (
    ApproveTask,
    CancelTask,
    RejectTask,
    RetryTask,
    SubmitTask,
    TaskCommand,
)
from application.ids import uuid7
from application.receipt import Receipt
from domain.errors import (
    AggregateNotFound,
    ControlPlaneError,
    DeadlinePassed,
    TaskNotAwaitingApproval,
    TaskNotFailed,
    TooDeep,
)
from interfaces.http.disconnects import while_connected
from interfaces.http.operation import Call, Operation
from interfaces.http.parameters import Parameters, QueryParameters
from interfaces.http.responses import (
    answer,
    failure_members,
    path_of,
    receipt_answer,
    receipt_members,
)
from interfaces.http.schemas.base import NoBody, TaskOutcomes, TaskReceipt
from interfaces.http.schemas.tasks import (
    ReasonBody,
    RetryBatchBody,
    StatusParameters,
    TaskAnswer,
    TaskBatchBody,
    TaskBody,
    TaskCounts,
    TaskListParameters,
    TaskPage,
    TaskStatusAnswer,
    status_of,
    summary_of,
    task_of,
)


async def submit(call: Call[TaskBody, Parameters]) -> Response:
    """POST /v1/tasks. A repetition gets the first answer, whatever id is drawn here."""
    specification = call.body.specification()
    command = SubmitTask(origin=call.origin(), task_id=uuid7(), specification=specification)
    receipt = await call.process.commands.execute(command, call.key)
    location = path_of("tasks", receipt.aggregate_id)
    return receipt_answer(receipt, "task_id", 202, location=location)


async def submit_batch(call: Call[TaskBatchBody, Parameters]) -> Response:
    """POST /v1/tasks/batch."""
    tasks = call.body.tasks
    commands = [
        SubmitTask(origin=origin, task_id=uuid7(), specification=task.specification())
        for origin, task in zip(call.origins_of_parts(len(tasks)), tasks, strict=True)
    ]
    return await _execute_batch(call, commands, 202)


async def retry_batch(call: Call[RetryBatchBody, Parameters]) -> Response:
    """POST /v1/tasks/retry."""
    task_ids = call.body.task_ids
    commands = [
        RetryTask(origin=origin, task_id=task_id)
        for origin, task_id in zip(call.origins_of_parts(len(task_ids)), task_ids, strict=True)
    ]
    return await _execute_batch(call, commands, 200)


async def approve(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/tasks/{task_id}/approve."""
    return await _execute(call, ApproveTask(origin=call.origin(), task_id=call.id_of("task_id")))


async def retry(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/tasks/{task_id}/retry."""
    return await _execute(call, RetryTask(origin=call.origin(), task_id=call.id_of("task_id")))


async def reject(call: Call[ReasonBody, Parameters]) -> Response:
    """POST /v1/tasks/{task_id}/reject."""
    task_id, reason = call.id_of("task_id"), call.body.reason
    return await _execute(call, RejectTask(origin=call.origin(), task_id=task_id, reason=reason))


async def cancel(call: Call[ReasonBody, Parameters]) -> Response:
    """POST /v1/tasks/{task_id}/cancel."""
    task_id, reason = call.id_of("task_id"), call.body.reason
    return await _execute(call, CancelTask(origin=call.origin(), task_id=task_id, reason=reason))


async def show_status(call: Call[None, StatusParameters]) -> Response:
    """GET /v1/tasks/{task_id}/status, perhaps a long poll."""
    asked = call.process.queries.task_after(
        call.tenant,
        call.id_of("task_id"),
        version=call.parameters.after_version,
        wait_seconds=call.parameters.wait,
        seen=call.seen,
    )
    standing = await (while_connected(call.request, asked) if call.parameters.wait else asked)
    content = status_of(standing, call.process.epoch)
    return answer(content, version=content["version"])


async def show(call: Call[None, QueryParameters]) -> Response:
    """GET /v1/tasks/{task_id}."""
    task_id = call.id_of("task_id")
    standing = await call.process.queries.task(call.tenant, task_id, seen=call.seen)
    content = task_of(standing, call.process.epoch)
    return answer(content, version=content["version"])


async def list_(call: Call[None, TaskListParameters]) -> Response:
    """GET /v1/tasks. One more than asked for tells whether there is another page."""
    limit = call.parameters.limit
    found = await call.process.queries.tasks(
        call.tenant,
        call.parameters.filter(),
        before=call.parameters.cursor,
        limit=limit + 1,
        seen=call.seen,
    )
    items = [summary_of(standing, call.process.epoch) for standing in found[:limit]]
    next_cursor = str(items[-1]["id"]) if len(found) > limit else None
    return answer({"items": items, "next_cursor": next_cursor})


async def count(call: Call[None, QueryParameters]) -> Response:
    """GET /v1/tasks/counts."""
    counts, cursor = await call.process.queries.task_counts(call.tenant, seen=call.seen)
    return answer({"counts": counts, "cursor": str(cursor)})


async def _execute(
    call: Call[NoBody, Parameters] | Call[ReasonBody, Parameters], command: TaskCommand
) -> Response:
    return receipt_answer(await call.process.commands.execute(command, call.key), "task_id")


async def _execute_batch(
    call: Call[TaskBatchBody, Parameters] | Call[RetryBatchBody, Parameters],
    commands: Sequence[TaskCommand],
    status: int,
) -> Response:
    outcomes = await call.process.commands.execute_many(commands, call.key)
    replayed = all(isinstance(one, Receipt) and one.replayed for one in outcomes)
    content = {"outcomes": [_outcome(one) for one in outcomes]}
    return answer(content, status, replayed=replayed)


def _outcome(outcome: Receipt | ControlPlaneError) -> dict[str, object]:
    if isinstance(outcome, ControlPlaneError):
        return {"error": failure_members(outcome)}
    return {"task_id": outcome.aggregate_id, **receipt_members(outcome)}


OPERATIONS = [
    Operation(
        method="POST",
        path="/v1/tasks",
        handler=submit,
        scope="tasks:write",
        summary="Submit a task",
        body=TaskBody,
        status=202,
        answer=TaskReceipt,
        errors=(AggregateNotFound, DeadlinePassed, TooDeep),
        headers={"Location": "Where the task is served."},
    ),
    Operation(
        method="POST",
        path="/v1/tasks/batch",
        handler=submit_batch,
        scope="tasks:write",
        summary="Submit many tasks",
        description="Each has its own outcome; one that is refused leaves the others alone.",
        body=TaskBatchBody,
        status=202,
        answer=TaskOutcomes,
    ),
    Operation(
        method="POST",
        path="/v1/tasks/retry",
        handler=retry_batch,
        scope="tasks:write",
        summary="Retry many failed tasks",
        body=RetryBatchBody,
        answer=TaskOutcomes,
    ),
    Operation(
        method="GET",
        path="/v1/tasks",
        handler=list_,
        scope="tasks:read",
        summary="List tasks, newest first",
        parameters=TaskListParameters,
        answer=TaskPage,
    ),
    Operation(
        method="GET",
        path="/v1/tasks/counts",
        handler=count,
        scope="tasks:read",
        summary="Count tasks by status",
        parameters=QueryParameters,
        answer=TaskCounts,
    ),
    Operation(
        method="GET",
        path="/v1/tasks/{task_id}",
        handler=show,
        scope="tasks:read",
        summary="Show a task",
        parameters=QueryParameters,
        answer=TaskAnswer,
    ),
    Operation(
        method="GET",
        path="/v1/tasks/{task_id}/status",
        handler=show_status,
        scope="tasks:read",
        summary="Show where a task stands, or wait for news of it",
        parameters=StatusParameters,
        answer=TaskStatusAnswer,
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{task_id}/approve",
        handler=approve,
        scope="tasks:write",
        summary="Let a task go ahead that awaits approval",
        body=NoBody,
        body_optional=True,
        versioned=True,
        answer=TaskReceipt,
        errors=(TaskNotAwaitingApproval,),
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{task_id}/reject",
        handler=reject,
        scope="tasks:write",
        summary="End a task that awaits approval",
        body=ReasonBody,
        body_optional=True,
        versioned=True,
        answer=TaskReceipt,
        errors=(TaskNotAwaitingApproval,),
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{task_id}/cancel",
        handler=cancel,
        scope="tasks:write",
        summary="End a task wherever it stands",
        description="A task that has ended stays as it is, and the answer is the same.",
        body=ReasonBody,
        body_optional=True,
        versioned=True,
        answer=TaskReceipt,
    ),
    Operation(
        method="POST",
        path="/v1/tasks/{task_id}/retry",
        handler=retry,
        scope="tasks:write",
        summary="Give a failed task a new set of attempts",
        body=NoBody,
        body_optional=True,
        versioned=True,
        answer=TaskReceipt,
        errors=(TaskNotFailed,),
    ),
]
