"""Conversations with the service: everything about a request but the waiting.

A conversation is a generator. It yields what is to be done (`Send`, `Sleep`), is sent what came of
it, and returns its answer; so tokens, retries and cursors are written once, and know no transport.
"""

import logging
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import orjson

from musterroll import _retry
from musterroll._connection import Connection
from musterroll._request import Request
from musterroll.errors import MusterrollError, Unavailable, from_problem

T = TypeVar("T")
log = logging.getLogger("musterroll")


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request, with these headers added to its own."""

    request: Request[Any]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def told(self) -> str:
        return f"status {self.status}"

    @property
    def retry_after(self) -> str | None:
        return self.headers.get("retry-after")

    def decoded(self) -> Any:
        """The JSON; text where it is none, None where there is nothing. Raises Unavailable."""
        if not self.content:
            return None
        if "json" not in self.headers.get("content-type", ""):
            return self.content.decode("utf-8", "replace")
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError as error:
            raise Unavailable(
                f"the answer is not JSON: {error}", code="unexpected_answer", status=self.status
            ) from error

    def refusal(self) -> MusterrollError:
        """The error that the reply is."""
        try:
            problem = orjson.loads(self.content)
        except orjson.JSONDecodeError:
            problem = None
        return from_problem(self.status, problem)


@dataclass(frozen=True, slots=True)
class Silence:
    """No reply: the connection was refused, broke, or stayed silent for too long."""

    told: str
    retry_after: str | None = None


Result: TypeAlias = Reply | Silence | None
Conversation: TypeAlias = Generator[Send | Sleep, Result, T]


def insist(send: Send, *, connection: Connection, budget_seconds: float) -> Conversation[Reply]:
    """Send until there is a reply that another try would not change, or the budget is used up.

    Raises Unavailable when there was no reply at all.
    """
    started_at = time.monotonic()
    attempt = 0
    while True:
        attempt += 1
        reply = yield send
        assert reply is not None
        if isinstance(reply, Reply) and reply.status not in _retry.RETRIED_STATUSES:
            return reply
        seconds = _retry.next_pause(
            attempt,
            elapsed_seconds=time.monotonic() - started_at,
            budget_seconds=budget_seconds,
            retry_after=reply.retry_after,
        )
        if seconds is not None:
            log.debug("%s: %s; trying again", connection.url, reply.told)
            yield Sleep(seconds)
        elif isinstance(reply, Reply):
            return reply
        else:
            raise _unreachable(connection, reply)


def _unreachable(connection: Connection, silence: Silence) -> Unavailable:
    hint = "; is it running? `muster up` starts one" if connection.is_loopback else ""
    return Unavailable(
        f"no answer from {connection.url} ({silence.told}){hint}", code="unreachable"
    )
