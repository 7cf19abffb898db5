"""Stepping in: cancel, retry, approve, reject."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from interfaces.cli.failures import Failure, Misuse
from interfaces.cli.listing import items_of
from interfaces.cli.output import AsJson, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.task_read import path_of
from interfaces.cli.waiting import working

TaskIds = Annotated[list[str], typer.Argument(metavar="TASK_ID", help="One or more tasks.")]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the record.")]

app = typer.Typer()


@app.command()
def cancel(
    context: typer.Context, task_ids: TaskIds, reason: Reason = None, as_json: AsJson = False
) -> None:
    """Cancel tasks, wherever they stand. One that has ended stays as it is."""
    _each(context, task_ids, "cancel", {"reason": reason}, as_json=as_json)


@app.command()
def approve(context: typer.Context, task_ids: TaskIds, as_json: AsJson = False) -> None:
    """Let tasks that await approval go ahead."""
    _each(context, task_ids, "approve", {}, as_json=as_json)


@app.command()
def reject(
    context: typer.Context, task_ids: TaskIds, reason: Reason = None, as_json: AsJson = False
) -> None:
    """End tasks that await approval, before they began."""
    _each(context, task_ids, "reject", {"reason": reason}, as_json=as_json)


@app.command()
def retry(
    context: typer.Context,
    task_ids: Annotated[
        list[str] | None, typer.Argument(metavar="TASK_ID", help="Failed tasks.")
    ] = None,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="Every task that failed.")
    ] = False,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="With --all-failed: only this kind.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give failed tasks a new set of attempts."""
    if bool(task_ids) == all_failed:
        raise Misuse("name the tasks to retry, or give --all-failed.")
    with session_of(context).connect() as client, working("Retrying"):
        if all_failed:
            failed = items_of(client, "/v1/tasks", {"status": "failed", "kind": kind}, limit=None)
            task_ids = [row["id"] for row in failed]
        outcomes = client.tasks.retry_many(task_ids or [])
    refused = 0
    for task_id, outcome in zip(task_ids or [], outcomes, strict=True):
        if outcome.error is None:
            answer = {"task_id": task_id, "version": outcome.version, "cursor": outcome.cursor}
            _say(task_id, answer, as_json=as_json)
            continue
        refused += 1
        error = {"code": outcome.error.code, "message": outcome.error.message}
        text = f"{task_id}  refused: {outcome.error.message}"
        print_json({"error": error}) if as_json else print_line(text)
    if refused:
        raise Failure(f"{refused} of {len(outcomes)} tasks were not retried.")


def _each(
    context: typer.Context,
    task_ids: list[str],
    verb: str,
    body: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    with session_of(context).connect() as client:
        for task_id in task_ids:
            with working(f"Asking for {task_id}"):
                answer = client.request("POST", f"{path_of(task_id)}/{verb}", json=body)
            _say(task_id, answer, as_json=as_json)


def _say(task_id: str, answer: Mapping[str, Any], *, as_json: bool) -> None:
    print_json(answer) if as_json else print_line(f"{task_id}  done, version {answer['version']}")
