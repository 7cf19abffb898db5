"""Tasks: submit, look, decide."""

from collections.abc import Callable, Sequence
from uuid import UUID

from starlette.responses import Response

from application.commands.tasks import (
    ApproveTask,
    CancelTask,
    RejectTask,
    RetryTask,
    SubmitTask,
    TaskCommand,
)
from application.erasure.errors import SubjectErased, SubjectLocked
from application.ids import uuid7
from application.projections.task_board import TaskCard
from application.queries import TaskStanding
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
from interfaces.http.errors import InvalidParameter
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
from interfaces.http.schemas.moments import PAST, AtParameters
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
    [subject_id] = await _subjects(call, [call.body])
    command = SubmitTask(
        origin=call.origin(),
        task_id=uuid7(),
        specification=call.body.specification(),
        subject_id=subject_id,
    )
    receipt = await call.process.commands.execute(command, call.key)
    location = path_of("tasks", receipt.aggregate_id)
    return receipt_answer(receipt, "task_id", 202, location=location)


async def submit_batch(call: Call[TaskBatchBody, Parameters]) -> Response:
    """POST /v1/tasks/batch."""
    tasks = call.body.tasks
    subjects = await _subjects(call, tasks)
    commands = [
        SubmitTask(
            origin=origin,
            task_id=uuid7(),
            specification=task.specification(),
            subject_id=subject_id,
        )
        for origin, task, subject_id in zip(
            call.origins_of_parts(len(tasks)), tasks, subjects, strict=True
        )
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
    """GET /v1/tasks/{task_id}/status, perhaps a long poll, or as of a moment."""
    if call.parameters.at is not None:
        return await _show_then(call, status_of)
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


async def show(call: Call[None, AtParameters]) -> Response:
    """GET /v1/tasks/{task_id}, now or as of a moment."""
    if call.parameters.at is not None:
        return await _show_then(call, task_of)
    task_id = call.id_of("task_id")
    standing = await call.process.queries.task(call.tenant, task_id, seen=call.seen)
    content = task_of(standing, call.process.epoch)
    return answer(content, version=content["version"])


async def _show_then(
    call: Call[None, StatusParameters] | Call[None, AtParameters],
    shown: Callable[[TaskStanding[TaskCard], int], TaskStatusAnswer | TaskAnswer],
) -> Response:
    """The task as it was at the moment that is asked for."""
    if call.parameters.model_fields_set & {"wait", "after_version"}:
        raise InvalidParameter("What was brings no news: wait and after_version go without at.")
    standing, at = await call.process.time_travel.things.task(
        call.tenant, call.id_of("task_id"), call.parameters.at, seen=call.seen
    )
    content = shown(standing, call.process.epoch) | {"at": at.members()}
    return answer(content, version=standing.card.version)


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


async def _subjects(
    call: Call[TaskBody, Parameters] | Call[TaskBatchBody, Parameters], tasks: Sequence[TaskBody]
) -> list[UUID | None]:
    """Of each task the id of whom it is about."""
    names = {task.subject for task in tasks if task.subject}
    ids = await call.process.subjects.ids_of(call.tenant, names) if names else {}
    return [ids[task.subject] if task.subject else None for task in tasks]


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
        errors=(AggregateNotFound, DeadlinePassed, TooDeep, SubjectErased, SubjectLocked),
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
        summary="Show a task, now or as of a moment",
        parameters=AtParameters,
        answer=TaskAnswer,
        errors=PAST,
    ),
    Operation(
        method="GET",
        path="/v1/tasks/{task_id}/status",
        handler=show_status,
        scope="tasks:read",
        summary="Show where a task stands, or wait for news of it",
        parameters=StatusParameters,
        answer=TaskStatusAnswer,
        errors=PAST,
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
        errors=(TaskNotAwaitingApproval, SubjectLocked),
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
        errors=(SubjectLocked,),
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
