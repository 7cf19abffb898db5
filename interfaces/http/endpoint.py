"""What is served under one path: finds the operation, checks who asks and what, then calls it."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from application.access import Principal, Resource, authorize
from application.accounts.account import Claims
from domain.errors import ControlPlaneError, NotFound
from interfaces.http.audit import REFUSALS, record_command, record_read
from interfaces.http.bodies import model_of, parse_json, read_body, require_json
from interfaces.http.credentials import read_token, while_valid
from interfaces.http.errors import MethodNotAllowed, status_of
from interfaces.http.headers import (
    RequestHeaders,
    expected_version,
    idempotency_key,
    request_key,
)
from interfaces.http.operation import OPEN, SIGNED_IN, Call, Operation
from interfaces.http.parameters import parameters_of
from interfaces.http.ports import ControlPlane
from interfaces.http.schemas.base import Body
from interfaces.http.scope import CALLER, CLAIMS, ENTRY, TEMPLATE


class Endpoint:
    """An ASGI application for one path.

    One for all methods, since a route for each would answer a wrong `Allow` to the others
    (`shared/reference/tooling.md`, API documents).
    """

    def __init__(self, process: ControlPlane, operations: Sequence[Operation]) -> None:
        self._process = process
        self._path = operations[0].path
        self._operations = {operation.method: operation for operation in operations}
        if "GET" in self._operations:
            self._operations["HEAD"] = self._operations["GET"]
        self._allowed = sorted({*self._operations, "OPTIONS"})
        assert len({operation.path for operation in operations}) == 1, "one path"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises what is wrong with it, and what its operation raises."""
        scope[TEMPLATE] = self._path
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(self._allowed)})
        operation = self._operations.get(request.method)
        if operation is None:
            raise MethodNotAllowed(self._allowed)
        headers = RequestHeaders(request.scope["headers"])
        if operation.scope == OPEN:
            call = await _call(request, headers, operation, self._process)
            return await operation.handler(call)
        claims = read_token(headers, request.scope["query_string"], self._process)
        request.scope[CLAIMS] = claims
        caller = await _allowed_caller(request, operation, self._process, claims)
        call = await _call(request, headers, operation, self._process, caller=caller, claims=claims)
        if call.key is None:
            return await _handled(call, operation, claims)
        with self._process.accounts.keys.only(call.key):
            return await _handled(call, operation, claims)


async def _allowed_caller(
    request: Request, operation: Operation, process: ControlPlane, claims: Claims
) -> Principal:
    """Who asks, when that is allowed. Raises InvalidToken, InsufficientScope, Foreign."""
    caller = await process.accounts.principals.of(claims)
    request.scope[CALLER] = caller
    if operation.scope == SIGNED_IN:
        return caller
    agent_id = None
    if operation.scope == "worker":
        agent_id = Call.path_id(request, "agent_id")
    authorize(caller, operation.scope, Resource(tenant=caller.tenant, agent_id=agent_id))
    return caller


async def _handled(call: Call[Any, Any], operation: Operation, claims: Claims) -> Response:
    principals = call.process.accounts.principals
    # The body may have been long in coming: a token that ended meanwhile counts no more.
    await principals.of(claims)
    if operation.is_administrative:
        return await _commanded(call, operation)
    scope = call.request.scope
    if operation.is_audit_read:
        scope[ENTRY] = await record_read(call.process, scope, call.origin())
    if call.is_long_poll:
        return await while_valid(principals, claims, operation.handler(call))
    return await operation.handler(call)


async def _commanded(call: Call[Any, Any], operation: Operation) -> Response:
    """The answer to a command, once the audit trail tells of it."""
    scope, origin = call.request.scope, call.origin()
    try:
        response = await operation.handler(call)
    except (*REFUSALS, NotFound):
        # Refusals have entries of their own, and what does not exist was not administered.
        raise
    except ControlPlaneError as error:
        status = status_of(type(error))
        await record_command(call.process, scope, origin, status=status, code=error.code)
        raise
    await record_command(call.process, scope, origin, status=response.status_code)
    return response


async def _call(
    request: Request,
    headers: RequestHeaders,
    operation: Operation,
    process: ControlPlane,
    *,
    caller: Principal | None = None,
    claims: Claims | None = None,
) -> Call[Any, Any]:
    parameters = parameters_of(operation.parameters, request.scope["query_string"])
    version = expected_version(headers) if operation.versioned else None
    given = idempotency_key(headers) if operation.repeatable else None
    body, canonical, key = None, None, None
    if operation.body is not None:
        body, canonical = await _body(request, headers, operation.body, operation.body_optional)
    if caller is not None and given is not None:
        parts = [request.method, request.scope["path"], version, canonical]
        key = request_key(caller, given, request_parts=parts, secret=process.request_secret)
    return Call(
        request=request,
        headers=headers,
        process=process,
        parameters=parameters,
        body=body,
        caller=caller,
        claims=claims,
        key=key,
        version=version,
    )


async def _body(
    request: Request, headers: RequestHeaders, kind: type[Body], optional: bool
) -> tuple[Body, object]:
    """The body as a model, and what of it tells one request from another."""
    raw = await read_body(request, headers)
    if not raw and optional:
        value: Any = {}
    else:
        require_json(headers)
        value = parse_json(raw)
    return model_of(kind, value), kind.canonical(value)
