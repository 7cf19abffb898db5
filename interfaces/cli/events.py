"""`muster events`: the log, as it was written and as it grows."""

import shutil
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from interfaces.cli.arguments import parse_pairs
from interfaces.cli.events_causes import causes, effects
from interfaces.cli.events_export import check_export, export
from interfaces.cli.events_import import import_
from interfaces.cli.failures import NOT_FOUND, Failure
from interfaces.cli.output import AsJson, clock, print_json, print_line, text_of
from interfaces.cli.session import session_of
from interfaces.cli.waiting import telling_outages, working

if TYPE_CHECKING:
    from musterroll import Client
    from musterroll.models import Event
    from musterroll.streams import Events

CHANNELS = ("tasks", "agents", "collaborations")
LAST = 20
LAST_MAX = 1_000_000
"""They are held in memory."""
Last = Annotated[
    int,
    typer.Option(min=0, max=LAST_MAX, metavar="N", help="Without --after: the last so many."),
]
START = "start"

app = typer.Typer(help="Read the log of everything that happened.", no_args_is_help=True)
app.command()(causes)
app.command()(effects)
app.command()(export)
app.command("check-export")(check_export)
app.command("import")(import_)


class NothingThere(Failure):
    """There is no task or agent of that id."""

    exit_code = NOT_FOUND


@dataclass(frozen=True, slots=True)
class Filters:
    """Which events are wanted."""

    channels: Sequence[str]
    types: Sequence[str]
    labels: Mapping[str, str]

    def read(self, client: "Client", after: str, *, follow: bool = False) -> "Events":
        """They themselves, from a place in the log on."""
        return client.events(
            self.channels, after=after, types=self.types, labels=self.labels, follow=follow
        )


@app.command()
def tail(
    context: typer.Context,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C.")
    ] = False,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Repeatable: tasks, agents, collaborations (default), system, audit, tasks.ID.",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Repeatable: only task.completed, ..."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Repeatable: only of what had all of them."),
    ] = None,
    aggregate: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what happened to this task or agent.")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="CURSOR", help="Everything after this place: 1:4711, start, now."),
    ] = None,
    last: Last = LAST,
    as_json: AsJson = False,
) -> None:
    """Print the latest events, in the order of the log; with --json as CloudEvents, one a line."""
    labels = parse_pairs(label or [], option="--label")
    with session_of(context).connect() as client, telling_outages(), ExitStack() as streams:
        with working("Reading the log"):
            channels = _channels_of(client, aggregate, channel or CHANNELS)
            filters = Filters(channels, kind or (), labels)
            found: Iterable[Event] = ()
            following: Iterable[Event] = ()
            if after is None:
                found, after = _latest(client, filters, last)
            elif not follow:
                found = filters.read(client, after)
            if follow:
                # Before anything is printed: an outage is waited out once the stream has begun.
                following = streams.enter_context(filters.read(client, after, follow=True))
        show = print_json if as_json else print_event
        for event in chain(found, following):
            show(event)


def _channels_of(client: "Client", aggregate: str | None, channels: Sequence[str]) -> Sequence[str]:
    """The channels as they are, or the one of them that brings a single thing."""
    if aggregate is None:
        return channels
    from musterroll.errors import NotFound  # noqa: PLC0415 - its HTTP client takes a while

    for family in channels if _is_id(aggregate) else ():
        name = f"{family}.{aggregate}"
        try:
            list(client.events(name, follow=False))
        except NotFound:
            continue
        return (name,)
    raise NothingThere(f"there is no {' or '.join(channels)} of the id {aggregate!r}.")


def _latest(client: "Client", filters: Filters, count: int) -> tuple[Iterable["Event"], str]:
    """The last `count` events that fit, and the cursor to go on from.

    The log is read in windows that end where it ends, each four times as wide as the one before,
    until one holds enough: a rare type is found without reading the whole log first.
    """
    epoch, _, position = _end_of(filters.read(client, "now")).partition(":")
    width = max(count, 1)
    while True:
        start = int(position) - width
        window = filters.read(client, f"{epoch}:{start}" if start > 0 else START)
        found = deque(window, maxlen=count)
        if len(found) >= count or start <= 0:
            return found, _end_of(window)
        width *= 4


def _end_of(events: "Events") -> str:
    """Where the log ended for a stream that does not follow it."""
    deque(events, maxlen=0)
    assert events.cursor is not None, "a stream that has ended knows where"
    return events.cursor


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def print_event(event: "Event") -> None:
    """An event on one line, for people."""
    facts = "  ".join(
        f"{name}={text_of(value)}" for name, value in event.data.items() if value is not None
    )
    when = clock(event.time) if event.time else "-"
    print_line(_fitted(f"{event.id:<8} {when} {event.type:<20} {event.subject}  {facts}"))


def _fitted(line: str) -> str:
    """Cut to the terminal's width; whole where a program reads."""
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else line[: width - 1] + "…"
