"""How values are written on the command line: JSON, labels, moments, lists."""

import json
import math
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from interfaces.cli.failures import Failure, Misuse

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_json(text: str, *, option: str) -> Any:
    """A JSON value given to an option; `-` reads it from standard input."""
    if text == "-":
        return _json_of(sys.stdin.read(), source="standard input")
    return _json_of(text, source=option)


def read_json(path: Path) -> Any:
    """The JSON value in a file."""
    return _json_of(_text_of(path), source=str(path))


def read_json_lines(path: Path) -> list[Any]:
    """The JSON values in a file, one a line; `-` reads standard input."""
    text = sys.stdin.read() if str(path) == "-" else _text_of(path)
    return [
        _json_of(line, source=f"{path}, line {number}")
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]


def read_secret(path: Path | None) -> str | None:
    """The secret in a file, without the end of its line; `-` reads standard input; None: none."""
    if path is None:
        return None
    text = sys.stdin.read() if str(path) == "-" else _text_of(path)
    return text.rstrip("\r\n")


def parse_pairs(pairs: Iterable[str], *, option: str, separator: str = "=") -> dict[str, str]:
    """`key=value` texts as a mapping."""
    parsed = {}
    for pair in pairs:
        key, found, value = pair.partition(separator)
        if not found or not key.strip():
            raise Misuse(f"{option} wants key{separator}value, not {pair!r}.")
        parsed[key.strip()] = value.strip()
    return parsed


def parse_moment(text: str, *, option: str, now: datetime | None = None) -> datetime:
    """A moment: RFC 3339 (`2030-01-31T09:00:00Z`), or from now on (`90s`, `10m`, `2h`, `1d`)."""
    if from_now := _DURATION.fullmatch(text):
        amount, unit = from_now.groups()
        return (now or datetime.now(UTC)) + timedelta(**{_UNITS[unit]: float(amount)})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Misuse(
            f"{option} wants a time such as 2030-01-31T09:00:00Z, or 10m from now, not {text!r}."
        ) from None
    if moment.tzinfo is None:
        raise Misuse(f"{option} wants a time with its zone, such as {text}Z.")
    return moment


def parse_scopes(texts: Iterable[str]) -> list[str]:
    """Scopes, given one by one or separated by commas or spaces."""
    return [scope for text in texts for scope in re.split(r"[,\s]+", text) if scope]


def _json_of(text: str, *, source: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Misuse(
            f"{source} holds no JSON ({error}). A plain text needs its quotes: '\"hello\"'."
        ) from None


def _refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity are Python's, not JSON's, and would arrive as null. Raises ValueError."""
    raise ValueError(f"{name} is no number in JSON")


def _finite(digits: str) -> float:
    """What is too large becomes infinite, and would arrive as null. Raises ValueError."""
    if math.isinf(number := float(digits)):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Failure(f"{path} cannot be read: it is not UTF-8 text.") from None
