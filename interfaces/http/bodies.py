"""Request bodies: read with a bound and a time limit, parsed once, checked, and turned into
models.
"""

import asyncio
import re
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from interfaces.http.errors import (
    ERRORS_SHOWN_MAX,
    BadJson,
    BodyTooLarge,
    InvalidBody,
    RequestTimeout,
    UnsupportedMediaType,
)
from interfaces.http.fields import NESTING_MAX, nested_deeper
from interfaces.http.headers import RequestHeaders
from interfaces.http.messages import in_words, pointer_to

BODY_ARRIVED = "musterroll.body_arrived"
"""In the ASGI scope: the whole body is here, so that nothing need be waited for."""
BODY_BYTES_MAX = 1024 * 1024
BODY_SECONDS_MAX = 30.0
BODY_NESTING_MAX = NESTING_MAX + 4
"""An input or result of the deepest kind, and what stands around it."""
FAULTS_READ_MAX = 5_000
"""Each fault that pydantic reports costs memory; a body with more of them is refused without a
list.
"""
JSON_TYPES = re.compile(r"application/(json|[\w.+-]+\+json)", re.IGNORECASE | re.ASCII)
DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
ESCAPED_COLON = rb"\u003a"
LONG_NUMBER = b"0" * 19
"""What a number that may be beyond 64 bits holds, its digits as zeros."""
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1

ModelT = TypeVar("ModelT", bound=BaseModel)


async def read_body(
    request: Request,
    headers: RequestHeaders,
    *,
    bytes_max: int = BODY_BYTES_MAX,
    seconds_max: float | None = None,
) -> bytes:
    """The whole body, whatever its Content-Length says; within 30 s unless another time is given.

    Raises BodyTooLarge, RequestTimeout, UnsupportedMediaType (a Content-Encoding), and
    ClientDisconnect.
    """
    encoding = headers.first(b"content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise UnsupportedMediaType("A body in a Content-Encoding is not taken.")
    length = headers.first(b"content-length") or ""
    # int() of a very long text of digits is refused, so compare how long it is first.
    if length.isdigit() and (len(length) > 15 or int(length) > bytes_max):
        raise BodyTooLarge(bytes_max)
    if request.scope.get(BODY_ARRIVED):
        return await _whole(request.receive, bytes_max)
    seconds = BODY_SECONDS_MAX if seconds_max is None else seconds_max
    try:
        async with asyncio.timeout(seconds):
            return await _whole(request.receive, bytes_max)
    except TimeoutError as error:
        raise RequestTimeout(seconds) from error


async def _whole(receive: Receive, bytes_max: int) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise BodyTooLarge(bytes_max)
        more = message.get("more_body", False)
    return bytes(body)


def require_json(headers: RequestHeaders) -> None:
    """Raises UnsupportedMediaType unless the body says that it is JSON."""
    content_type = headers.first(b"content-type") or ""
    if content_type == "application/json":
        return
    media_type, _, parameters = content_type.partition(";")
    charset = re.search(r'charset\s*=\s*"?([^\s;"]+)', parameters, re.IGNORECASE)
    if not JSON_TYPES.fullmatch(media_type.strip()):
        raise UnsupportedMediaType("The body has to be application/json.")
    if charset and charset[1].lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType("JSON is UTF-8.")


def parse_json(body: bytes, what: str = "body") -> Any:
    """The JSON value of a body, or of what else a refusal is to name.

    Refused, because PostgreSQL or another reader of JSON would not give it back as it came: what is
    no JSON, a member that comes twice, lone surrogates, NUL in a text, numbers beyond a double or a
    64-bit integer, and deep nesting. Raises BadJson.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The message names the place and what was expected there, and never shows the body.
        raise BadJson(f"The {what} is no JSON: {error}.") from error
    if nested_deeper(value, BODY_NESTING_MAX):
        raise BadJson(f"The {what} is nested deeper than {BODY_NESTING_MAX} levels.")
    if _lost_a_member(body, value):
        raise BadJson(f"A member comes twice in an object of the {what}.")
    if b"\\u0000" in body and _holds_nul(value):
        raise BadJson(f"A text in the {what} holds the character NUL.")
    # A regular expression would take fifteen times as long.
    if LONG_NUMBER in body.translate(DIGITS_AS_ZERO):
        _require_exact_integers(body, what)
    return value


def model_of(kind: type[ModelT], value: Any) -> ModelT:
    """The value as a model. Raises InvalidBody with the places that are at fault."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        count = error.error_count()
        faults = error.errors(include_url=False) if count <= FAULTS_READ_MAX else []
        shown = [
            {"pointer": pointer_to(fault["loc"], value), "message": in_words(fault)}
            for fault in faults[:ERRORS_SHOWN_MAX]
        ]
        raise InvalidBody(shown, count) from error


def _lost_a_member(body: bytes, value: Any) -> bool:
    """Whether a member comes twice in one object; orjson keeps the last and does not tell.

    Each member has a colon, and so one is missing when what was read is written again. Only an
    escaped colon, which nobody writes, could make up for it.
    """
    if ESCAPED_COLON not in body.lower():
        return body.count(b":") != orjson.dumps(value).count(b":")
    import json  # noqa: PLC0415 - for this rare case only

    is_lost = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal is_lost
        found = dict(pairs)
        is_lost = is_lost or len(found) < len(pairs)
        return found

    json.loads(body, object_pairs_hook=members, parse_int=str)
    return is_lost


def _holds_nul(value: Any) -> bool:
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            if "\0" in found:
                return True
        elif isinstance(found, dict):
            waiting.extend(found)
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
    return False


def _require_exact_integers(body: bytes, what: str) -> None:
    # orjson reads an integer beyond 64 bits as a float, and so would change it silently.
    import json  # noqa: PLC0415 - for this rare case only

    def integer(text: str) -> int:
        if len(text) > 20 or not INTEGER_MIN <= int(text) <= INTEGER_MAX:
            raise BadJson(f"A number in the {what} is beyond 64 bits.")
        return 0

    json.loads(body, parse_int=integer)
