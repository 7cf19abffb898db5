"""One idempotency key stands for one request of a principal, wherever that request is kept."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from application.accounts.account import AccountStore, RequestKey
from domain.errors import IdempotencyKeyReused

RECENT_MAX = 10_000
ASKED_AT_ONCE_MAX = 500

Question = tuple[RequestKey, "asyncio.Future[bool]"]


class KeyGuard:
    """Refuses a key that was used for another request; belongs to one event loop.

    The log keeps the keys of its commands, and the table of request keys those of the rest, so
    both are asked. What keeps its key nowhere (a heartbeat, a lease, a rebuild) is remembered by
    this process alone, among the last 10,000. Two different requests under one key that arrive in
    two processes at the same moment may both be done; one after the other never.
    """

    def __init__(self, store: AccountStore) -> None:
        self._store = store
        self._recent: OrderedDict[UUID, bytes] = OrderedDict()
        self._asked: list[Question] = []
        self._asking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def only(self, request: RequestKey) -> AsyncIterator[None]:
        """What is done inside is the key's one request; when it fails, the key is free again
        unless it was kept. Without a key nothing is asked.

        Raises IdempotencyKeyReused, DatabaseUnavailable.
        """
        if request.fingerprint is None:
            yield
            return
        former = self._recent.setdefault(request.command_id, request.fingerprint)
        if former != request.fingerprint:
            raise IdempotencyKeyReused
        try:
            # Asked even when it is known here: the memory may be of a request that came to nothing.
            await self._require_unused(request)
            yield
        except BaseException:
            self._recent.pop(request.command_id, None)
            raise
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    async def _require_unused(self, request: RequestKey) -> None:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked.append((request, answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        if await answer:
            raise IdempotencyKeyReused

    async def _ask(self) -> None:
        # One question at a time, for all that came meanwhile: a query for each would cost more than
        # the command does.
        while self._asked:
            batch, self._asked = self._asked[:ASKED_AT_ONCE_MAX], self._asked[ASKED_AT_ONCE_MAX:]
            waiting = [question for question in batch if not question[1].done()]
            try:
                others = set(await self._store.reused([request for request, _ in waiting]))
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait have to hear
                for _, answer in waiting:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for request, answer in waiting:
                    if not answer.done():
                        answer.set_result(request.command_id in others)
