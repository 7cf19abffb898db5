"""Everything that can go wrong when asking the service, by what the caller can do about it."""

from collections.abc import Mapping, Sequence
from typing import Any


class MusterrollError(Exception):
    """The root of all errors of this library.

    `code` is stable and meant for programs, `detail` for people. `status` is the HTTP status,
    or None when the service gave no answer. `errors` names the fields at fault
    (`{"pointer", "message"}`), `extra` holds further members of the problem (RFC 9457).
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        status: int | None = None,
        request_id: str | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.status = status
        self.request_id = request_id
        self.errors = tuple(errors)
        self.extra = dict(extra or {})

    def __str__(self) -> str:
        fields = "; ".join(f"{e.get('pointer', '')}: {e.get('message', '')}" for e in self.errors)
        return f"{self.detail} ({fields})" if fields else self.detail


class NotFound(MusterrollError):
    """There is no such thing, or not for you. Check the id."""


class Conflict(MusterrollError):
    """It has changed, or its state forbids the command. Read it again, then decide."""


class Invalid(MusterrollError):
    """The request itself is at fault. Change it."""


class Unauthorized(MusterrollError):
    """The credentials are missing, wrong or no longer valid. Give others."""


class Forbidden(MusterrollError):
    """The credentials are good but lack the scope. Ask for it."""


class EpochEnded(MusterrollError):
    """The log was restored and the cursor belongs to its former life. Read from the start."""


class Resync(MusterrollError):
    """A stream cannot go on at its cursor. Read anew: what you need by queries, or from the start.

    `reason` (and `code`) is `epoch_ended`, when the log was restored since, or `cursor_ahead`.
    """

    @property
    def reason(self) -> str:
        return self.code

    @property
    def cursor(self) -> str | None:
        """Where the log ends now; None where the service did not say."""
        cursor = self.extra.get("cursor")
        return cursor if isinstance(cursor, str) else None


class Unavailable(MusterrollError):
    """The service does not answer, or cannot now. Try later."""


class TimedOut(MusterrollError):
    """What you waited for has not happened yet, and may still happen. Wait longer."""


_KINDS: dict[int, type[MusterrollError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: EpochEnded,
    412: Conflict,
    429: Unavailable,
}

_STANDARD_MEMBERS = frozenset(
    {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}
)


def from_problem(status: int, problem: Any) -> MusterrollError:
    """Make the error of a refused request, from its decoded body (an RFC 9457 problem, an
    RFC 6749 error of the token endpoint, or anything at all from a proxy in between)."""
    members = problem if isinstance(problem, dict) else {}
    code = str(members.get("code") or members.get("error") or f"http_{status}")
    detail = (
        members.get("detail")
        or members.get("error_description")
        or members.get("title")
        or f"the service answered {status}"
    )
    errors = members.get("errors")
    return _kind(status, code)(
        str(detail),
        code=code,
        status=status,
        request_id=members.get("request_id"),
        errors=errors if isinstance(errors, list) else (),
        extra={name: value for name, value in members.items() if name not in _STANDARD_MEMBERS},
    )


def _kind(status: int, code: str) -> type[MusterrollError]:
    # The token endpoint answers 400 to a wrong password (RFC 6749, section 5.2).
    if code in {"invalid_grant", "invalid_client"}:
        return Unauthorized
    return _KINDS.get(status, Unavailable if status >= 500 else Invalid)
