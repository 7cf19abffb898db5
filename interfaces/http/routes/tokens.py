"""Tokens: a name and a secret for a token that says who bears it (RFC 6749)."""

from typing import Literal, NotRequired
from uuid import UUID

from starlette.responses import Response
from typing_extensions import TypedDict

from application.accounts.account import (
    Account,
    ScopeNotHeld,
    TooBusy,
    TooManyAttempts,
    WrongPassword,
    WrongSecret,
)
from application.accounts.sign_in import narrowed
from interfaces.http.errors import BadTokenRequest, UnsupportedGrantType
from interfaces.http.fields import UUID_PATTERN
from interfaces.http.forms import client_of, member, read_form
from interfaces.http.operation import OPEN, Call, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.responses import answer
from interfaces.http.schemas.base import documented
from interfaces.http.scope import ACCOUNT


@documented
class TokenForm(TypedDict):
    """The request for a token. A client may give its credentials by HTTP Basic."""

    grant_type: Literal["password", "client_credentials"]
    username: NotRequired[str]
    password: NotRequired[str]
    client_id: NotRequired[str]
    client_secret: NotRequired[str]
    scope: NotRequired[str]
    """Scopes, separated by spaces; by default all that the account has."""


@documented
class TokenAnswer(TypedDict):
    """A token."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    """Seconds."""
    scope: str


async def issue(call: Call[None, Parameters]) -> Response:
    """POST /v1/oauth/token."""
    form = await read_form(call.request, call.headers)
    account = await _signed_in(call, form)
    scopes = narrowed(account, form.get("scope"))
    tokens = call.process.tokens
    content = {
        "access_token": tokens.issue(account, scopes),
        "token_type": "Bearer",
        "expires_in": tokens.lifetime_seconds,
        "scope": " ".join(sorted(scopes)),
    }
    return answer(content)


async def _signed_in(call: Call[None, Parameters], form: dict[str, str]) -> Account:
    sign_in = call.process.accounts.sign_in
    address = call.request.client.host if call.request.client else ""
    match member(form, "grant_type"):
        case "password":
            username, password = member(form, "username"), member(form, "password")
            call.request.scope[ACCOUNT] = username
            return await sign_in.with_password(username, password, address=address)
        case "client_credentials":
            client_id, secret = client_of(call.headers, form)
            if UUID_PATTERN.fullmatch(client_id):
                call.request.scope[ACCOUNT] = UUID(client_id)
            return await sign_in.with_client_secret(client_id, secret, address=address)
        case _:
            raise UnsupportedGrantType


OPERATIONS = [
    Operation(
        method="POST",
        path="/v1/oauth/token",
        handler=issue,
        scope=OPEN,
        summary="Sign in",
        description="Errors have the members of RFC 6749, section 5.2, and those of a problem.",
        form=TokenForm,
        answer=TokenAnswer,
        errors=(
            BadTokenRequest,
            UnsupportedGrantType,
            WrongPassword,
            WrongSecret,
            ScopeNotHeld,
            TooManyAttempts,
            TooBusy,
        ),
    ),
]
