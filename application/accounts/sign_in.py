"""Signing in: a name and a secret become an account."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from application.access import has_scope
from application.accounts.account import (
    PASSWORD_BYTES_MAX,
    USERNAME_LENGTH_MAX,
    Account,
    AccountStore,
    ScopeNotHeld,
    SecretHasher,
    WrongCredentials,
    WrongPassword,
    WrongSecret,
)
from application.accounts.principals import principal_for
from application.accounts.throttle import Throttle

FAILURES_OF_NAME_MAX = 10
"""A minute, for one name from one address."""
FAILURES_OF_ADDRESS_MAX = 60
"""A minute, for one address under whatever names."""
KNOWN_MAX = 10_000


class SignIn:
    """Checks credentials. An unknown name takes as long as a wrong secret."""

    def __init__(self, store: AccountStore, hasher: SecretHasher) -> None:
        self._store = store
        self._hasher = hasher
        self._names = Throttle(FAILURES_OF_NAME_MAX)
        self._addresses = Throttle(FAILURES_OF_ADDRESS_MAX)
        # A worker renews its token every few minutes; argon2 each time would cost a core for a
        # thousand of them. A secret of 256 random bits that was verified once is known again by a
        # keyed digest, which says nothing without the key, and the key never leaves this process.
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[tuple[UUID, int], bytes] = OrderedDict()

    async def with_password(self, username: str, password: str, *, address: str) -> Account:
        """A person. Raises WrongPassword, TooManyAttempts, TooBusy, DatabaseUnavailable."""
        with self._attempt(username, address):
            account = await self._store.by_username(username) if _plausible(username) else None
            return await self._verified_account(account, password, WrongPassword)

    async def with_client_secret(self, client_id: str, secret: str, *, address: str) -> Account:
        """A program or an agent. Raises WrongSecret, and else as `with_password` does."""
        with self._attempt(client_id, address):
            account = await self._client(client_id)
            if account is None or not self._is_known(account, secret):
                account = await self._verified_account(account, secret, WrongSecret)
            self._know(account, secret)
            return account

    async def _client(self, client_id: str) -> Account | None:
        try:
            account = await self._store.by_id(UUID(client_id))
        except ValueError:
            return None
        return account if account and account.kind != "user" else None

    @contextmanager
    def _attempt(self, name: str, address: str) -> Iterator[None]:
        name_there = (name[:USERNAME_LENGTH_MAX], address)
        self._addresses.require(address)
        self._names.require(name_there)
        try:
            yield
        except WrongCredentials:
            self._addresses.fail(address)
            self._names.fail(name_there)
            raise

    async def _verified_account(
        self, account: Account | None, secret: str, refusal: type[WrongCredentials]
    ) -> Account:
        if len(secret.encode()) > PASSWORD_BYTES_MAX:
            raise refusal
        live = account if account and account.revoked_at is None else None
        matches = await self._hasher.verify(live.secret_hash if live else None, secret)
        if live is None or not matches:
            raise refusal
        return live

    def _know(self, account: Account, secret: str) -> None:
        self._known[account.account_id, account.generation] = self._digest(secret)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def _is_known(self, account: Account, secret: str) -> bool:
        digest = self._known.get((account.account_id, account.generation))
        if digest is None or account.revoked_at is not None:
            return False
        return hmac.compare_digest(digest, self._digest(secret))

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode(), hashlib.sha256)


def narrowed(account: Account, wanted: str | None) -> frozenset[str]:
    """The scopes of a new token: those asked for, separated by spaces, or all that the account has.

    Raises ScopeNotHeld for one that the account does not have.
    """
    if wanted is None:
        return account.scopes
    holder = principal_for(account, account.scopes)
    scopes = frozenset(wanted.split(" ")) - {""}
    missing = sorted(scope for scope in scopes if not has_scope(holder, scope))
    if missing or not scopes:
        raise ScopeNotHeld([scope[:100] for scope in missing] or ["none"])
    return scopes


def _plausible(username: str) -> bool:
    return 0 < len(username) <= USERNAME_LENGTH_MAX and "\0" not in username
