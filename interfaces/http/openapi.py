"""The description of the API (OpenAPI 3.1), from the route table and the types of bodies and
answers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from application.access import SCOPES
from domain.errors import ControlPlaneError
from interfaces.http.errors import OAUTH, TITLES, status_of
from interfaces.http.failures import failures_of
from interfaces.http.forms import FORM
from interfaces.http.json_schemas import JsonSchemas, Mode, Schema
from interfaces.http.operation import OPEN, SIGNED_IN, Operation
from interfaces.http.schemas.problem import Problem, TokenProblem

VERSION = "1"
TAGS = {
    "oauth": "Sign in, and get a token for every other request.",
    "ws-tickets": "To open a WebSocket from where no header can be sent.",
    "tasks": "Work to be done, from its submission to its one end.",
    "agents": "Those who do it, and what their programs ask for.",
    "events": "The log: everything that ever happened, in order.",
    "stream": "The same as it happens; WebSockets are described under /docs/events.",
    "activity": "The log in words, newest first, without the routine.",
    "webhooks": "Events posted to where a tenant wants them.",
    "state": "Everything as of any moment.",
    "history": "Why it came to be so, and what if.",
    "audit": "What proves that nobody changed the log, and who asked for what.",
    "replays": "The past, played again to whoever listens.",
    "backups": "The log kept elsewhere, proved, and restored to any event.",
    "store": "Which store serves, and since when.",
    "subjects": "Whom tasks are about, and how what is personal of them is erased.",
    "users": "People who may sign in.",
    "clients": "Programs that may sign in.",
    "read-models": "What is shown, folded from the log.",
    "service": "The service itself.",
}
INTRODUCTION = """\
A control plane for AI agents. Every change is an event in one append-only log, and everything
shown is computed from it.

Every POST takes an `Idempotency-Key`: the same key with the same body gets the first answer again,
with `Idempotency-Replayed: true`. Every answer to a command has a `cursor`; give it to a query as
`seen`, and the answer is no older than that. Every refusal is a problem (RFC 9457) with a stable
`code`, explained under `/problems/<code>`. Times are RFC 3339 in UTC. What is not known is refused.
"""
ANSWER_HEADERS = {
    "ETag": "The version, in quotes; give it back as If-Match.",
    "Idempotency-Replayed": "`true` when this is the first answer again.",
}


def document(operations: Sequence[Operation]) -> Schema:
    """The whole description; the same for the same table."""
    schemas = _Schemas(operations)
    paths: Schema = {}
    for operation in operations:
        described = _operation(operation, schemas)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "Musterroll", "version": VERSION, "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": _security_schemes()},
    }


class _Schemas(JsonSchemas):
    """The JSON Schemas of everything that the table names."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        super().__init__(_named_by(operations))

    @property
    def components(self) -> Schema:
        """Those that are shared; parameters are described where they are taken."""
        return {
            name: self.definitions[name]
            for name in sorted(self.definitions)
            if not name.endswith("Parameters")
        }

    def parameters(self, kind: type[BaseModel]) -> list[Schema]:
        """The query parameters of a route."""
        schema = self.resolved(kind, "validation")
        required = schema.get("required", [])
        return [
            _parameter(name, of, required=name in required)
            for name, of in schema.get("properties", {}).items()
        ]


def _named_by(operations: Iterable[Operation]) -> Iterator[tuple[Any, Mode]]:
    for operation in operations:
        for kind in (operation.body, operation.form, operation.parameters):
            if kind is not None:
                yield kind, "validation"
        if operation.answer is not None and not isinstance(operation.answer, str):
            yield operation.answer, "serialization"
    for problem in (Problem, TokenProblem):
        yield problem, "serialization"


def _parameter(name: str, schema: Schema, *, required: bool) -> Schema:
    # A parameter is left out and never null.
    described = {key: value for key, value in schema.items() if key not in {"title", "anyOf"}}
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    for option in options:
        described |= option
    if described.get("default", "") in (None, []):
        del described["default"]
    parameter: Schema = {"name": name, "in": "query", "schema": described}
    if required:
        parameter["required"] = True
    if text := described.pop("description", None):
        parameter["description"] = text
    return parameter


