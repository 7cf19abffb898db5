"""`muster events import`: histories that were exported elsewhere."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from interfaces.cli.arguments import parse_pairs
from interfaces.cli.events_export import NoExport
from interfaces.cli.output import AsJson, hint, print_fields, print_json
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working


def import_(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A signed export; - reads standard input.")
    ],
    trust: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="The id of a key that is trusted (`audit keys`). Repeatable."
        ),
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=NAME", help="Whom tasks are about that name this id. Repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a signed export of tasks and agents into the log: all of it, or nothing."""
    content = _content(file)
    subjects = parse_pairs(subject or [], option="--subject")
    with session_of(context).connect() as client, working("Importing"):
        done = client.import_events(content, trusted=trust or [], subjects=subjects)
    if as_json:
        print_json(done)
        return
    print_fields(
        {
            "taken in": done["events"],
            "there already": done["skipped"],
            "tasks and agents": done["aggregates"],
            "cursor": done["cursor"],
        }
    )
    if done["events"]:
        hint("An agent that is new here gets a secret by `muster agent secret`.")


def _content(path: Path) -> bytes:
    """All of it: the service takes 32 MiB at most, and says so."""
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise NoExport(f"{path} cannot be read: {error.strerror}.") from None
