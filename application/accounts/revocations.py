"""Those who wait under a token, and are told when it ends."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from application.accounts.account import Account, AccountStore
from application.duties import cancelled
from domain.errors import DatabaseUnavailable

LOOK_SECONDS = 0.8
"""How often other processes' revocations are looked for: they count within about 1 s."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """Somebody who waits under a token of one generation."""

    account_id: UUID
    generation: int
    ended: "asyncio.Future[None]"


class Revocations:
    """Wakes those whose token ended; belongs to one event loop.

    What this process revokes is `heard` at once. What another one does is found by one query for
    all who wait, and only while somebody waits.
    """

    def __init__(self, store: AccountStore, on_change: Callable[[Account], None]) -> None:
        self._store = store
        self._on_change = on_change
        self._waiting: dict[UUID, set[_Waiting]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, account_id: UUID, generation: int) -> None:
        """Return when the account is of another generation, or no longer there."""
        ended = asyncio.get_running_loop().create_future()
        waiting = _Waiting(account_id, generation, ended)
        self._waiting.setdefault(account_id, set()).add(waiting)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            await ended
        finally:
            self._leave(waiting)

    def heard(self, account: Account) -> None:
        """This is how the account stands now."""
        for waiting in self._waiting.get(account.account_id, ()):
            if waiting.generation != account.generation and not waiting.ended.done():
                waiting.ended.set_result(None)

    def _leave(self, waiting: _Waiting) -> None:
        others = self._waiting[waiting.account_id]
        others.discard(waiting)
        if not others:
            del self._waiting[waiting.account_id]
        if not self._waiting and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _look(self) -> None:
        while not cancelled():
            await asyncio.sleep(LOOK_SECONDS)
            known = {
                (account_id, waiting.generation)
                for account_id, all_waiting in self._waiting.items()
                for waiting in all_waiting
            }
            # While the database is away nothing can be revoked either.
            with suppress(DatabaseUnavailable):
                for account in await self._store.changed(sorted(known)):
                    self._on_change(account)
