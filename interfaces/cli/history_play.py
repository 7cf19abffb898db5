"""`muster history play`: the past again, with its timing."""

from contextlib import suppress
from typing import Annotated

import typer

from interfaces.cli.events import print_event
from interfaces.cli.output import AsJson, print_json
from interfaces.cli.session import session_of
from interfaces.cli.waiting import telling_outages

SPEED_MIN, SPEED_MAX = 0.1, 1_000.0


def play(
    context: typer.Context,
    begin: Annotated[
        str, typer.Argument(metavar="FROM", help="A cursor, or a time: 2026-01-31T14:03:00Z.")
    ],
    end: Annotated[
        str | None, typer.Argument(metavar="[TO]", help="The last one; now unless given.")
    ] = None,
    speed: Annotated[
        float,
        typer.Option(min=SPEED_MIN, max=SPEED_MAX, metavar="X", help="So many times as fast."),
    ] = 1.0,
    gap: Annotated[
        float | None,
        typer.Option(
            "--gap-seconds-max", metavar="S", help="Pass over idle time beyond so many seconds."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play the events of a stretch of history with the timing that they had; --json prints one a
    line, with its `number` and when it was recorded."""
    from musterroll.errors import MusterrollError  # noqa: PLC0415 - its HTTP client takes a while

    with session_of(context).connect() as client, telling_outages():
        replay = client.replay(begin, end, speed=speed, gap_seconds_max=gap)
        try:
            for replayed in replay:
                if as_json:
                    print_json(replayed)
                else:
                    print_event(replayed.event)
        finally:
            if replay.replay_id is not None:
                # It would be forgotten by itself, and counts among those of the tenant until then.
                with suppress(MusterrollError):
                    client.request("DELETE", f"/v1/replays/{replay.replay_id}")
