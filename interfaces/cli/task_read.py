"""Looking at tasks: one, many, or one at its end."""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from interfaces.cli.arguments import parse_pairs
from interfaces.cli.failures import NOT_FOUND, Failure
from interfaces.cli.listing import show_list
from interfaces.cli.output import (
    AsJson,
    ago,
    print_fields,
    print_json,
    print_table,
    text_of,
)
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working

if TYPE_CHECKING:
    from musterroll import Client

LIST_LIMIT = 50

TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The task's id.")]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="MOMENT", help="As of then: a time, a cursor, or a version (v7)."),
]
Row = Mapping[str, Any]

app = typer.Typer()


class NoSuchTask(Failure):
    """What was given cannot be the id of a task."""

    exit_code = NOT_FOUND


@app.command()
def status(context: typer.Context, task_id: TaskId, at: At = None, as_json: AsJson = False) -> None:
    """Show how a task stands, or stood, with its result or error."""
    with session_of(context).connect() as client, working("Asking"):
        row = client.request("GET", path_of(task_id) + "/status", params=as_of(at))
    print_json(row) if as_json else print_fields(_summary(row))


@app.command()
def get(context: typer.Context, task_id: TaskId, at: At = None, as_json: AsJson = False) -> None:
    """Show everything that is known of a task, or was at a moment."""
    with session_of(context).connect() as client, working("Asking"):
        row = client.request("GET", path_of(task_id), params=as_of(at))
    print_json(row) if as_json else print_fields(_summary(row) | _particulars(row))


@app.command("list")
def list_tasks(
    context: typer.Context,
    status: Annotated[
        str | None,
        typer.Option(metavar="STATUS", help="Only these: queued, running, failed, completed, ..."),
    ] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Only this kind.")] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="AGENT_ID", help="Only what this agent has or had.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Repeatable: all must fit.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Submitted since (2030-01-31T09:00:00Z).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = LIST_LIMIT,
    as_json: AsJson = False,
) -> None:
    """List tasks, newest first."""
    labels = [f"{k}:{v}" for k, v in parse_pairs(label or [], option="--label").items()]
    filters = {
        "status": status,
        "kind": kind,
        "agent_id": agent,
        "label": labels or None,
        "since": since,
    }
    with session_of(context).connect() as client:
        show_list(
            client,
            "/v1/tasks",
            filters,
            limit=limit,
            as_json=as_json,
            columns=_COLUMNS,
            empty="No tasks. Submit one: muster task submit KIND",
        )


@app.command()
def counts(context: typer.Context, as_json: AsJson = False) -> None:
    """Count the tasks in each status."""
    with session_of(context).connect() as client, working("Counting"):
        answer = client.request("GET", "/v1/tasks/counts")
    if as_json:
        print_json(answer)
    else:
        print_table(("STATUS", "TASKS"), answer["counts"].items(), empty="No tasks.")


