"""Who may do what: the principals, the scopes, and the one function that decides.

The rules, in order; what none of them allows is refused:

1. A resource of another tenant does not exist for the caller, with one exception: an `admin` of the
   tenant `default` (the operator of the installation) may act on the *accounts* of every tenant,
   that is, wherever the scope asked for is `admin`. Tasks, agents and events of another tenant stay
   hidden from the operator too.
2. `worker` is good for the one agent that the principal is, and for no other: another agent does
   not exist. No other scope implies it.
3. `admin` implies every other scope within its tenant, but `backups:admin` only in the tenant
   `default`, because a backup holds the events of all tenants.
4. Apart from that a principal needs the very scope.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from domain.errors import ControlPlaneError, Forbidden, NotFound

OPERATOR_TENANT = "default"

SCOPES = {
    "tasks:read": "See tasks, their results and the activity feed.",
    "tasks:write": "Submit, cancel, retry, approve and reject tasks.",
    "agents:read": "See agents.",
    "agents:admin": "Register, change, drain and retire agents, and give them secrets.",
    "worker": "Take and report work as one agent. Only agents hold it.",
    "audit:read": "Read the event log.",
    "backups:admin": "Take and restore backups (of all tenants: only in the tenant default).",
    "admin": "Add and remove users and clients; implies the other scopes but worker.",
}

PrincipalKind = Literal["user", "client", "agent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody whose token was found good. `subject` is how the log names the actor, `user/alice`.

    `agent_id` is set for an agent, and for nobody else.
    """

    account_id: UUID
    kind: PrincipalKind
    subject: str
    tenant: str
    scopes: frozenset[str]
    agent_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What an action is about: something of a tenant, and perhaps the work of one agent."""

    tenant: str
    agent_id: UUID | None = None


class Unauthenticated(ControlPlaneError):
    """There is no credential that would tell who asks."""

    code = "unauthenticated"

    def __init__(self, message: str = "A bearer token is needed.") -> None:
        super().__init__(message)


class InvalidToken(Unauthenticated):
    """The token is malformed, expired, revoked, or not for this service."""

    code = "invalid_token"

    def __init__(self) -> None:
        # Which of these it was helps only those who forge one.
        super().__init__("The access token is not valid, or no longer.")


class InsufficientScope(Forbidden):
    """The caller's scopes do not cover this."""

    code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs the scope {scope}.", scope=scope)


class Foreign(NotFound):
    """It belongs to somebody else, which looks the same as if it did not exist."""

    def __init__(self) -> None:
        super().__init__("There is no such thing.")


def authorize(principal: Principal, action: str, resource: Resource) -> None:
    """Decide whether the principal may act on the resource; `action` is the scope that it takes.

    Raises InsufficientScope, or Foreign for what the principal may not even know of.
    """
    if not has_scope(principal, action):
        raise InsufficientScope(action)
    if resource.tenant != principal.tenant and not (action == "admin" and is_operator(principal)):
        raise Foreign
    if action == "worker" and resource.agent_id != principal.agent_id:
        raise Foreign


def has_scope(principal: Principal, scope: str) -> bool:
    """Whether the principal holds the scope, or one that implies it."""
    if scope not in SCOPES:
        return False
    if scope == "worker":
        return scope in principal.scopes and principal.agent_id is not None
    if scope in principal.scopes:
        return True
    if "admin" not in principal.scopes:
        return False
    return scope != "backups:admin" or principal.tenant == OPERATOR_TENANT


def is_operator(principal: Principal) -> bool:
    """Whether the principal administers the whole installation."""
    return principal.tenant == OPERATOR_TENANT and "admin" in principal.scopes


def grantable(tenant: str) -> frozenset[str]:
    """The scopes that users and clients of a tenant may be given."""
    shared = {"worker"} if tenant == OPERATOR_TENANT else {"worker", "backups:admin"}
    return frozenset(SCOPES) - shared
