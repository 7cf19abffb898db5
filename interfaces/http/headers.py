"""Request headers, and those that say more about a command: its key, the expected version, its
trace.
"""

import hashlib
import re
from collections.abc import Sequence
from uuid import UUID, uuid5

import orjson

from application.access import Principal
from application.commands import RequestKey
from interfaces.http.errors import BadHeader

REQUEST_KEYS = UUID("0b7a6f0e-52c7-4f0b-9f0e-6c1f7d0c2b11")
KEY = re.compile(r"[\x20-\x7e]{1,200}")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
ENTITY_TAG = re.compile(r'"([0-9]{1,18})"', re.ASCII)
TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


class RequestHeaders:
    """The headers of a request, by their names in lower case.

    Most of what is asked for is absent, and that takes one look-up.
    """

    __slots__ = ("_names", "_pairs")

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs
        self._names = dict(pairs)

    def every(self, name: bytes) -> list[str]:
        """The values of a header, in order."""
        if name not in self._names:
            return []
        return [value.decode("latin-1") for given, value in self._pairs if given == name]

    def first(self, name: bytes) -> str | None:
        """The value of a header, the first one where it came twice, None where it did not come."""
        values = self.every(name)
        return values[0] if values else None

    def single(self, name: bytes) -> str | None:
        """The one value of a header, None without it. Raises BadHeader when it came twice."""
        values = self.every(name)
        if len(values) > 1:
            raise BadHeader(f"The header {name.decode().title()} may be given once.")
        return values[0] if values else None


def idempotency_key(headers: RequestHeaders) -> str | None:
    """Raises BadHeader."""
    key = headers.single(b"idempotency-key")
    if key is not None and not KEY.fullmatch(key):
        raise BadHeader("Idempotency-Key takes 1 to 200 printable ASCII characters.")
    return key


def expected_version(headers: RequestHeaders) -> int | None:
    """What `If-Match` asks for; `*` is met by every version. Raises BadHeader."""
    value = headers.single(b"if-match")
    if value is None or value == "*":
        return None
    match = ENTITY_TAG.fullmatch(value)
    if match is None:
        raise BadHeader('If-Match takes one version in quotes, such as "3".')
    return int(match[1])


def traceparent(headers: RequestHeaders) -> str | None:
    """The W3C trace context; a malformed one is as good as none (Trace Context, section 3.2.2)."""
    values = headers.every(b"traceparent")
    return values[0] if len(values) == 1 and TRACEPARENT.fullmatch(values[0]) else None


def request_key(
    principal: Principal, key: str, *, request_parts: Sequence[object], secret: bytes
) -> RequestKey:
    """What makes a request repeatable.

    The id follows from who asks and the key; the fingerprint tells whether it is the same request,
    and is made with a secret, so that it tells nobody what the request held. A plain digest, as
    it was made before, is compared with what was kept then, and never kept.
    Of a key that is a UUID of version 7, as the SDK's are, the id keeps the time, so that the index
    of the requests grows at its end (`shared/reference/performance.md`, Growth).
    """
    command_id = uuid5(REQUEST_KEYS, f"{principal.tenant}/{principal.account_id}/{key}")
    if UUID7.fullmatch(key):
        time = UUID(key).int >> 80 << 80
        command_id = UUID(int=time | command_id.int & (1 << 80) - 1)
    canonical = orjson.dumps(request_parts, option=orjson.OPT_SORT_KEYS)
    fingerprint = hashlib.blake2b(canonical, key=secret, digest_size=32)
    return RequestKey(
        command_id=command_id,
        fingerprint=fingerprint.digest(),
        former_fingerprint=hashlib.sha256(canonical).digest(),
    )


def ids_of_parts(whole: UUID, count: int) -> list[UUID]:
    """The command ids of the parts of a request that holds many."""
    return [UUID(int=whole.int ^ (place + 1)) for place in range(count)]
