"""From a token's claims to the principal, with the account looked up, so that a revocation
counts at once.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from application.access import InvalidToken, Principal, has_scope
from application.accounts.account import Account, AccountStore, Claims
from application.accounts.revocations import Revocations

FRESH_SECONDS = 0.5
"""How long an account that was looked up is believed: another process's revocation counts within
1 s.
"""
AGEING_SECONDS = 0.25
"""When it is looked up anew, while it is still believed: whoever asks all the time never waits."""
REMEMBERED_MAX = 10_000


@dataclass(slots=True)
class _Remembered:
    """An account, and the principals that it is under tokens of different scopes."""

    account: Account
    ageing_at: float
    stale_at: float
    principals: dict[frozenset[str], Principal] = field(default_factory=dict)


class Principals:
    """Knows the accounts that were active lately; belongs to one event loop."""

    def __init__(self, store: AccountStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._remembered: OrderedDict[UUID, _Remembered] = OrderedDict()
        self._looking: dict[UUID, asyncio.Task[_Remembered | None]] = {}
        self._revocations = Revocations(store, self.remember)

    async def of(self, claims: Claims) -> Principal:
        """Who bears a token with these claims. Raises InvalidToken, DatabaseUnavailable."""
        found = self._remembered.get(claims.account_id)
        if found is None or self._clock() >= found.ageing_at:
            found = await self._looked_up(claims.account_id, found)
        account = found.account
        if account.revoked_at or account.generation != claims.generation:
            raise InvalidToken
        if account.tenant != claims.tenant or account.agent_id != claims.agent_id:
            raise InvalidToken
        principal = found.principals.get(claims.scopes)
        if principal is None:
            principal = found.principals[claims.scopes] = narrowed(account, claims.scopes)
        return principal

    async def until_ended(self, claims: Claims) -> None:
        """Wait until tokens with these claims are good no longer.

        At once for what this process revokes, within about a second for what another one does. A
        token that merely expires is not noticed.
        """
        remembered = self._remembered.get(claims.account_id)
        if remembered is None or remembered.account.generation == claims.generation:
            await self._revocations.wait(claims.account_id, claims.generation)

    def remember(self, account: Account) -> None:
        """This is how the account stands now; what is older and comes later is not believed.

        A look-up that began before a revocation may end after it: the higher generation wins.
        """
        former = self._remembered.get(account.account_id)
        if former and former.account.generation > account.generation:
            return
        now = self._clock()
        self._remembered[account.account_id] = _Remembered(
            account, now + AGEING_SECONDS, now + FRESH_SECONDS
        )
        self._remembered.move_to_end(account.account_id)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        self._revocations.heard(account)

    async def _looked_up(self, account_id: UUID, known: _Remembered | None) -> _Remembered:
        """Raises InvalidToken when there is no such account."""
        looking = self._looking.get(account_id)
        if looking is None:
            looking = asyncio.create_task(self._look_up(account_id))
            looking.add_done_callback(partial(self._end_look_up, account_id))
            self._looking[account_id] = looking
        if known is not None and self._clock() < known.stale_at:
            return known
        # It is for all who ask meanwhile, so that none of them may cancel it.
        found = await asyncio.shield(looking)
        if found is None:
            raise InvalidToken
        return found

    def _end_look_up(self, account_id: UUID, looking: "asyncio.Task[_Remembered | None]") -> None:
        del self._looking[account_id]
        if not looking.cancelled():
            looking.exception()  # Who waited has it; where nobody did, the next one looks again.

    async def _look_up(self, account_id: UUID) -> _Remembered | None:
        account = await self._store.by_id(account_id)
        if account is None:
            return None
        self.remember(account)
        return self._remembered[account_id]


def narrowed(account: Account, scopes: frozenset[str]) -> Principal:
    """The principal that an account is, with those of the scopes that it holds or implies."""
    holder = principal_for(account, account.scopes)
    return principal_for(account, frozenset(scope for scope in scopes if has_scope(holder, scope)))


def principal_for(account: Account, scopes: frozenset[str]) -> Principal:
    """The principal that an account is, with some of its scopes."""
    return Principal(
        account_id=account.account_id,
        kind=account.kind,
        subject=account.subject,
        tenant=account.tenant,
        scopes=scopes,
        agent_id=account.agent_id,
    )
