"""The types of fields: what JSON and a query can say, and the schema that says so to others."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from application.accounts.administration import VISIBLE_NAME
from application.moments import TIME_PATTERN, time_of

CURSOR_PATTERN = r"^[0-9]{1,9}:[0-9]{1,18}$"
UUID_PATTERN = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
JSON_BYTES_MAX = 256 * 1024
NESTING_MAX = 64
CONTAINERS = (dict, list)


def moment_from(value: Any) -> datetime:
    """A moment from RFC 3339 text with a zone, from 1970 to 2999, in UTC."""
    return time_of(value if isinstance(value, str) else "")


def uuid_from(value: Any) -> UUID:
    """An id from its usual text of 36 characters."""
    if not isinstance(value, str) or not UUID_PATTERN.fullmatch(value):
        raise ValueError("must be an id, such as 018f6a3e-1c2b-7d4e-9f00-0123456789ab")
    return UUID(value)


def whole_number_from(value: Any) -> int:
    """A whole number from the text of a parameter."""
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
        raise ValueError("must be a whole number")
    return int(value)


def number_from(value: Any) -> float:
    """A decimal number from the text of a parameter."""
    if not isinstance(value, str) or not re.fullmatch(
        r"-?[0-9]{1,9}(\.[0-9]{1,9})?", value, re.ASCII
    ):
        raise ValueError("must be a number")
    return float(value)


def whole_from_float(value: Any) -> Any:
    """5.0 is a whole number, as JSON Schema has it; the rest is left to the type."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def small_enough(value: Any) -> Any:
    """Any JSON, unless it is too large or too deep."""
    if nested_deeper(value, NESTING_MAX):
        raise ValueError(f"must be nested at most {NESTING_MAX} levels deep")
    if len(orjson.dumps(value)) > JSON_BYTES_MAX:
        raise ValueError("must be at most 256 KiB of JSON")
    return value


def nested_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects stand more than so many levels deep in one another."""
    level = [value] if isinstance(value, CONTAINERS) else []
    while level and levels:
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, CONTAINERS)
        ]
        levels -= 1
    return bool(level)


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Each once, in the order in which they first came."""
    return tuple(dict.fromkeys(names))


Moment = Annotated[
    datetime,
    BeforeValidator(moment_from),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "pattern": TIME_PATTERN,
            "examples": ["2026-01-31T12:00:00Z"],
        }
    ),
]
Id = Annotated[
    UUID,
    BeforeValidator(uuid_from),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]
AnyJson = Annotated[
    Any,
    AfterValidator(small_enough),
    WithJsonSchema({"description": "Any JSON, at most 256 KiB."}),
]
WHOLE = BeforeValidator(whole_from_float)
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=f"^{VISIBLE_NAME}$")]
Kind = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]
Reason = Annotated[str, StringConstraints(max_length=2_000)]
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^:]*$")]
LabelValue = Annotated[str, StringConstraints(max_length=500)]
# Pydantic writes the pattern of a key as patternProperties, which alone allows any other key.
Labels = Annotated[
    dict[LabelKey, LabelValue],
    Field(max_length=32, json_schema_extra={"additionalProperties": False}),
]
LabelFilter = Annotated[str, StringConstraints(pattern=r"^[^:]+:", max_length=700)]
