"""`muster demo`: what can be asked of it."""

import sysconfig
from pathlib import Path
from typing import Annotated

import typer

from interfaces.cli.failures import Failure, Misuse

TASKS = 300
TASKS_MIN = 20
TASKS_MAX = 400


def demo(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH", help="The folder to work on; the standard library of this Python."
        ),
    ] = None,
    tasks: Annotated[
        int, typer.Option(min=TASKS_MIN, max=TASKS_MAX, metavar="N", help="About how many tasks.")
    ] = TASKS,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave service and agents running afterwards.")
    ] = False,
    openai_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="With --model: one more agent, that asks this endpoint."),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="The model to ask.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON, the progress to stderr.")
    ] = False,
) -> None:
    """Show everything at work on real files, within a minute.

    Starts a service and six agents, gives them a few hundred small tasks about the files of a
    folder, kills one of the agents half way, and shows where its work went. It only reads the
    files, and leaves nothing behind.
    """
    if (openai_url is None) != (model is None):
        raise Misuse("--openai-url and --model go together.")
    root = (path or Path(sysconfig.get_path("stdlib"))).expanduser()
    if not root.exists():
        raise Failure(f"there is nothing at {root}.")

    from interfaces.cli.demo.play import Play, perform  # noqa: PLC0415 - rich and aiohttp are slow

    perform(
        Play(
            root=root.resolve(),
            only_python=path is None,
            tasks=tasks,
            keep=keep,
            openai_url=openai_url,
            model=model,
            as_json=as_json,
        )
    )
