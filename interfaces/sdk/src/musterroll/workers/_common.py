"""What the ready-made workers share."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict
from urllib.parse import urlsplit

import aiohttp
import orjson

from musterroll._transport.awaiting import session_for, silent_at_most
from musterroll._worker.results import RESULT_BYTES_MAX
from musterroll.task import Task, TaskFailed

CONNECT_SECONDS = 10.0


class WorkerOptions(TypedDict, total=False):
    """Options of `Worker` that every ready-made worker takes too."""

    capabilities: Sequence[str] | None
    slots: int
    labels: Mapping[str, str] | None
    client_id: str | None
    client_secret: str | None
    username: str | None
    password: str | None
    grace_seconds: float


def parsed_output(output: bytes) -> Any:
    """The JSON that a program or a webhook answered; nothing at all means null.

    Raises TaskFailed with `invalid_output`.
    """
    if not output.strip():
        return None
    try:
        return orjson.loads(output)
    except orjson.JSONDecodeError as error:
        start = output[:200].decode("utf-8", "replace")
        raise TaskFailed("invalid_output", f"the output is not JSON ({error}): {start}") from error


async def bounded_body(response: aiohttp.ClientResponse, limit: int = RESULT_BYTES_MAX) -> bytes:
    """Read a body of at most `limit` bytes. Raises TaskFailed with `output_too_large`."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise TaskFailed("output_too_large", f"the answer has more than {limit} bytes")
    return bytes(body)


def is_success(response: aiohttp.ClientResponse) -> bool:
    """Whether it is a 2xx: a redirect, which is not followed, is none."""
    return 200 <= response.status < 300


def is_worth_a_retry(status: int) -> bool:
    """Whether another attempt may fare better than this HTTP status."""
    return status >= 500 or status in {408, 425, 429}


def checked_url(url: str) -> str:
    """The url without a slash at the end. Raises ValueError when it is none of HTTP."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is not an http or https address")
    return url.rstrip("/")


def session_with(url: str, task: Task) -> aiohttp.ClientSession:
    """For requests to one url, whose answers may take as long as the task."""
    patience = silent_at_most(task.timeout_seconds, connect_seconds=CONNECT_SECONDS)
    return session_for(url, timeout=patience)


def unreachable(url: str, error: Exception) -> TaskFailed:
    reason = str(error) or type(error).__name__
    return TaskFailed("unreachable", f"no answer from {url}: {reason}", retryable=True)
