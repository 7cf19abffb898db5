"""`muster subject`: whom tasks are about, and how what is personal of them is erased."""

import sys
from typing import Annotated
from urllib.parse import quote

import typer

from interfaces.cli.failures import Failure, Misuse
from interfaces.cli.output import AsJson, ago, print_fields, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working

SubjectName = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="As `muster task submit --subject` named it.")
]

app = typer.Typer(help="Whom tasks are about: look them up, erase them.", no_args_is_help=True)


@app.command()
def show(context: typer.Context, subject: SubjectName, as_json: AsJson = False) -> None:
    """Show whether a subject was erased."""
    with session_of(context).connect() as client, working("Asking"):
        found = client.request("GET", f"/v1/subjects/{quote(subject, safe='')}")
    if as_json:
        print_json(found)
        return
    print_fields(
        {
            "subject": found["subject"],
            "in the log": found["subject_id"],
            "state": found["state"],
            "erased": found["erased_at"] and ago(found["erased_at"]),
        }
    )


@app.command()
def erase(
    context: typer.Context,
    subject: SubjectName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase what is personal of a subject, in all of its tasks. It cannot be undone."""
    if not yes:
        _ask(subject)
    with session_of(context).connect() as client, working("Erasing"):
        receipt = client.subjects.erase(subject)
    if as_json:
        answer = {"version": receipt.version, "cursor": receipt.cursor}
        print_json({"subject_id": receipt.id, **answer})
    else:
        print_line(f"{subject}  erased")


def _ask(subject: str) -> None:
    if not sys.stdin.isatty():
        raise Misuse("erasing cannot be undone: say --yes where nobody can be asked.")
    question = f"Erase what is personal of {subject!r} for good?"
    if not typer.confirm(question, err=True):
        raise Failure("nothing was erased.")
