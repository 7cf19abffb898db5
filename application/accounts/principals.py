"""From a token's claims to the principal, with the account looked up, so that a revocation
counts at once.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from application.access import InvalidToken, Principal, has_scope
from application.accounts.account import Account, AccountStore, Claims
from application.accounts.revocations import Revocations

FRESH_SECONDS = 0.5
"""How long an account that was looked up is believed: another process's revocation counts within
1 s.
"""
REMEMBERED_MAX = 10_000


@dataclass(slots=True)
class _Remembered:
    account: Account
    stale_at: float


class Principals:
    """Knows the accounts that were active lately."""

    def __init__(self, store: AccountStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._remembered: OrderedDict[UUID, _Remembered] = OrderedDict()
        self._revocations = Revocations(store, self.remember)

    async def of(self, claims: Claims) -> Principal:
        """Who bears a token with these claims. Raises InvalidToken, DatabaseUnavailable."""
        account = await self._account(claims.account_id)
        if account is None or account.revoked_at or account.generation != claims.generation:
            raise InvalidToken
        if (account.tenant, account.agent_id) != (claims.tenant, claims.agent_id):
            raise InvalidToken
        holder = principal_for(account, account.scopes)
        granted = frozenset(scope for scope in claims.scopes if has_scope(holder, scope))
        return principal_for(account, granted)

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
        stale_at = self._clock() + FRESH_SECONDS
        self._remembered[account.account_id] = _Remembered(account, stale_at)
        self._remembered.move_to_end(account.account_id)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        self._revocations.heard(account)

    async def _account(self, account_id: UUID) -> Account | None:
        remembered = self._remembered.get(account_id)
        if remembered and self._clock() < remembered.stale_at:
            return remembered.account
        account = await self._store.by_id(account_id)
        if account is None:
            return None
        self.remember(account)
        return self._remembered[account_id].account


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
