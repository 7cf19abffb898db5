"""`muster activity`: what happened, in sentences."""

from operator import itemgetter
from typing import Annotated

import typer

from interfaces.cli.listing import show_list
from interfaces.cli.output import AsJson, ago
from interfaces.cli.session import session_of

LIMIT = 20


def activity(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = LIMIT,
    as_json: AsJson = False,
) -> None:
    """Show what happened, in sentences, newest first."""
    with session_of(context).connect() as client:
        show_list(
            client,
            "/v1/activity",
            limit=limit,
            as_json=as_json,
            columns={
                "WHEN": lambda row: ago(row["at"]),
                "ABOUT": itemgetter("subject"),
                "WHAT": itemgetter("text"),
                "BY": itemgetter("actor"),
            },
            empty="Nothing has happened yet.",
        )
