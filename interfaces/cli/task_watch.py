"""Watching a task until it ends: how it stands, and what it writes meanwhile."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interfaces.cli.output import AsJson, harmless, print_json, print_line, print_text
from interfaces.cli.session import Session, session_of
from interfaces.cli.task_read import TaskId, line_of, path_of, require_completed
from interfaces.cli.waiting import telling_outages

if TYPE_CHECKING:
    from musterroll.models import TaskStatus
    from musterroll.streams import AsyncTaskOutput

# What was written last may be on its way when the end of the task is known.
LAST_WORDS_SECONDS = 2.0

app = typer.Typer()


@app.command()
def watch(
    context: typer.Context,
    task_id: TaskId,
    output: Annotated[
        bool, typer.Option("--output", help="Show what it writes, too: tokens, log lines.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print a line whenever a task changes, until it ends. Exits with 1 unless it completed."""
    path_of(task_id)
    session, screen = session_of(context), _Screen(as_json=as_json)
    with telling_outages():
        if output:
            asyncio.run(_show_all(session, task_id, screen))
        else:
            with session.connect() as client:
                for status in client.watch(task_id):
                    screen.show(status)
    require_completed(screen.row)


class _Screen:
    """Prints how a task stands between the lines of what it writes."""

    def __init__(self, *, as_json: bool) -> None:
        self.row: Mapping[str, Any] = {}
        self._as_json = as_json
        self._is_within_line = False

    def show(self, status: "TaskStatus") -> None:
        self.row = asdict(status)
        if self._as_json:
            print_json(self.row)
            return
        if self._is_within_line:
            print_line()
            self._is_within_line = False
        print_line(line_of(self.row))

    async def show_pieces(self, output: "AsyncTaskOutput") -> None:
        async for piece in output:
            if self._as_json:
                print_json(piece)
                continue
            if piece.dropped:
                print_line(f"[{piece.dropped} characters left out]")
            print_text(harmless(piece.text))
            self._is_within_line = not piece.text.endswith("\n")


async def _show_all(session: Session, task_id: str, screen: _Screen) -> None:
    async with session.connect_async() as client, client.output(task_id) as output:
        showing = asyncio.create_task(screen.show_pieces(output))
        async for status in client.watch(task_id):
            if status.finished:
                await asyncio.wait([showing], timeout=LAST_WORDS_SECONDS)
            screen.show(status)
        if not showing.cancel():
            showing.result()
