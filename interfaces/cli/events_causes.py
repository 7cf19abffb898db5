"""`muster events causes` and `effects`: what led to an event, and what came of it."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from interfaces.cli.output import AsJson, hint, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working

Position = Annotated[
    str, typer.Argument(metavar="POSITION", help="The event's position or cursor: 1:4711.")
]
Depth = Annotated[int | None, typer.Option(min=1, metavar="N", help="So many generations at most.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="So many events at most.")]


def causes(
    context: typer.Context,
    position: Position,
    depth: Depth = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Show what led to an event, across tasks and agents, the nearest first."""
    _show(context, position, "causes", depth=depth, limit=limit, as_json=as_json)


def effects(
    context: typer.Context,
    position: Position,
    depth: Depth = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Show what came of an event, across tasks and agents, the nearest first."""
    _show(context, position, "effects", depth=depth, limit=limit, as_json=as_json)


def _show(
    context: typer.Context,
    position: str,
    what: str,
    *,
    depth: int | None,
    limit: int | None,
    as_json: bool,
) -> None:
    asked = {"depth": depth, "limit": limit}
    params = {name: value for name, value in asked.items() if value is not None}
    path = f"/v1/events/{quote(position, safe='')}/{what}"
    with session_of(context).connect() as client, working("Following the log"):
        graph = client.request("GET", path, params=params)
    if as_json:
        print_json(graph)
        return
    for item in graph["items"]:
        print_line(_line(item))
    if graph["truncated"]:
        hint("There is more: --depth and --limit go further.")


def _line(item: Mapping[str, Any]) -> str:
    event = item["event"]
    because = f"<- {', '.join(item['causes'])}" if item["causes"] else "(root)"
    what = f"{event['type']:<20} {event['subject']}"
    return f"{event['id']:<8} {event['time']}  {what}  {because}  by {event['actor']}"
