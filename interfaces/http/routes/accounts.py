"""Users and clients: people and programs with their tenant and scopes."""

from typing import Any

from starlette.responses import Response

from application.accounts.account import (
    Account,
    AccountExists,
    LastAdministrator,
    ScopeNotGrantable,
)
from interfaces.http.operation import Call, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.responses import answer, nothing
from interfaces.http.schemas.accounts import (
    AccountListParameters,
    ClientAnswer,
    ClientBody,
    ClientPage,
    PasswordBody,
    UserAnswer,
    UserBody,
    UserPage,
    client_of,
    new_client_of,
    new_user_of,
    user_of,
)
from interfaces.http.schemas.base import NoBody


async def add_user(call: Call[UserBody, Parameters]) -> Response:
    """POST /v1/users."""
    body = call.body
    issued = await call.process.accounts.add_user(
        call.principal,
        username=body.username,
        password=body.password,
        scopes=body.scopes,
        tenant=body.tenant,
        request=call.key,
    )
    content = new_user_of(issued, given=body.password is not None)
    _concerns(call, "user", issued.account)
    return answer(content, 201, replayed=issued.repeated)


async def add_client(call: Call[ClientBody, Parameters]) -> Response:
    """POST /v1/clients."""
    body = call.body
    issued = await call.process.accounts.add_client(
        call.principal,
        name=body.name,
        scopes=body.scopes,
        tenant=body.tenant,
        request=call.key,
    )
    _concerns(call, "client", issued.account)
    return answer(new_client_of(issued), 201, replayed=issued.repeated)


async def renew_user(call: Call[PasswordBody, Parameters]) -> Response:
    """POST /v1/users/{user_id}/secret."""
    password = call.body.password
    issued = await call.process.accounts.rotate(
        call.principal, "user", call.id_of("user_id"), password=password, request=call.key
    )
    content = new_user_of(issued, given=password is not None)
    return answer(content, replayed=issued.repeated)


async def renew_client(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/clients/{client_id}/secret."""
    issued = await call.process.accounts.rotate(
        call.principal, "client", call.id_of("client_id"), request=call.key
    )
    return answer(new_client_of(issued), replayed=issued.repeated)


async def remove_user(call: Call[None, Parameters]) -> Response:
    """DELETE /v1/users/{user_id}."""
    await call.process.accounts.remove(call.principal, "user", call.id_of("user_id"))
    return nothing()


async def remove_client(call: Call[None, Parameters]) -> Response:
    """DELETE /v1/clients/{client_id}."""
    await call.process.accounts.remove(call.principal, "client", call.id_of("client_id"))
    return nothing()


async def list_users(call: Call[None, AccountListParameters]) -> Response:
    """GET /v1/users. One more than asked for tells whether there is another page."""
    await call.require_seen()
    limit = call.parameters.limit
    found = await call.process.accounts.list(
        call.principal, "user", after=call.parameters.cursor, limit=limit + 1
    )
    items = [user_of(account) for account in found[:limit]]
    next_cursor = str(items[-1]["user_id"]) if len(found) > limit else None
    return answer({"items": items, "next_cursor": next_cursor})


async def list_clients(call: Call[None, AccountListParameters]) -> Response:
    """GET /v1/clients."""
    await call.require_seen()
    limit = call.parameters.limit
    found = await call.process.accounts.list(
        call.principal, "client", after=call.parameters.cursor, limit=limit + 1
    )
    items = [client_of(account) for account in found[:limit]]
    next_cursor = str(items[-1]["client_id"]) if len(found) > limit else None
    return answer({"items": items, "next_cursor": next_cursor})


def _concerns(call: Call[Any, Parameters], kind: str, account: Account) -> None:
    """Who was given what, for those who audit it: of accounts the log holds nothing else."""
    about = {f"{kind}_id": account.account_id, "name": account.name, "tenant": account.tenant}
    call.concerns(**about, scopes=" ".join(sorted(account.scopes)))


OPERATIONS = [
    Operation(
        method="POST",
        path="/v1/users",
        handler=add_user,
        scope="admin",
        summary="Add a user",
        description=(
            "Without a password one is made, and shown this once. A username is unique in the "
            "whole installation, in whatever case: one that another tenant uses is taken too."
        ),
        body=UserBody,
        status=201,
        answer=UserAnswer,
        errors=(AccountExists, ScopeNotGrantable),
    ),
    Operation(
        method="GET",
        path="/v1/users",
        handler=list_users,
        scope="admin",
        summary="List users",
        description="Those of the caller's tenant; for the operator, those of every tenant.",
        parameters=AccountListParameters,
        answer=UserPage,
    ),
    Operation(
        method="POST",
        path="/v1/users/{user_id}/secret",
        handler=renew_user,
        scope="admin",
        summary="Give a user a new password",
        description="The former one and its tokens stop working at once.",
        body=PasswordBody,
        body_optional=True,
        answer=UserAnswer,
    ),
    Operation(
        method="DELETE",
        path="/v1/users/{user_id}",
        handler=remove_user,
        scope="admin",
        summary="Remove a user",
        description="Tokens stop working at once.",
        status=204,
        answer=None,
        errors=(LastAdministrator,),
    ),
    Operation(
        method="POST",
        path="/v1/clients",
        handler=add_client,
        scope="admin",
        summary="Add a client",
        description="A program with an id and a secret, which is shown this once.",
        body=ClientBody,
        status=201,
        answer=ClientAnswer,
        errors=(AccountExists, ScopeNotGrantable),
    ),
    Operation(
        method="GET",
        path="/v1/clients",
        handler=list_clients,
        scope="admin",
        summary="List clients",
        description="Those of the caller's tenant; for the operator, those of every tenant.",
        parameters=AccountListParameters,
        answer=ClientPage,
    ),
    Operation(
        method="POST",
        path="/v1/clients/{client_id}/secret",
        handler=renew_client,
        scope="admin",
        summary="Give a client a new secret",
        description="The former one and its tokens stop working at once.",
        body=NoBody,
        body_optional=True,
        answer=ClientAnswer,
    ),
    Operation(
        method="DELETE",
        path="/v1/clients/{client_id}",
        handler=remove_client,
        scope="admin",
        summary="Remove a client",
        description="Tokens stop working at once.",
        status=204,
        answer=None,
    ),
]
