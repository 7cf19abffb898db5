"""`muster token`: an access token, to hand to another tool."""

from dataclasses import asdict
from typing import Annotated

import typer

from interfaces.cli.arguments import parse_scopes
from interfaces.cli.output import AsJson, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working


def token(
    context: typer.Context,
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="SCOPE", help="Let it do no more than this. Repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print an access token, to hand to another tool.

    curl -H "Authorization: Bearer $(muster token)" http://127.0.0.1:8000/v1/tasks
    """
    with working("Asking for a token"), session_of(context).connect() as client:
        answer = client.new_token(scopes=parse_scopes(scope or []) or None)
    print_json(asdict(answer)) if as_json else print_line(answer.access_token)