def _operation(operation: Operation, schemas: _Schemas) -> Schema:
    described: Schema = {
        "operationId": _operation_id(operation),
        "tags": [tag_of(operation.path)],
        "summary": operation.summary,
    }
    if operation.description:
        described["description"] = operation.description
    if operation.scope != OPEN:
        scope = [] if operation.scope == SIGNED_IN else [operation.scope]
        described["security"] = [{"bearer": scope}, {"oauth2": scope}]
        described["x-scope"] = operation.scope
    if parameters := _parameters(operation, schemas):
        described["parameters"] = parameters
    if operation.body is not None:
        content = {"application/json": {"schema": schemas.of(operation.body, "validation")}}
        required = not operation.body_optional
        described["requestBody"] = {"required": required, "content": content}
    if operation.form is not None:
        content = {FORM: {"schema": schemas.of(operation.form, "validation")}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.content is not None:
        content = {operation.content: {"schema": {"type": "string"}}}
        described["requestBody"] = {"required": True, "content": content}
    described["responses"] = _responses(operation, schemas)
    return described


def _operation_id(operation: Operation) -> str:
    words = re.findall(r"[A-Za-z]+", operation.path.removeprefix("/v1"))
    return "-".join([operation.method.lower(), *words])


def tag_of(path: str) -> str:
    """Which of TAGS a path belongs to."""
    return path.split("/")[2] if path.startswith("/v1/") else "service"


def _parameters(operation: Operation, schemas: _Schemas) -> list[Schema]:
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"} | ({"format": "uuid"} if name.endswith("_id") else {}),
        }
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    parameters = in_path + schemas.parameters(operation.parameters)
    if operation.repeatable:
        pattern = {"pattern": "^[ -~]{1,200}$"}
        text = "The same key with the same body gets the first answer again."
        parameters.append(_header("Idempotency-Key", pattern, text))
    if operation.versioned:
        text = "The version that was seen; another one answers 412."
        parameters.append(_header("If-Match", {"examples": ['"3"']}, text))
    return parameters


def _header(name: str, values: Schema, text: str) -> Schema:
    schema = {"type": "string"} | values
    return {"name": name, "in": "header", "schema": schema, "description": text}


def _responses(operation: Operation, schemas: _Schemas) -> Schema:
    statuses = filter(None, (operation.status, operation.or_status))
    responses: Schema = {str(status): _success(operation, schemas) for status in statuses}
    by_status: dict[int, list[type[ControlPlaneError]]] = {}
    for kind in failures_of(operation):
        by_status.setdefault(status_of(kind), []).append(kind)
    for status in sorted(by_status):
        responses[str(status)] = _failure(status, by_status[status])
    return responses


def _success(operation: Operation, schemas: _Schemas) -> Schema:
    response: Schema = {"description": "Done." if operation.status < 300 else "Elsewhere."}
    headers = dict(operation.headers)
    if operation.versioned:
        headers["ETag"] = ANSWER_HEADERS["ETag"]
    if operation.repeatable:
        headers["Idempotency-Replayed"] = ANSWER_HEADERS["Idempotency-Replayed"]
    if headers:
        response["headers"] = _headers(headers)
    if isinstance(operation.answer, str):
        response["content"] = {operation.answer: {"schema": {"type": "string"}}}
    elif operation.answer is not None:
        schema = schemas.of(operation.answer, "serialization")
        response["content"] = {"application/json": {"schema": schema}}
    for media_type in operation.also:
        response["content"][media_type] = {"schema": {"type": "string"}}
    return response


def _failure(status: int, kinds: Sequence[type[ControlPlaneError]]) -> Schema:
    codes = ", ".join(f"`{code}`" for code in sorted({kind.code for kind in kinds}))
    content = {}
    if any(not issubclass(kind, OAUTH) for kind in kinds):
        content["application/problem+json"] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    if any(issubclass(kind, OAUTH) for kind in kinds):
        content["application/json"] = {"schema": {"$ref": "#/components/schemas/TokenProblem"}}
    response: Schema = {"description": f"{TITLES[status]}: {codes}.", "content": content}
    if status in {429, 503}:
        response["headers"] = _headers({"Retry-After": "Seconds."})
    if status == 401:
        response["headers"] = _headers({"WWW-Authenticate": "What is wanted (RFC 6750)."})
    return response


def _headers(texts: Mapping[str, str]) -> Schema:
    return {
        name: {"description": text, "schema": {"type": "string"}} for name, text in texts.items()
    }


def _security_schemes() -> Schema:
    flow = {"tokenUrl": "/v1/oauth/token", "scopes": SCOPES}
    return {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "oauth2": {"type": "oauth2", "flows": {"password": flow, "clientCredentials": flow}},
    }
