"""`muster events`: the log, as it was written."""

import shutil
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interfaces.cli.output import AsJson, clock, print_json, print_line, text_of
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working

if TYPE_CHECKING:
    from musterroll import Client

PAGE_EVENTS = 1000
LONG_POLL_SECONDS = 25
LAST = 20

app = typer.Typer(help="Read the log of everything that happened.", no_args_is_help=True)

Event = Mapping[str, Any]


@app.callback()
def group() -> None:
    """Keeps `tail` a subcommand although it is the only one."""


@app.command()
def tail(
    context: typer.Context,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C.")
    ] = False,
    kind: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="Only these, such as task.completed."),
    ] = None,
    aggregate: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what happened to this task or agent.")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="CURSOR", help="Everything after this place, such as 1:4711."),
    ] = None,
    last: Annotated[
        int, typer.Option(min=0, metavar="N", help="Without --after: the last so many.")
    ] = LAST,
    as_json: AsJson = False,
) -> None:
    """Print the latest events, in the order of the log; with --json as CloudEvents, one a line."""
    filters = {"type": kind, "aggregate_id": aggregate}
    asked = {name: value for name, value in filters.items() if value is not None}
    with session_of(context).connect() as client:
        if after is None:
            with working("Reading the log"):
                events, after = _latest(client, asked, last)
            for event in events:
                _print(event, as_json=as_json)
        while True:
            page = _page(client, asked, after, wait_seconds=LONG_POLL_SECONDS if follow else 0)
            for event in page["items"]:
                _print(event, as_json=as_json)
            after = page["next_cursor"]
            if not page["items"] and not follow:
                return


def _latest(
    client: "Client", filters: Mapping[str, Any], count: int
) -> tuple[Iterator[Event], str | None]:
    """The last `count` events that fit, and the cursor to go on from.

    The log is read in windows that end where it ends now, each four times as wide as the one
    before, until one holds enough: a rare type is found without reading the whole log first.
    """
    head = client.request("GET", "/v1/tasks/counts")["cursor"]
    epoch, _, position = head.partition(":")
    width = max(count, 1)
    while True:
        start = int(position) - width
        after = f"{epoch}:{start}" if start > 0 else None
        found = deque(_range(client, filters, after, until=head), maxlen=count)
        if len(found) >= count or after is None:
            return iter(found), head
        width *= 4


def _range(
    client: "Client", filters: Mapping[str, Any], after: str | None, *, until: str
) -> Iterator[Event]:
    while True:
        page = _page(client, {**filters, "until": until}, after, wait_seconds=0)
        yield from page["items"]
        if page["next_cursor"] == after or not page["items"]:
            return
        after = page["next_cursor"]


def _page(
    client: "Client", filters: Mapping[str, Any], after: str | None, *, wait_seconds: int
) -> dict[str, Any]:
    asked = {**filters, "limit": PAGE_EVENTS}
    if after is not None:
        asked["after"] = after
    if wait_seconds:
        asked["wait"] = wait_seconds
    page: dict[str, Any] = client.request(
        "GET", "/v1/events", params=asked, wait_seconds=wait_seconds
    )
    return page


def _print(event: Event, *, as_json: bool) -> None:
    if as_json:
        print_json(event)
        return
    facts = "  ".join(
        f"{name}={text_of(value)}" for name, value in event["data"].items() if value is not None
    )
    line = (
        f"{event['id']:<8} {clock(event['time'])} {event['type']:<20} {event['subject']}  {facts}"
    )
    print_line(_fitted(line))


def _fitted(line: str) -> str:
    """Cut to the terminal's width; whole where a program reads."""
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else line[: width - 1] + "…"
