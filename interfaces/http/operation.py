"""One operation: a method on a path, what is promised about it, and the call that it answers."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from application.access import SCOPES, Principal
from application.accounts.account import Claims
from application.commands import Origin, RequestKey
from application.cursor import Cursor
from application.ids import uuid7
from domain.errors import ControlPlaneError, EpochEnded
from interfaces.http.errors import NoSuchPath
from interfaces.http.fields import UUID_PATTERN
from interfaces.http.headers import RequestHeaders, ids_of_parts, traceparent
from interfaces.http.parameters import Parameters, QueryParameters
from interfaces.http.ports import ControlPlane
from interfaces.http.schemas.base import Body
from interfaces.http.scope import ENTRY, concerns

OPEN = "open"
"""In place of a scope: everybody may ask."""
SIGNED_IN = "signed in"
"""In place of a scope: a principal is needed, and what for is decided by the handler."""
ADMINISTRATIVE = frozenset({"admin", "agents:admin", "backups:admin"})
"""What needs one of these scopes and is no query is an administrative command."""

BodyT = TypeVar("BodyT")
ParametersT = TypeVar("ParametersT")


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT, ParametersT]):
    """A request that was found well-formed and allowed, perhaps under a key that it gave."""

    request: Request
    headers: RequestHeaders
    process: ControlPlane
    parameters: ParametersT
    body: BodyT
    caller: Principal | None
    claims: Claims | None
    key: RequestKey | None
    version: int | None

    @property
    def principal(self) -> Principal:
        """Who asks; on an open route nobody knows."""
        assert self.caller is not None, "an open route asked who calls"
        return self.caller

    @property
    def token(self) -> Claims:
        """What the token says that the call was made with."""
        assert self.claims is not None, "an open route asked for the token"
        return self.claims

    @property
    def tenant(self) -> str:
        """The tenant that the call is about."""
        return self.principal.tenant

    @property
    def entry(self) -> int | None:
        """Where the audit trail tells of this very read; None where it tells of none."""
        entry: int | None = self.request.scope.get(ENTRY)
        return entry

    def concerns(self, **about: object) -> None:
        """Tell the audit trail what this is about: ids and names, never a secret."""
        concerns(self.request.scope, **about)

    @property
    def seen(self) -> Cursor | None:
        """What the caller has seen. Raises BadCursor, EpochEnded."""
        assert isinstance(self.parameters, QueryParameters), "a command asked what was seen"
        seen = self.parameters.cursor_seen(self.headers.first(b"musterroll-seen"))
        if seen is not None:
            self.require_epoch(seen)
        return seen

    async def require_seen(self) -> None:
        """What the caller has seen was committed; for what is read from the log itself, or from
        rows that are no read model, which are never behind.

        Raises BadCursor, EpochEnded, CursorAhead, DatabaseUnavailable.
        """
        if (seen := self.seen) is not None:
            await self.process.moments.require_known(seen)

    @property
    def is_long_poll(self) -> bool:
        """Whether the caller would wait for news, and so may be here for long."""
        # Models tell slowly that they have no such member.
        members = vars(self.parameters) | (vars(self.body) if self.body else {})
        return bool(members.get("wait") or members.get("wait_seconds"))

    def require_epoch(self, cursor: Cursor) -> None:
        """Raises EpochEnded for a cursor of another epoch."""
        if cursor.epoch != self.process.epoch:
            raise EpochEnded(epoch=cursor.epoch, current=self.process.epoch)

    def id_of(self, name: str) -> UUID:
        """An id in the path. Raises NoSuchPath: what is no id names nothing."""
        return self.path_id(self.request, name)

    @staticmethod
    def path_id(request: Request, name: str) -> UUID:
        """The same, before there is a call."""
        text = request.path_params[name]
        if not UUID_PATTERN.fullmatch(text):
            raise NoSuchPath
        return UUID(text)

    def origin(self) -> Origin:
        """Who asks, for the one command that the request is."""
        return self._origins([self._command_id()])[0]

    def origins_of_parts(self, count: int) -> list[Origin]:
        """The same for each of the many commands that the request holds, in order."""
        return self._origins(ids_of_parts(self._command_id(), count))

    def _command_id(self) -> UUID:
        return self.key.command_id if self.key else uuid7()

    def _origins(self, command_ids: Iterable[UUID]) -> list[Origin]:
        caller, trace = self.principal, traceparent(self.headers)
        return [
            Origin(
                tenant=caller.tenant,
                actor=caller.subject,
                command_id=command_id,
                expected_version=self.version,
                traceparent=trace,
            )
            for command_id in command_ids
        ]


Handler = Callable[[Call[Any, Any]], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A row of the route table. What is not declared is not served, and not allowed.

    `scope` is one of SCOPES, or OPEN, or SIGNED_IN. `answer` is the type of the JSON answer, or a
    media type, or None for none. `body` is None where no body is read; `body_optional` where an
    empty one will do. `errors` are those of this operation alone; what all of its sort share is
    added by `failures`. `versioned`: takes If-Match. `form`: what a form in place of JSON holds.
    `content`: the media type of a body that the handler reads by itself.
    `headers`: those of the answer, with their meaning. `also`: other media types that the answer
    can have; `or_status`: another status. `administrative`: the audit trail tells of it although
    its scope does not say so; `audited`: likewise, of a read.
    """

    method: str
    path: str
    handler: Handler
    scope: str
    summary: str
    answer: type[Any] | str | None
    status: int = 200
    description: str = ""
    body: type[Body] | None = None
    body_optional: bool = False
    form: type[Any] | None = None
    content: str | None = None
    parameters: type[Parameters] = Parameters
    errors: tuple[type[ControlPlaneError], ...] = ()
    versioned: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    or_status: int | None = None
    administrative: bool = False
    audited: bool = False

    def __post_init__(self) -> None:
        """Refuse a row that would leave open who may do what."""
        declared = self.scope in SCOPES or self.scope in {OPEN, SIGNED_IN}
        assert declared, f"{self.path}: no scope is declared"
        assert self.method in {"GET", "POST", "PATCH", "DELETE"}, f"{self.path}: {self.method}"
        assert self.scope != "worker" or "{agent_id}" in self.path, f"{self.path}: whose work?"
        assert self.summary, f"{self.path}: no summary"

    @property
    def repeatable(self) -> bool:
        """Whether it takes an Idempotency-Key: every POST that a principal makes."""
        return self.method == "POST" and self.scope != OPEN

    @property
    def is_query(self) -> bool:
        """Whether it only answers from what is known."""
        return self.method == "GET"

    @property
    def is_audit_read(self) -> bool:
        """Whether it reads what not everybody may know of, and the audit trail tells of that."""
        return self.audited or self.scope == "audit:read"

    @property
    def is_administrative(self) -> bool:
        """Whether it changes who and what there is, and the audit trail tells of that."""
        return self.administrative or (not self.is_query and self.scope in ADMINISTRATIVE)
