"""Who is connected under which token, and for how long."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from application.accounts.account import Claims
from application.accounts.principals import Principals

EXPIRING_SECONDS = 60.0
"""How long before its end a token is said to end."""

Key = tuple[UUID, int]


class Session:
    """The time of one connection under one token. Tells when it is about to end, and that it has
    ended."""

    __slots__ = ("_ended", "_expiring", "_leave", "_timer", "claims")

    def __init__(
        self,
        claims: Claims,
        *,
        expiring: Callable[[], None],
        ended: Callable[[], None],
        leave: Callable[["Session"], None],
    ) -> None:
        self.claims = claims
        self._expiring = expiring
        self._ended = ended
        self._leave = leave
        self._timer = self._at(claims.expires_at - EXPIRING_SECONDS, self._soon)

    def end(self) -> None:
        """Its token is good no longer."""
        self.close()
        self._ended()

    def close(self) -> None:
        """The connection has ended, or goes on under another token."""
        self._timer.cancel()
        self._leave(self)

    def _soon(self) -> None:
        self._timer = self._at(self.claims.expires_at, self.end)
        self._expiring()

    @staticmethod
    def _at(moment: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(max(moment - time.time(), 0), call)


class Sessions:
    """The sessions of one process. One watch for all connections of a generation of an account."""

    def __init__(self, principals: Principals) -> None:
        self._principals = principals
        self._open: dict[Key, set[Session]] = defaultdict(set)
        self._watches: dict[Key, asyncio.Task[None]] = {}

    def open(
        self, claims: Claims, *, expiring: Callable[[], None], ended: Callable[[], None]
    ) -> Session:
        """A session that ends with the token, or sooner when the account changes."""
        session = Session(claims, expiring=expiring, ended=ended, leave=self._left)
        key = _key(session)
        self._open[key].add(session)
        if key not in self._watches:
            self._watches[key] = asyncio.create_task(self._watch(key, claims))
        return session

    async def stop(self) -> None:
        """Watch nobody any more."""
        for watch in list(self._watches.values()):
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _watch(self, key: Key, claims: Claims) -> None:
        await self._principals.until_ended(claims)
        del self._watches[key]
        for session in list(self._open.get(key, ())):
            session.end()

    def _left(self, session: Session) -> None:
        key = _key(session)
        others = self._open[key]
        others.discard(session)
        if not others:
            del self._open[key]
            watch = self._watches.pop(key, None)
            if watch is not None:
                watch.cancel()


def _key(session: Session) -> Key:
    return session.claims.account_id, session.claims.generation
