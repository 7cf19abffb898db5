"""`muster history whatif`: the past decided by another policy."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from interfaces.cli.output import AsJson, print_fields, print_json, print_line, print_table
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working

REPLAY_SECONDS = 60.0
"""How much longer than usual an answer may take."""
DIFFERENCES_SHOWN = 10

Row = Mapping[str, Any]


def whatif(
    context: typer.Context,
    policy: Annotated[
        str,
        typer.Option(metavar="NAME", help="The policy: weighted_load, least_outstanding, ..."),
    ],
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Where to begin; or a cursor.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Where to end; or a cursor.")
    ] = None,
    differences: Annotated[
        int, typer.Option(min=0, max=1_000, metavar="N", help="List so many differences.")
    ] = DIFFERENCES_SHOWN,
    as_json: AsJson = False,
) -> None:
    """Show what another policy would have decided, and how long things would have taken.

    Nothing is changed."""
    body = {"policy": policy, "from": begin, "to": end, "differences": differences}
    asked = {name: value for name, value in body.items() if value is not None}
    with session_of(context).connect() as client, working("Deciding the past again"):
        found = client.request(
            "POST", "/v1/history/whatif", json=asked, wait_seconds=REPLAY_SECONDS
        )
    print_json(found) if as_json else _show(found)


def _show(found: Row) -> None:
    other = f"{found['policy']['name']} v{found['policy']['version']}"
    print_fields(
        {
            "policy": other,
            "from": f"{found['from']['time']} ({found['from']['cursor']})",
            "to": f"{found['to']['time']} ({found['to']['cursor']})",
            "decisions": f"{found['decisions']:,}",
            "otherwise": f"{found['changed']:,} ({found['share']:.1%})",
            "other scores": f"{found['rescored']:,} BY THE SAME POLICY"
            if found["rescored"]
            else "",
        }
    )
    if found["agents"]:
        print_line()
        rows = [(_name(one), one["then"], one["instead"]) for one in found["agents"]]
        print_table(("AGENT", "CHOSEN", "WOULD BE"), rows, empty="")
    if found["differences"]:
        print_line()
        differences = [_difference(one) for one in found["differences"]]
        print_table(("EVENT", "TASK", "CHOSEN", "WOULD BE"), differences, empty="")
    if found["estimate"]:
        _show_estimate(found["estimate"], other)


def _show_estimate(estimate: Row, other: str) -> None:
    name, version = estimate["recorded_policy"]["name"], estimate["recorded_policy"]["version"]
    times = {
        f"simulated, {name} v{version}": estimate["recorded"],
        f"simulated, {other}": estimate["instead"],
        "as recorded": estimate["happened"],
    }
    rows = [
        (
            what,
            *(_seconds(one["waiting_seconds"][part]) for part in ("mean", "p95")),
            *(_seconds(one["finishing_seconds"][part]) for part in ("mean", "p95")),
        )
        for what, one in times.items()
        if one
    ]
    print_line()
    headings = ("", "WAITING MEAN", "P95", "FINISHED AFTER MEAN", "P95")
    print_table(headings, rows, empty="")
    print_line()
    print_line(estimate["caveat"])


def _difference(one: Row) -> tuple[str, ...]:
    then, instead = one["then"], one["instead"]
    return (
        one["cursor"],
        one["task_id"],
        f"{_name(then)} ({then['score_then']:g} / {then['score_instead']:g})",
        f"{_name(instead)} ({instead['score_then']:g} / {instead['score_instead']:g})",
    )


def _name(one: Row) -> str:
    return str(one["name"] or one["agent_id"])


def _seconds(value: float) -> str:
    return f"{value:,.2f} s"
