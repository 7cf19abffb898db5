"""What commands print: JSON for programs, tables for people, plain columns for pipes."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

ID_WIDTH = 42
CELL_WIDTH_MIN = 12

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON, for programs.")]

_STYLES = {
    "completed": "green",
    "running": "cyan",
    "assigned": "cyan",
    "failed": "bold red",
    "cancelled": "dim",
    "awaiting_approval": "yellow",
    "scheduled": "dim",
    "offline": "red",
    "available": "green",
    "active": "green",
    "draining": "yellow",
    "retired": "dim",
    "verified": "green",
    "stored": "cyan",
    "expired": "dim",
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
}


# Control characters but tab and line feed, and those that turn the direction of writing.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def is_plain() -> bool:
    """Whether output goes to a program, or to a person who wants neither colours nor boxes."""
    return not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"


def print_json(value: object) -> None:
    """One JSON document on one line, flushed, so that a reader at the other end sees it now."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_jsonable) + "\n")
    sys.stdout.flush()


def print_line(text: str = "") -> None:
    """One line for people."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_text(text: str) -> None:
    """A piece of text, with no line end but its own."""
    sys.stdout.write(text)
    sys.stdout.flush()


def hint(text: str) -> None:
    """A line on what to do next, only where a person reads."""
    if sys.stdout.isatty():
        sys.stderr.write(text + "\n")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table; `empty` is said, to a person, where there are no rows."""
    texts = [[text_of(cell) for cell in row] for row in rows]
    if not texts:
        hint(empty)
    elif is_plain():
        _print_columns([list(headings), *texts])
    else:
        _print_rich_table(headings, texts)


def print_fields(fields: Mapping[str, object]) -> None:
    """One thing, field by field; fields without a value are left out."""
    shown = {name: text_of(value) for name, value in fields.items() if value not in (None, "", {})}
    width = max(map(len, shown), default=0)
    for name, text in shown.items():
        indented = text.replace("\n", "\n" + " " * (width + 2))
        print_line(f"{name:<{width}}  {indented}")


def text_of(value: object) -> str:
    """A value as a person wants to read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return ", ".join(map(text_of, value)) or "-"
    return str(value)


def ago(moment: str | None, *, now: datetime | None = None) -> str:
    """How long ago an RFC 3339 time was: `12 s ago`."""
    if moment is None:
        return "-"
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()
    return f"in {_duration(-seconds)}" if seconds < -1 else f"{_duration(max(0, seconds))} ago"


def clock(moment: datetime) -> str:
    """A time as the local time of day."""
    return moment.astimezone().strftime("%H:%M:%S")


def harmless(text: str) -> str:
    """A text of somebody else's without what would command a terminal; lines stay lines."""
    return _COMMANDS.sub("�", text)


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _print_columns(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            text.replace("\n", " ").ljust(width) for text, width in zip(row, widths, strict=True)
        )
        print_line("  ".join(cells).rstrip())


def _print_rich_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - rich takes a tenth of a second
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        widest = max(len(heading), *(len(row[number]) for row in rows))
        # An id that is cut cannot be copied, so the first columns keep theirs.
        kept = ID_WIDTH if number < 2 else CELL_WIDTH_MIN
        table.add_column(heading, no_wrap=True, overflow="ellipsis", min_width=min(widest, kept))
    for row in rows:
        table.add_row(*(Text(text, style=_STYLES.get(text, "")) for text in row))
    Console(width=max(80, shutil.get_terminal_size().columns), highlight=False).print(table)


def _jsonable(value: object) -> Any:
    """Frozen dataclasses of the SDK, and the times in them, as the API writes them."""
    from dataclasses import asdict, is_dataclass  # noqa: PLC0415

    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
