"""Which errors an operation can answer with: its own, and those that all of its sort share."""

from collections.abc import Iterable, Iterator

from application.access import InsufficientScope, InvalidToken, Unauthenticated
from application.cursor import BadCursor, CursorAhead
from domain.errors import (
    AggregateNotFound,
    ConcurrentChange,
    ControlPlaneError,
    DatabaseUnavailable,
    EpochEnded,
    IdempotencyKeyReused,
    ReadModelBehind,
    VersionMismatch,
)
from interfaces.http.errors import (
    BadCredentials,
    BadHeader,
    BadJson,
    BodyTooLarge,
    InternalError,
    InvalidBody,
    InvalidParameter,
    NoSuchPath,
    Overloaded,
    RequestTimeout,
    UnknownParameter,
    UnsupportedMediaType,
)
from interfaces.http.operation import OPEN, SIGNED_IN, Operation
from interfaces.http.parameters import QueryParameters

Kinds = Iterable[type[ControlPlaneError]]
ALWAYS = (InvalidParameter, UnknownParameter, InternalError, Overloaded)
WITH_TOKEN = (Unauthenticated, InvalidToken, BadCredentials, DatabaseUnavailable)
WITH_SCOPE = (InsufficientScope,)
WITH_BODY = (BodyTooLarge, RequestTimeout, UnsupportedMediaType)
WITH_JSON = (BadJson, InvalidBody, *WITH_BODY)
WITH_KEY = (BadHeader, IdempotencyKeyReused, ConcurrentChange)
WITH_VERSION = (BadHeader, VersionMismatch)
WITH_SEEN = (BadCursor, EpochEnded, CursorAhead, ReadModelBehind)


def failures_of(operation: Operation) -> list[type[ControlPlaneError]]:
    """Each once, in a fixed order."""
    return list(dict.fromkeys(_all(operation)))


def _all(operation: Operation) -> Iterator[type[ControlPlaneError]]:
    yield from operation.errors
    yield from ALWAYS
    shared: list[tuple[bool, Kinds]] = [
        (operation.scope != OPEN, WITH_TOKEN),
        (operation.scope not in {OPEN, SIGNED_IN}, WITH_SCOPE),
        (operation.body is not None, WITH_JSON),
        (operation.form is not None, (*WITH_BODY, DatabaseUnavailable)),
        (operation.content is not None, WITH_BODY),
        (operation.repeatable, WITH_KEY),
        (operation.versioned, WITH_VERSION),
        ("{" in operation.path, (NoSuchPath,)),
        ("_id}" in operation.path, (AggregateNotFound,)),
        (issubclass(operation.parameters, QueryParameters), WITH_SEEN),
    ]
    for applies, kinds in shared:
        if applies:
            yield from kinds


def every_kind(
    root: type[ControlPlaneError] = ControlPlaneError,
) -> Iterator[type[ControlPlaneError]]:
    """Every error that there is, whichever operation answers with it."""
    for kind in root.__subclasses__():
        yield kind
        yield from every_kind(kind)
