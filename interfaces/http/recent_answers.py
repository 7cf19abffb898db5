"""Answers that are no events, kept for a while, for a client that lost one on its way."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from application.commands import RequestKey
from domain.errors import IdempotencyKeyReused

KEPT_SECONDS = 60.0
KEPT_BYTES_MAX = 32 * 2**20
"""Of all bodies together; the oldest go first."""


@dataclass(frozen=True, slots=True)
class _Kept:
    fingerprint: bytes
    body: bytes
    until: float


class RecentAnswers:
    """What was answered lately, by the key of the request; in this process and in memory only.

    A lease is granted once. When the answer gets lost, the repetition has to find it here, or the
    work would wait for the lease to expire.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()
        self._bytes = 0

    def keep(self, key: RequestKey | None, body: bytes) -> None:
        """Remember the body of an answer, unless nobody can ask for it again."""
        if key is None or key.command_id in self._kept:
            return
        now = self._clock()
        self._kept[key.command_id] = _Kept(key.fingerprint, body, now + KEPT_SECONDS)
        self._bytes += len(body)
        while self._bytes > KEPT_BYTES_MAX or next(iter(self._kept.values())).until < now:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest.body)
            if not self._kept:
                return

    def find(self, key: RequestKey | None) -> bytes | None:
        """The answer that this request got before. Raises IdempotencyKeyReused."""
        if key is None:
            return None
        kept = self._kept.get(key.command_id)
        if kept is None or kept.until < self._clock():
            return None
        if kept.fingerprint != key.fingerprint:
            raise IdempotencyKeyReused
        return kept.body
