"""The shapes of a refusal."""

from typing import NotRequired

from typing_extensions import TypedDict

from interfaces.http.schemas.base import documented


@documented
class Fault(TypedDict):
    """Where a body is at fault."""

    pointer: str
    """A JSON Pointer (RFC 6901) into the body."""
    message: str


@documented
class Problem(TypedDict):
    """Why a request was refused (RFC 9457). There may be further members."""

    type: str
    """`/problems/<code>`, a page that explains it."""
    title: str
    status: int
    detail: str
    """For people."""
    instance: str
    """The path that was asked for."""
    code: str
    """For programs; it never changes its meaning."""
    request_id: str
    """Finds the request in the service's log; also in the header X-Request-Id."""
    errors: NotRequired[list[Fault]]


@documented
class TokenProblem(Problem):
    """The same with the members of RFC 6749, section 5.2."""

    error: str
    error_description: str
