"""Query parameters: only those that are known, each once, each with a value that it can have."""

from functools import cache
from typing import Annotated, Any, TypeVar, get_origin
from urllib.parse import parse_qsl

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from application.cursor import Cursor
from interfaces.http.errors import InvalidParameter, UnknownParameter
from interfaces.http.fields import CURSOR_PATTERN, number_from, whole_number_from
from interfaces.http.messages import in_words

PARAMETERS_MAX = 100
LIST_LIMIT_MAX = 200
WAIT_SECONDS_MAX = 30

WHOLE_TEXT = BeforeValidator(whole_number_from)
Wait = Annotated[float, Field(ge=0, le=WAIT_SECONDS_MAX), BeforeValidator(number_from)]


CursorText = Annotated[str, Field(pattern=CURSOR_PATTERN, examples=["1:4711"])]

ParametersT = TypeVar("ParametersT", bound="Parameters")


class Parameters(BaseModel):
    """The query parameters of a route."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class QueryParameters(Parameters):
    """What every query takes."""

    seen: CursorText | None = None
    """Answer from nothing older than this cursor; also as the header Musterroll-Seen."""

    def cursor_seen(self, header: str | None) -> Cursor | None:
        """The cursor that the caller has seen. Raises BadCursor."""
        text = self.seen if self.seen is not None else header
        return None if text is None else Cursor.parse(text)


class ListParameters(QueryParameters):
    """What every list takes."""

    limit: Annotated[int, Field(ge=1, le=LIST_LIMIT_MAX), WHOLE_TEXT] = 50
    """How many items a page holds at most."""


def parameters_of(kind: type[ParametersT], query: bytes) -> ParametersT:
    """The parameters of a request. Raises InvalidParameter, UnknownParameter."""
    defaults: ParametersT | None = None if query else _defaults(kind)
    if defaults is not None:
        return defaults
    given: dict[str, Any] = {}
    for name, value in _pairs(query):
        field = _fields(kind).get(name)
        if field is None:
            raise UnknownParameter(f"There is no parameter {name[:100]!r} here.")
        if "\0" in value:
            raise InvalidParameter(f"{name} holds the character NUL.")
        if get_origin(field.annotation) is list:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise InvalidParameter(f"{name} may be given once.")
        else:
            given[name] = value
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise InvalidParameter(f"{fault['loc'][0]} {in_words(fault)}.") from error


@cache
def _fields(kind: type[Parameters]) -> dict[str, FieldInfo]:
    """By the names that callers use: `from` is a word of Python's, and so an alias."""
    return {field.alias or name: field for name, field in kind.model_fields.items()}


@cache
def _defaults(kind: type[ParametersT]) -> ParametersT | None:
    # One for all requests, since it is frozen; None where a parameter has no default.
    required = any(field.is_required() for field in kind.model_fields.values())
    return None if required else kind()


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=PARAMETERS_MAX,
        )
    except ValueError as error:
        raise InvalidParameter("The query is not one of UTF-8 parameters, or too long.") from error
