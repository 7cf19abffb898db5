"""Answers that are no events, kept for a while, for a client that lost one on its way."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from application.accounts.account import RequestKey
from domain.errors import IdempotencyKeyReused

KEPT_SECONDS = 60.0
KEPT_MAX = 1_000


@dataclass(frozen=True, slots=True)
class _Kept:
    fingerprint: bytes
    content: Any
    until: float


class RecentAnswers:
    """What was answered lately, by the key of the request; in this process and in memory only.

    A lease is granted once. When the answer gets lost, the repetition has to find it here, or the
    work would wait for the lease to expire.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()

    def keep(self, key: RequestKey, content: Any) -> None:
        """Remember an answer, unless nobody can ask for it again."""
        if key.fingerprint is None:
            return
        until = self._clock() + KEPT_SECONDS
        self._kept[key.command_id] = _Kept(key.fingerprint, content, until)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def find(self, key: RequestKey) -> Any | None:
        """The answer that this request got before. Raises IdempotencyKeyReused."""
        kept = self._kept.get(key.command_id)
        if kept is None or kept.until < self._clock():
            return None
        if kept.fingerprint != key.fingerprint:
            raise IdempotencyKeyReused
        return kept.content
