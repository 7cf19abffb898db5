"""`muster history`: the past, as of any moment."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from interfaces.cli import history_play, history_whatif
from interfaces.cli.output import (
    AsJson,
    print_fields,
    print_json,
    print_line,
    print_table,
    text_of,
)
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working

BISECT_SECONDS = 90.0
"""How much longer than usual an answer may take."""
AGENTS_SHOWN = 20

Row = Mapping[str, Any]

app = typer.Typer(help="Look at the past: any moment, and what changed it.", no_args_is_help=True)
app.command("play")(history_play.play)
app.command("whatif")(history_whatif.whatif)


@app.command()
def at(
    context: typer.Context,
    moment: Annotated[
        str,
        typer.Argument(metavar="TIME", help="2026-01-31T14:03:00Z, or a cursor (1:4711), or now."),
    ],
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Only tasks that stood so.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=200, metavar="N", help="At most so many tasks.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """Show everything as it was at a moment: tasks, agents, queue, what stood in the way."""
    asked = {"at": None if moment == "now" else moment, "status": status, "limit": limit}
    params = {name: value for name, value in asked.items() if value is not None}
    with session_of(context).connect() as client, working("Folding the past"):
        state = client.request("GET", "/v1/state", params=params)
    print_json(state) if as_json else _show(state)


@app.command()
def bisect(
    context: typer.Context,
    predicate: Annotated[
        str,
        typer.Argument(
            metavar="PREDICATE",
            help="Such as 'queue.depth > 100', or 'agent[\"ada\"].failed >= 3'.",
        ),
    ],
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Where to begin; or a cursor.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Where to end; or a cursor.")
    ] = None,
    scan: Annotated[
        bool, typer.Option("--scan", help="Look at every event: for what comes and goes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the first event after which something holds; exits with 0 whether it was found or
    not."""
    body = {"predicate": predicate, "from": begin, "to": end, "scan": scan}
    asked = {name: value for name, value in body.items() if value is not None}
    with session_of(context).connect() as client, working("Searching the past"):
        found = client.request(
            "POST", "/v1/history/bisect", json=asked, wait_seconds=BISECT_SECONDS
        )
    print_json(found) if as_json else _show_found(found)


def _show(state: Row) -> None:
    counts, queue = state["tasks"]["counts"], state["queue"]
    tasks = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    waits = ", ".join(f"{count} {kind}" for kind, count in queue["by_kind"].items())
    fleet = state["fleet"]
    print_fields(
        {
            "as of": f"{state['at']['time']} ({state['at']['cursor']})",
            "tasks": tasks or "none",
            "queue": f"{queue['depth']} ({waits})" if waits else "empty",
            "waiting since": queue["oldest_waiting_since"],
            "agents": f"{fleet['online']} at work, {fleet['running']} of {fleet['slots']} slots "
            f"in use",
            "digest": state["digest"],
        }
    )
    for one in state["bottlenecks"]:
        print_line(f"{one['severity']}: {one['text']}")
    if state["agents"]:
        print_line()
        print_table(("AGENT", "STATE", "BUSY", "DONE", "FAILED", "LOST"), _agents(state), empty="")
    if state["tasks"]["items"]:
        print_line()
        print_table(("TASK", "STATUS", "KIND", "ATTEMPT", "AGENT"), _tasks(state), empty="")


def _agents(state: Row) -> list[tuple[object, ...]]:
    return [
        (
            one["name"],
            one["state"],
            f"{one['running']}/{one['slots']}",
            one["completed"],
            one["failed"],
            one["lost"],
        )
        for one in state["agents"][:AGENTS_SHOWN]
    ]


def _tasks(state: Row) -> list[tuple[object, ...]]:
    return [
        (one["id"], one["status"], one["kind"], one["attempt"], text_of(one["agent_id"]))
        for one in state["tasks"]["items"]
    ]


def _show_found(found: Row) -> None:
    event = found["event"]
    cost = f"{found['folds']} frames made, {found['events_scanned']} events folded"
    match found["outcome"]:
        case "found":
            print_line(
                f"{event['id']}  {event['time']}  {event['type']}  {event['subject']}  "
                f"by {event['actor']}"
            )
        case "held_already":
            print_line("It held already before the first event of the range.")
        case _:
            print_line("It never held where it was looked at; --scan looks at every event.")
    print_line(cost)
