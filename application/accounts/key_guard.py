"""One idempotency key stands for one request of a principal."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from application.commands import RequestKey
from domain.errors import IdempotencyKeyReused

RECENT_MAX = 10_000


class KeyGuard:
    """Refuses a key that another request has used lately; belongs to one event loop.

    What changes something keeps its key where it is written, and is refused there for ever. What
    keeps its key nowhere (a heartbeat, a lease, a rebuild) is remembered here alone, by this
    process, among the last 10,000.
    """

    def __init__(self) -> None:
        self._recent: OrderedDict[UUID, bytes] = OrderedDict()

    @contextmanager
    def only(self, request: RequestKey) -> Iterator[None]:
        """What is done inside is the key's one request; when it fails, the key is free again
        unless it was kept. Raises IdempotencyKeyReused.
        """
        former = self._recent.setdefault(request.command_id, request.fingerprint)
        if former != request.fingerprint:
            raise IdempotencyKeyReused
        try:
            yield
        except BaseException:
            self._recent.pop(request.command_id, None)
            raise
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
