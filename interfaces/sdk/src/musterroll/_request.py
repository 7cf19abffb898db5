"""A request as a value, and plans: how several requests make one call."""

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

import orjson

from musterroll._decode import decode
from musterroll._keys import new_key
from musterroll.errors import Invalid
from musterroll.models import Receipt

T = TypeVar("T")
M = TypeVar("M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """One request, and how its answer is read. `wait_seconds` is how long the service was asked
    to wait; `retry_seconds` replaces the client's own when it is set."""

    method: str
    path: str
    parse: Callable[[Any], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    wait_seconds: float = 0.0
    retry_seconds: float | None = None
    authorized: bool = True


KEY_CHARACTERS_MAX = 200
_IDS = ("task_id", "agent_id", "subject_id", "backup_id")

# A plan yields requests, is sent their parsed answers, and returns the answer of the call.
Steps: TypeAlias = Generator[Request[Any], Any, T]
Plan: TypeAlias = Request[T] | Steps[T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages(Generic[T]):
    """A list that is read page by page. `following` makes the request after a page, or None at
    the end; `limit` is how many items are wanted in all."""

    first: Request[Page[T]]
    following: Callable[[Page[T]], Request[Page[T]] | None]
    limit: int | None = None


def at(*parts: str) -> str:
    """The path of a thing; an id is never taken for more than one part of it."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def query(
    path: str, parse: Callable[[Any], T], *, wait_seconds: float = 0.0, **parameters: Any
) -> Request[T]:
    """A GET. Parameters that are None are left out."""
    return Request(
        method="GET",
        path=path,
        parse=parse,
        query={name: _text(value) for name, value in parameters.items() if value is not None},
        wait_seconds=wait_seconds,
    )


def command(
    path: str,
    parse: Callable[[Any], T],
    body: Any = None,
    *,
    method: str = "POST",
    if_version: int | None = None,
    idempotency_key: str | None = None,
    wait_seconds: float = 0.0,
) -> Request[T]:
    """A request that changes something. `body` may be JSON already, as bytes.

    Raises Invalid for a key that is not 1 to 200 printable characters, and as `encoded` does.
    """
    headers = {}
    if method == "POST":
        headers["Idempotency-Key"] = _checked_key(idempotency_key or new_key())
    if if_version is not None:
        headers["If-Match"] = f'"{if_version}"'
    if body is not None:
        headers["Content-Type"] = "application/json"
    return Request(
        method=method,
        path=path,
        parse=parse,
        headers=headers,
        content=body if body is None or isinstance(body, bytes) else encoded(body),
        wait_seconds=wait_seconds,
    )


def encoded(body: Any) -> bytes:
    """As JSON. Raises Invalid (`bad_json`) for what it cannot say, such as a whole number of more
    than 64 bits, or a float that is none or infinite."""
    try:
        content = orjson.dumps(body)
    except TypeError as error:
        raise Invalid(f"This cannot be sent as JSON: {error}.", code="bad_json") from error
    # Such a float becomes null, and would arrive as that.
    if b"null" in content and _is_unsayable(body):
        message = "This cannot be sent as JSON: it holds a float that is nan or infinite."
        raise Invalid(message, code="bad_json")
    return content


def _is_unsayable(part: Any) -> bool:
    """Whether a float in it is no number of JSON's."""
    if isinstance(part, float):
        return not math.isfinite(part)
    if isinstance(part, dict):
        return any(map(_is_unsayable, part.values()))
    return isinstance(part, list | tuple) and any(map(_is_unsayable, part))


def of(model: type[M]) -> Callable[[Any], M]:
    """Read an answer as a model."""
    return lambda payload: decode(model, payload)


def page_of(model: type[M]) -> Callable[[Any], Page[M]]:
    """Read an answer as a page of a model."""

    def parse(payload: Any) -> Page[M]:
        raw = decode(_RawPage, payload)
        return Page(items=[decode(model, item) for item in raw.items], next_cursor=raw.next_cursor)

    return parse


def receipt(payload: Any) -> Receipt:
    """Read an answer as the receipt of a command."""
    return decode(Receipt, with_id(payload))


def with_id(payload: Any) -> Any:
    """The same members, the id of the task, agent, subject or backup under the name `id`."""
    if not isinstance(payload, dict):
        return payload
    found = next((payload[name] for name in _IDS if payload.get(name)), None)
    return {"id": found, **payload}


def nothing(_payload: Any) -> None:
    """Read no answer."""


def as_it_is(payload: Any) -> Any:
    """Leave an answer as decoded JSON (or as text, where it was no JSON)."""
    return payload


def given(**members: Any) -> dict[str, Any]:
    """The members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _RawPage:
    items: list[Any]
    next_cursor: str | None = None


def _checked_key(key: str) -> str:
    if len(key) <= KEY_CHARACTERS_MAX and key.isascii() and key.isprintable():
        return key
    raise Invalid(
        f"an idempotency key has 1 to {KEY_CHARACTERS_MAX} printable ASCII characters",
        code="invalid_idempotency_key",
    )


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value
