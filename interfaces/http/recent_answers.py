"""Answers that are no events, kept for a while, for a client that lost one on its way."""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
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
    about: frozenset[UUID]


class RecentAnswers:
    """What was answered lately, by the key of the request; in this process and in memory only.

    A lease is granted once. When the answer gets lost, the repetition has to find it here, or the
    work would wait for the lease to expire.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[UUID, _Kept] = OrderedDict()
        self._bytes = 0
        self._erased: OrderedDict[UUID, float] = OrderedDict()

    def keep(self, key: RequestKey | None, body: bytes, *, about: Collection[UUID] = ()) -> None:
        """Remember the body of an answer, unless nobody can ask for it again, or it is about a
        subject that was erased while it was being made."""
        now = self._clock()
        if any(self._erased.get(subject_id, now) > now for subject_id in about):
            return
        if key is None or key.command_id in self._kept:
            return
        kept = _Kept(key.fingerprint, body, now + KEPT_SECONDS, frozenset(about))
        self._kept[key.command_id] = kept
        self._bytes += len(body)
        while self._bytes > KEPT_BYTES_MAX or next(iter(self._kept.values())).until < now:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest.body)
            if not self._kept:
                return

    def forget(self, subject_id: UUID) -> None:
        """Forget those about a subject: they may hold what may be shown no longer."""
        now = self._clock()
        while self._erased and next(iter(self._erased.values())) < now:
            self._erased.popitem(last=False)
        self._erased.pop(subject_id, None)
        # Answers that are being made were begun by then, and are finished long before.
        self._erased[subject_id] = now + KEPT_SECONDS
        for command_id in [i for i, one in self._kept.items() if subject_id in one.about]:
            self._bytes -= len(self._kept.pop(command_id).body)

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
