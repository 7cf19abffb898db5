"""What can be wrong with a request as such, and the one table from errors to HTTP statuses."""

from collections.abc import Mapping, Sequence
from typing import Any

from application.access import InsufficientScope, InvalidToken, Unauthenticated
from application.accounts.account import (
    ScopeNotHeld,
    TooManyAttempts,
    WrongCredentials,
    WrongPassword,
)
from application.answers import Failed
from application.archives.jobs import JobUnderWay
from domain.errors import (
    Conflict,
    ControlPlaneError,
    EpochEnded,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
    VersionMismatch,
)

REALM = "musterroll"
ERRORS_SHOWN_MAX = 20


class BadRequest(ControlPlaneError):
    """The request cannot be read."""

    code = "bad_request"


class BadJson(BadRequest):
    """The body is no JSON, or holds what JSON cannot say safely."""

    code = "bad_json"


class BadHeader(BadRequest):
    """A header has a value that it cannot have."""

    code = "bad_header"


class BadCredentials(BadRequest):
    """The credentials came in a way that they may not come in."""

    code = "invalid_request"


class BadTokenRequest(BadRequest):
    """The form that asks for a token lacks a member, or has one twice (RFC 6749, section 5.2)."""

    code = "invalid_request"


class UnsupportedGrantType(BadRequest):
    """Tokens are given for `password` and for `client_credentials`."""

    code = "unsupported_grant_type"

    def __init__(self) -> None:
        super().__init__("grant_type is password or client_credentials.")


class NotReady(Unavailable):
    """The service lives, but something that it needs does not."""

    code = "not_ready"


class Overloaded(Unavailable):
    """As many requests are being answered as can be."""

    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("Too many requests are being answered.")


class NoSuchPath(NotFound):
    """Nothing is served under this path."""

    code = "no_such_path"

    def __init__(self) -> None:
        super().__init__("There is nothing under this path.")


class MethodNotAllowed(ControlPlaneError):
    """The path is served, with other methods."""

    code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"Use {', '.join(allowed)}.")
        self.allowed = allowed


class UpgradeRequired(ControlPlaneError):
    """Under this path WebSockets are served, and nothing else."""

    code = "upgrade_required"

    def __init__(self) -> None:
        super().__init__("Ask for an upgrade to a WebSocket (RFC 6455).")


class RequestTimeout(ControlPlaneError):
    """The body did not arrive in time."""

    code = "request_timeout"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The body did not arrive within {seconds:g} s.")


class BodyTooLarge(ControlPlaneError):
    """The body is larger than is taken."""

    code = "body_too_large"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"The body holds more than {bytes_max} bytes.")


class UnsupportedMediaType(ControlPlaneError):
    """The body is of a kind, or in an encoding, that is not taken."""

    code = "unsupported_media_type"


class InvalidBody(Invalid):
    """The body is JSON, but not the JSON that was asked for. `errors` says where."""

    code = "invalid_body"

    def __init__(self, errors: Sequence[Mapping[str, str]], count: int) -> None:
        more = f" The first {len(errors)} of {count} are listed." if count > len(errors) else ""
        super().__init__(f"The body is not what this takes.{more}")
        self.errors = errors


class InvalidParameter(Invalid):
    """A query parameter has a value that it cannot have, or came twice."""

    code = "invalid_parameter"


class UnknownParameter(Invalid):
    """There is no such query parameter here."""

    code = "unknown_parameter"


class InternalError(ControlPlaneError):
    """Our fault. What happened is in the service's own log, under the request id."""

    code = "internal_error"

    def __init__(self) -> None:
        super().__init__(
            "Something went wrong inside the service. The request id finds it in its log."
        )


STATUSES: tuple[tuple[type[ControlPlaneError], int], ...] = (
    (BadRequest, 400),
    (WrongPassword, 400),
    (ScopeNotHeld, 400),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (MethodNotAllowed, 405),
    (RequestTimeout, 408),
    (EpochEnded, 410),
    (VersionMismatch, 412),
    (Conflict, 409),
    (BodyTooLarge, 413),
    (UnsupportedMediaType, 415),
    (Invalid, 422),
    (UpgradeRequired, 426),
    (TooManyAttempts, 429),
    (InternalError, 500),
    (Failed, 500),
    (Unavailable, 503),
)
"""The first that fits: a mismatch of versions is a conflict too, and comes before it."""

OAUTH = (BadTokenRequest, UnsupportedGrantType, WrongCredentials, ScopeNotHeld)
"""Those that RFC 6749, section 5.2, gives a shape to; they have that of a problem besides."""

TITLES = {
    400: "Bad request",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timed out",
    409: "Conflict",
    410: "Gone",
    412: "Version mismatch",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Invalid request",
    426: "Upgrade required",
    429: "Too many attempts",
    500: "Internal error",
    503: "Unavailable",
}


def status_of(kind: type[ControlPlaneError]) -> int:
    """The HTTP status of a kind of error."""
    return next(status for ours, status in STATUSES if issubclass(kind, ours))


def headers_of(error: ControlPlaneError) -> dict[str, str]:
    """The headers that go with an error."""
    if challenge := _challenge(error):
        return {"WWW-Authenticate": challenge}
    match error:
        case MethodNotAllowed():
            return {"Allow": ", ".join(error.allowed)}
        case UpgradeRequired():
            return {"Upgrade": "websocket", "Connection": "Upgrade"}
        case TooManyAttempts() | Unavailable() | JobUnderWay():
            return {"Retry-After": str(error.retry_after_seconds)}
        case RequestTimeout() | BodyTooLarge():
            # The rest of the body is not read, so the connection is of no further use.
            return {"Connection": "close"}
    return {}


def problem(error: ControlPlaneError, *, instance: str, request_id: str) -> dict[str, Any]:
    """The error as a problem (RFC 9457), its facts as further members."""
    status = status_of(type(error))
    members: dict[str, Any] = {
        **error.facts,
        "type": f"/problems/{error.code}",
        "title": TITLES[status],
        "status": status,
        "detail": error.message,
        "instance": instance,
        "code": error.code,
        "request_id": request_id,
    }
    if isinstance(error, InvalidBody):
        members["errors"] = error.errors
    if isinstance(error, OAUTH):
        members |= {"error": error.code, "error_description": error.message}
    return members


def _challenge(error: ControlPlaneError) -> str | None:
    """What RFC 6750, section 3, wants with a refused token; without one there is no error code."""
    bearer = f'Bearer realm="{REALM}"'
    match error:
        case WrongPassword():
            return None
        case WrongCredentials():
            return f'Basic realm="{REALM}"'
        case InvalidToken() | BadCredentials():
            return f'{bearer}, error="{error.code}"'
        case InsufficientScope():
            return f'{bearer}, error="{error.code}", scope="{error.facts["scope"]}"'
        case Unauthenticated():
            return bearer
    return None
