"""`muster agent run`: be an agent's worker in the foreground, ready-made or your own."""

import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from interfaces.cli.arguments import parse_pairs
from interfaces.cli.failures import Failure, Misuse, debugging
from interfaces.cli.session import Session, session_of

if TYPE_CHECKING:
    from musterroll import Worker

WorkerKind = Literal["command", "http", "openai"]

HELP = """
Run an agent's worker until Ctrl-C. It registers itself by name.

\b
Your own, a Worker called `worker` in reviewers.py:
  muster agent run reviewers:worker

\b
Ready-made ones:
  muster agent run --kind command --name wc --task count -- python3 count.py
  muster agent run --kind http --name hook --task notify --endpoint URL
  muster agent run --kind openai --name writer --task write --model llama3.2
      --base-url http://127.0.0.1:11434/v1
"""

# A program's own options come after its name and are not ours.
CONTEXT_SETTINGS = {"ignore_unknown_options": False, "allow_interspersed_args": False}


def run(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORKER|PROGRAM",
            help="Your own worker, as module:name; or, with --kind command, the program.",
        ),
    ] = None,
    kind: Annotated[
        WorkerKind | None,
        typer.Option(help="A ready-made worker: a program, a webhook, a model."),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The agent's name.")] = None,
    task: Annotated[
        str | None, typer.Option(metavar="KIND", help="The kind of task it does.")
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Tasks at once; 1 unless given.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="http: where each task is POSTed.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME:VALUE", help="http: repeatable.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="openai: the model's name.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="openai: the endpoint, up to /v1. Key: OPENAI_API_KEY."),
    ] = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="openai: the system prompt.")
    ] = None,
) -> None:
    """Run an agent's worker until Ctrl-C. It registers itself by name."""
    options: dict[str, Any] = {"slots": slots} if slots is not None else {}
    match kind:
        case None:
            worker = _own_worker(words or [], slots=slots)
        case "command":
            worker = _command(_named(name, task), words or [], options)
        case "http":
            headers = parse_pairs(header or [], option="--header", separator=":")
            worker = _http(_named(name, task), endpoint, headers, options)
        case "openai":
            worker = _openai(_named(name, task), model, base_url, options | {"system": system})
    _work(worker, session_of(context))


def _named(name: str | None, task: str | None) -> dict[str, Any]:
    if name is None or task is None:
        raise Misuse("a ready-made worker needs --name and --task, the kind of task it does.")
    return {"name": name, "kind": task}


def _command(named: dict[str, Any], argv: Sequence[str], options: dict[str, Any]) -> "Worker":
    from musterroll.workers import command_worker  # noqa: PLC0415 - aiohttp is slow to import

    if not argv:
        raise Misuse("say which program to run: ... --kind command -- PROGRAM ARG...")
    return command_worker(**named, argv=list(argv), **options)


def _http(
    named: dict[str, Any],
    endpoint: str | None,
    headers: dict[str, str],
    options: dict[str, Any],
) -> "Worker":
    from musterroll.workers import http_worker  # noqa: PLC0415 - aiohttp is slow to import

    if endpoint is None:
        raise Misuse("say where to send the tasks: --endpoint URL.")
    return http_worker(**named, endpoint=endpoint, headers=headers, **options)


def _openai(
    named: dict[str, Any], model: str | None, base_url: str | None, options: dict[str, Any]
) -> "Worker":
    from musterroll.workers import openai_worker  # noqa: PLC0415 - aiohttp is slow to import

    if model is None:
        raise Misuse("say which model to ask: --model NAME.")
    where: dict[str, Any] = {"base_url": base_url} if base_url else {}
    return openai_worker(**named, model=model, **where, **options)


def _own_worker(words: Sequence[str], *, slots: int | None) -> "Worker":
    """The worker called `name` in `module`, looked for in the working folder as well."""
    from musterroll import Worker  # noqa: PLC0415 - aiohttp is slow to import

    if len(words) != 1 or ":" not in words[0]:
        raise Misuse("name your worker as module:name, or a ready-made one with --kind.")
    module_name, _, attribute = words[0].partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise Failure(f"there is no module {error.name!r} here or on the path.") from error
    worker = getattr(module, attribute, None)
    if not isinstance(worker, Worker):
        raise Failure(f"{module_name} has no Worker called {attribute!r}.")
    if slots is not None:
        worker.slots = slots
    return worker


def _work(worker: "Worker", session: Session) -> None:
    level = logging.DEBUG if debugging() else logging.INFO
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("musterroll").setLevel(level)
    worker.connect_to(session.url, **session.credentials()).run()
