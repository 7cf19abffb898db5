"""Request headers that say more about a command: its key, the expected version, its trace."""

import hashlib
import re
from collections.abc import Sequence
from uuid import UUID, uuid5

import orjson
from starlette.datastructures import Headers

from application.access import Principal
from application.accounts.account import RequestKey, part_id
from application.ids import uuid7
from interfaces.http.errors import BadHeader

REQUEST_KEYS = UUID("0b7a6f0e-52c7-4f0b-9f0e-6c1f7d0c2b11")
KEY = re.compile(r"[\x20-\x7e]{1,200}")
ENTITY_TAG = re.compile(r'"([0-9]{1,18})"', re.ASCII)
TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


def single(headers: Headers, name: str) -> str | None:
    """The one value of a header, None without it. Raises BadHeader when it came twice."""
    values = headers.getlist(name)
    if len(values) > 1:
        raise BadHeader(f"The header {name} may be given once.")
    return values[0] if values else None


def idempotency_key(headers: Headers) -> str | None:
    """Raises BadHeader."""
    key = single(headers, "Idempotency-Key")
    if key is not None and not KEY.fullmatch(key):
        raise BadHeader("Idempotency-Key takes 1 to 200 printable ASCII characters.")
    return key


def expected_version(headers: Headers) -> int | None:
    """What `If-Match` asks for; `*` is met by every version. Raises BadHeader."""
    value = single(headers, "If-Match")
    if value is None or value == "*":
        return None
    match = ENTITY_TAG.fullmatch(value)
    if match is None:
        raise BadHeader('If-Match takes one version in quotes, such as "3".')
    return int(match[1])


def traceparent(headers: Headers) -> str | None:
    """The W3C trace context; a malformed one is as good as none (Trace Context, section 3.2.2)."""
    values = headers.getlist("traceparent")
    return values[0] if len(values) == 1 and TRACEPARENT.fullmatch(values[0]) else None


def request_key(principal: Principal, key: str, *, request_parts: Sequence[object]) -> RequestKey:
    """What makes a request repeatable.

    The id follows from who asks and the key; the fingerprint tells whether it is the same request.
    """
    command_id = uuid5(REQUEST_KEYS, f"{principal.tenant}/{principal.account_id}/{key}")
    canonical = orjson.dumps(request_parts, option=orjson.OPT_SORT_KEYS)
    return RequestKey(command_id=command_id, fingerprint=hashlib.sha256(canonical).digest())


def key_of_part(whole: RequestKey, place: int) -> RequestKey:
    """The key of one part of a request that holds many."""
    if whole.fingerprint is None:
        return RequestKey(command_id=uuid7(), fingerprint=None)
    return RequestKey(command_id=part_id(whole.command_id, place), fingerprint=whole.fingerprint)
