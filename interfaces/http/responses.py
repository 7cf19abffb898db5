"""Answers: JSON by orjson, with the headers that an answer of its kind needs."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

from application.receipt import Receipt
from domain.errors import ControlPlaneError
from interfaces.http.errors import OAUTH, headers_of, problem, status_of


class Json(Response):
    """Moments as RFC 3339 in UTC with a Z, ids as text."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The content as JSON."""
        return orjson.dumps(content, option=orjson.OPT_UTC_Z)

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Those given, and the two of every answer that has a body."""
        self.raw_headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", self.media_type.encode()),
        ]
        for name, value in (headers or {}).items():
            self.raw_headers.append((name.lower().encode(), value.encode("latin-1")))


class Problem(Json):
    """A refusal (RFC 9457)."""

    media_type = "application/problem+json"

    def __init__(self, error: ControlPlaneError, *, instance: str, request_id: str) -> None:
        super().__init__(
            problem(error, instance=instance, request_id=request_id),
            status_of(type(error)),
            headers_of(error),
            # RFC 6749 wants plain JSON from the token endpoint.
            Json.media_type if isinstance(error, OAUTH) else None,
        )


def answer(
    content: Mapping[str, Any],
    status: int = 200,
    *,
    version: int | None = None,
    location: str | None = None,
    replayed: bool = False,
) -> Response:
    """JSON, with an ETag for the version of what it shows."""
    headers = {}
    if version is not None:
        headers["ETag"] = f'"{version}"'
    if location is not None:
        headers["Location"] = location
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Json(content, status, headers)


def repeated(body: bytes, status: int = 200) -> Response:
    """The same JSON as before."""
    headers = {"Idempotency-Replayed": "true"}
    return Response(body, status, headers, media_type=Json.media_type)


def receipt_answer(
    receipt: Receipt, id_name: str, status: int = 200, *, location: str | None = None
) -> Response:
    """The answer to a command on one aggregate."""
    content = {id_name: receipt.aggregate_id, **receipt_members(receipt)}
    return answer(
        content, status, version=receipt.version, location=location, replayed=receipt.replayed
    )


def receipt_members(receipt: Receipt) -> dict[str, Any]:
    """What every receipt shows."""
    return {"version": receipt.version, "cursor": str(receipt.cursor)}


def failure_members(error: ControlPlaneError) -> dict[str, str]:
    """Why one of many was refused."""
    return {"code": error.code, "message": error.message}


def nothing() -> Response:
    """Done, and nothing to say."""
    return Response(status_code=204)


def path_of(kind: str, thing_id: UUID) -> str:
    """Where a thing is served."""
    return f"/v1/{kind}/{thing_id}"
