"""`muster events export` and `check-export`: the log in a file, and whether it is as it was."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from interfaces.cli.failures import FAILED, NOT_FOUND, Failure
from interfaces.cli.output import AsJson, hint, print_json, print_line
from interfaces.cli.session import session_of
from interfaces.cli.waiting import working

LINE_BYTES_MAX = 16 * 2**20
PARTIAL = ".partial"


class NoExport(Failure):
    """There is no file of that name."""

    exit_code = NOT_FOUND


def export(
    context: typer.Context,
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="MOMENT", help="The first: a cursor or a time."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="The last: a cursor or a time.")
    ] = None,
    sign: Annotated[
        bool, typer.Option("--sign", help="End with a signed line, to check it by elsewhere.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A new file; else standard output."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="The history of this task. Repeatable."),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="The history of this agent. Repeatable."),
    ] = None,
) -> None:
    """Write the log, or the histories of some tasks and agents, as CloudEvents, one a line."""
    of = [*(task or []), *(agent or [])]
    with (
        session_of(context).connect() as client,
        working("Exporting"),
        _written_to(output) as target,
    ):
        for chunk in client.export(begin, end, sign=sign, of=of):
            target.write(chunk)


def check_export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A signed export; - reads standard input.")
    ],
    key: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The id of the key that is trusted (`audit keys`)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a signed export without any service. Exits with 1 when anything in it was changed."""
    from application.export.manifest import BadExport, check  # noqa: PLC0415 - the service's parts
    from interfaces.bootstrap.seals import signed  # noqa: PLC0415

    try:
        with _read_from(file) as lines, working("Reading"):
            manifest = check(lines, signed, trusted=key)
    except BadExport as error:
        if as_json:
            print_json({"ok": False, "code": error.code, "message": error.message})
            raise typer.Exit(FAILED) from None
        raise Failure(error.message) from None
    if as_json:
        print_json({"ok": True, "vouched": key is not None, "manifest": manifest.members()})
        return
    print_line(
        f"It is as it was signed: {manifest.count} events of {manifest.tenant}, "
        f"behind {manifest.after} up to {manifest.until}, at {manifest.time}."
    )
    if key is None:
        hint(f"Nobody vouches for the key {manifest.key_id}: give --key.")


@contextmanager
def _written_to(path: Path | None) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole, and never in place of another."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists():
        raise Failure(f"{path} is there already.")
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def _read_from(path: Path) -> Iterator[Iterable[bytes]]:
    if str(path) == "-":
        yield _lines(sys.stdin.buffer)
        return
    try:
        source = path.open("rb")
    except OSError as error:
        raise NoExport(f"{path} cannot be read: {error.strerror}.") from None
    with source:
        yield _lines(source)


def _lines(source: BinaryIO) -> Iterator[bytes]:
    """Each with its end, none longer than an event can be."""
    while line := source.readline(LINE_BYTES_MAX):
        yield line
