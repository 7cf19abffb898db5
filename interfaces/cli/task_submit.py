"""Submitting tasks: one, or a file of them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from interfaces.cli.arguments import (
    parse_json,
    parse_moment,
    parse_pairs,
    read_json,
    read_json_lines,
)
from interfaces.cli.failures import Failure, Misuse
from interfaces.cli.output import AsJson, hint, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.task_read import show_end, wait_for
from interfaces.cli.waiting import working

Kind = Annotated[str, typer.Argument(metavar="KIND", help="What kind of work, such as `review`.")]
Input = Annotated[
    str | None,
    typer.Option("--input", metavar="JSON", help="What to work on; - reads standard input."),
]
InputFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file that holds the input as JSON.")
]
Priority = Annotated[
    int | None, typer.Option(min=0, max=9, metavar="N", help="0 (lowest) to 9; 5 unless given.")
]
Requires = Annotated[
    list[str] | None,
    typer.Option(metavar="CAPABILITY", help="Repeatable; the kind unless given."),
]
Label = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Repeatable.")]
MaxAttempts = Annotated[int | None, typer.Option(min=1, metavar="N", help="3 unless given.")]
TimeoutSeconds = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Limit of one attempt; 300 unless given.")
]
NotBefore = Annotated[
    str | None, typer.Option(metavar="TIME", help="Start no sooner: a time, or 10m from now.")
]
Deadline = Annotated[str | None, typer.Option(metavar="TIME", help="Fail unless done by then.")]
Parent = Annotated[str | None, typer.Option(metavar="TASK_ID", help="It is part of.")]
Subject = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Whom it is about; what is personal can then be erased."),
]
Approval = Annotated[
    bool, typer.Option("--approval", help="Do not start before somebody approves.")
]
IdempotencyKey = Annotated[
    str | None, typer.Option(metavar="KEY", help="Submitting it again submits nothing new.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for its end, print the result.")]

app = typer.Typer()


@app.command()
def submit(
    context: typer.Context,
    kind: Kind,
    input_text: Input = None,
    input_file: InputFile = None,
    priority: Priority = None,
    requires: Requires = None,
    label: Label = None,
    max_attempts: MaxAttempts = None,
    timeout_seconds: TimeoutSeconds = None,
    not_before: NotBefore = None,
    deadline: Deadline = None,
    parent: Parent = None,
    approval: Approval = False,
    subject: Subject = None,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Submit a task, and print its id."""
    options: dict[str, Any] = {
        "priority": priority,
        "requires": requires,
        "max_attempts": max_attempts,
        "timeout_seconds": timeout_seconds,
        "labels": parse_pairs(label, option="--label") if label else None,
        "not_before": parse_moment(not_before, option="--not-before") if not_before else None,
        "deadline": parse_moment(deadline, option="--deadline") if deadline else None,
        "parent_id": parent,
        "approval": approval or None,
        "subject": subject,
        "idempotency_key": idempotency_key,
    }
    given = _input_of(input_text, input_file)
    with session_of(context).connect() as client:
        with working("Submitting"):
            receipt = client.tasks.submit(kind, given, **options)
        if wait:
            show_end(wait_for(client, receipt.id, timeout_seconds=None), as_json=as_json)
            return
    answer = {"task_id": receipt.id, "version": receipt.version, "cursor": receipt.cursor}
    print_json(answer) if as_json else print_line(receipt.id)
    if not as_json:
        hint(f"Submitted. To see what becomes of it: muster task watch {receipt.id}")


@app.command("submit-many")
def submit_many(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help='One task a line: {"kind": "count", "input": ...}. - reads standard input.',
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Submit every task of a file, and print one id a line, in order."""
    tasks = read_json_lines(file)
    with session_of(context).connect() as client, working(f"Submitting {len(tasks)} tasks"):
        outcomes = client.tasks.submit_many(tasks)
    refused = 0
    for outcome in outcomes:
        if outcome.error is None:
            answer = {"task_id": outcome.id, "version": outcome.version, "cursor": outcome.cursor}
            print_json(answer) if as_json else print_line(str(outcome.id))
            continue
        refused += 1
        error = {"code": outcome.error.code, "message": outcome.error.message}
        print_json({"error": error}) if as_json else print_line(f"refused: {error['message']}")
    if refused:
        raise Failure(f"{refused} of {len(outcomes)} tasks were refused.")
    hint(f"Submitted {len(outcomes)} tasks. How they stand: muster task counts")


def _input_of(text: str | None, file: Path | None) -> Any:
    if text is not None and file is not None:
        raise Misuse("give --input or --input-file, not both.")
    if text is not None:
        return parse_json(text, option="--input")
    return read_json(file) if file is not None else None
