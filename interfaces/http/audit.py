"""What the audit trail is told of requests: commands, reads and refusals."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from starlette.types import Scope

from application.access import Foreign, Principal, Unauthenticated
from application.accounts.account import Claims, ScopeNotHeld, TooManyAttempts
from application.audit.ports import Thing
from application.audit.trail import ANONYMOUS, Refusal
from application.commands import Origin
from application.ids import uuid7
from application.live.channel import AUDITED
from application.live.interest import Subscription
from domain.audit_trail import Asked
from domain.errors import AggregateNotFound, ControlPlaneError, Forbidden, NotFound
from interfaces.http.errors import NoSuchPath, status_of
from interfaces.http.fields import UUID_PATTERN
from interfaces.http.headers import RequestHeaders, traceparent
from interfaces.http.ports import ControlPlane
from interfaces.http.scope import ABOUT, ACCOUNT, CALLER, CLAIMS, REQUEST_ID, TEMPLATE

REFUSALS = (Unauthenticated, Forbidden, ScopeNotHeld, TooManyAttempts)
"""What an auditor wants to know of, whatever its status; and what was not found, if it was not
shown because it is somebody else's."""
TEXT_MAX = 200
POSITION_DIGITS_MAX = 18


def asked_in(scope: Scope) -> Asked:
    """The request, without anything of its query, its headers or its body."""
    about = {**_ids_in(scope), **scope.get(ABOUT, {})}
    client = scope.get("client")
    return Asked(
        address=str(client[0])[:TEXT_MAX] if client else "",
        method=scope.get("method", "GET"),
        route=scope.get(TEMPLATE, "unmatched"),
        about={name: str(value)[:TEXT_MAX] for name, value in about.items()},
        request_id=scope.get(REQUEST_ID, ""),
    )


async def record_command(
    process: ControlPlane, scope: Scope, origin: Origin, *, status: int, code: str | None = None
) -> None:
    """Before the answer goes out. Raises DatabaseUnavailable."""
    origin = replace(origin, expected_version=None)
    await process.audit.command(origin, asked_in(scope), status=status, code=code)


async def record_read(process: ControlPlane, scope: Scope, origin: Origin) -> int:
    """Before anything is read; the position of the entry. Raises DatabaseUnavailable."""
    origin = replace(origin, expected_version=None)
    return await process.audit.read(origin, asked_in(scope))


async def record_listening(
    process: ControlPlane,
    scope: Scope,
    principal: Principal,
    subscriptions: Sequence[Subscription],
) -> None:
    """A read, where an auditor's channel is among them. Raises DatabaseUnavailable."""
    channels = [str(one.channel) for one in subscriptions if one.channel.family in AUDITED]
    if channels:
        origin = Origin(tenant=principal.tenant, actor=principal.subject, command_id=uuid7())
        about = {ABOUT: {"channels": " ".join(channels)}}
        await record_read(process, {**scope, **about}, origin)


def record_refusal(process: ControlPlane, scope: Scope, error: ControlPlaneError) -> None:
    """In the background, when it is one. Never fails."""
    refused = isinstance(error, REFUSALS)
    caller, claims = scope.get(CALLER), scope.get(CLAIMS)
    things: tuple[Thing, ...] = ()
    if caller is not None and isinstance(error, NotFound) and not isinstance(error, NoSuchPath):
        things = _things(scope, error)
    # Without an id there is nothing to look up: it is known to be somebody else's.
    if refused or things or isinstance(error, Foreign):
        asked = asked_in(scope)
        if caller is None and claims is not None:
            asked = _of_account(asked, claims)
        process.audit.refuse(
            Refusal(
                tenant=_tenant(scope),
                actor=caller.subject if caller is not None else ANONYMOUS,
                asked=asked,
                status=status_of(type(error)),
                code=error.code,
                traceparent=traceparent(RequestHeaders(scope["headers"])),
                account=scope.get(ACCOUNT) if caller is None else None,
                things=things,
                to_all_others=isinstance(error, Foreign),
            )
        )


def _tenant(scope: Scope) -> str | None:
    if CALLER in scope:
        tenant: str = scope[CALLER].tenant
        return tenant
    return scope[CLAIMS].tenant if CLAIMS in scope else None


def _of_account(asked: Asked, claims: Claims) -> Asked:
    """A token that was genuine once names its account, though nobody may use it any more."""
    return replace(asked, about={**asked.about, "account": str(claims.account_id)})


def _things(scope: Scope, error: ControlPlaneError) -> tuple[Thing, ...]:
    """What was asked for: the ids and positions in the path, and what the error is about."""
    found = [_thing(value) for value in _ids_in(scope).values()]
    if isinstance(error, AggregateNotFound):
        found.append(getattr(error, "aggregate_id", None))
    return tuple(dict.fromkeys(thing for thing in found if thing is not None))


def _ids_in(scope: Scope) -> dict[str, str]:
    """Those in its path, if they are any. What else stands there may be the name of a person, or
    whatever a stranger wrote, and has no place in the log."""
    parameters = scope.get("path_params", {})
    named = {
        n: _thing(one) for n, one in parameters.items() if n.endswith("_id") or n == "position"
    }
    return {name: str(thing) for name, thing in named.items() if thing is not None}


def _thing(value: Any) -> Thing | None:
    text = str(value)
    if UUID_PATTERN.fullmatch(text):
        return UUID(text)
    # A position of the log; a cursor names one too.
    digits = text.rpartition(":")[2]
    if not digits.isascii() or not digits.isdecimal() or len(digits) > POSITION_DIGITS_MAX:
        return None
    return int(digits)