@app.command()
def wait(
    context: typer.Context,
    task_id: TaskId,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Give up waiting after so long.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Wait for a task's end, and print its result. Exits with 1 unless it completed."""
    with session_of(context).connect() as client:
        show_end(wait_for(client, task_id, timeout_seconds=timeout), as_json=as_json)


def wait_for(client: "Client", task_id: str, *, timeout_seconds: float | None) -> Row:
    """The final status of a task. Raises TimedOut."""
    with working(f"Waiting for task {task_id}"):
        client.tasks.wait(task_id, timeout_seconds=timeout_seconds)
        answer: Row = client.request("GET", path_of(task_id) + "/status")
        return answer


@app.command()
def history(
    context: typer.Context,
    task_id: TaskId,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most so many; all unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what happened to a task, event by event."""
    with session_of(context).connect() as client:
        show_list(
            client,
            path_of(task_id) + "/history",
            limit=limit,
            as_json=as_json,
            columns=STORY,
            empty="Nothing happened.",
        )


def as_of(at: str | None) -> dict[str, str]:
    """The parameters of a read as of a moment, or of now."""
    return {} if at is None else {"at": at}


def path_of(task_id: str) -> str:
    """The task's address in the API. Raises NoSuchTask where that is no id."""
    try:
        return f"/v1/tasks/{UUID(task_id)}"
    except ValueError:
        raise NoSuchTask(f"there is no task {task_id!r}: that is no task's id.") from None


def show_end(row: Row, *, as_json: bool) -> None:
    """Print the result of a task that has ended. Raises Failure unless it completed."""
    if as_json:
        print_json(row)
    elif row["status"] == "completed":
        print_json(row["result"])
    require_completed(row)


def require_completed(row: Row) -> None:
    """Raises Failure for a task that came to another end."""
    if row["status"] != "completed":
        raise Failure(f"the task {_ending(row).rstrip('.')}.")


def line_of(row: Row) -> str:
    """How a task stands, on one line."""
    parts = [_status_of(row)]
    if row["progress"] and row["status"] != "completed":
        parts.append(f"{row['progress']:.0%}")
    if row["attempt"]:
        parts.append(f"attempt {row['attempt']}")
    if row["error"]:
        parts.append(f"{row['error']['code']}: {row['error']['message']}")
    if row["status"] == "completed":
        parts.append(text_of(row["result"]))
    return f"version {row['version']:<3} " + "  ".join(parts)


def _ending(row: Row) -> str:
    error = row["error"] or {"code": "", "message": ""}
    if row["status"] == "failed":
        return f"failed: {error['code']}: {error['message']}"
    return f"was cancelled: {error['message'] or 'nobody said why'}"


def _summary(row: Row) -> dict[str, object]:
    error = row["error"]
    return {
        "task": row["id"],
        "status": _status_of(row),
        "progress": _percent(row),
        "attempt": row["attempt"] or None,
        "agent": row["agent_id"],
        "error": error and f"{error['code']}: {error['message']}",
        "result": None if row["result"] is None else text_of(row["result"]),
    }


def _particulars(row: Row) -> dict[str, object]:
    moments = ("submitted_at", "queued_at", "started_at", "finished_at", "lease_expires_at")
    return {
        "kind": row["kind"],
        "input": None if row["input"] is None else text_of(row["input"]),
        "requires": row["requires"],
        "labels": row["labels"],
        "priority": str(row["priority"]),
        "attempts": f"at most {row['max_attempts']}, {row['timeout_seconds']} s each",
        "note": row["progress_message"],
        "not before": row["not_before"],
        "deadline": row["deadline"],
        "part of": row["parent_id"],
        "submitted by": row["submitted_by"],
        **{
            name.removesuffix("_at").replace("_", " "): f"{row[name]} ({ago(row[name])})"
            for name in moments
            if row[name]
        },
    }


def _status_of(row: Row) -> str:
    reason = row["waiting_reason"]
    return f"{row['status']} ({reason.replace('_', ' ')})" if reason else str(row["status"])


def _percent(row: Row) -> str | None:
    return f"{row['progress']:.0%}" if row["progress"] else None


_COLUMNS: dict[str, Callable[[Row], object]] = {
    "TASK": itemgetter("id"),
    "STATUS": itemgetter("status"),
    "KIND": itemgetter("kind"),
    "ATTEMPT": lambda row: f"{row['attempt']}/{row['max_attempts']}",
    "DONE": lambda row: f"{row['progress']:.0%}",
    "SUBMITTED": lambda row: ago(row["submitted_at"]),
}

STORY: dict[str, Callable[[Row], object]] = {
    "VERSION": itemgetter("version"),
    "CURSOR": itemgetter("cursor"),
    "TIME": itemgetter("time"),
    "WHAT": itemgetter("text"),
    "BY": itemgetter("actor"),
    "BECAUSE OF": lambda row: row["cause"] or "-",
}
