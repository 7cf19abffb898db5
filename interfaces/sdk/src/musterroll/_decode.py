"""Decoded JSON into the dataclasses of `models`.

Members that a model does not know are left out: an older client understands a newer service.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from musterroll.errors import Unavailable

T = TypeVar("T")


def decode(model: type[T], payload: Any) -> T:
    """Raises Unavailable when the payload is not of the model's shape: whatever answered, it was
    not the service."""
    if not isinstance(payload, Mapping):
        raise unexpected(model.__name__, payload)
    shape: Any = model
    known = {
        name: convert(payload[name])
        for name, convert in _converters(shape).items()
        if payload.get(name) is not None
    }
    if missing := _required(shape) - known.keys():
        raise unexpected(model.__name__, sorted(missing))
    return model(**known)


def unexpected(wanted: str, found: Any) -> Unavailable:
    """The error of an answer that is not what was wanted, so that it was not the service's."""
    return Unavailable(
        f"the answer is not Musterroll's {wanted}: {str(found)[:200]}", code="unexpected_answer"
    )


@cache
def _converters(model: Any) -> dict[str, Callable[[Any], Any]]:
    hints = get_type_hints(model)
    return {name: _converter(hint) for name, hint in hints.items()}


@cache
def _required(model: Any) -> frozenset[str]:
    return frozenset(
        field.name
        for field in fields(model)
        if field.default is MISSING and field.default_factory is MISSING
    )


def _converter(hint: Any) -> Callable[[Any], Any]:
    if get_origin(hint) in {Union, types.UnionType}:
        hint = next(part for part in get_args(hint) if part is not types.NoneType)
    if hint is datetime:
        return datetime.fromisoformat
    if get_origin(hint) is tuple:
        member = _converter(get_args(hint)[0])
        return lambda payload: tuple(map(member, payload))
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda payload: decode(hint, payload)
    return lambda value: value
