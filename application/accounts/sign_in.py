"""Signing in: a name and a secret become an account."""

import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
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
FAILURES_OF_USER_MAX = 100
"""A minute, for one username from whatever addresses, but for those where it signed in before."""
KNOWN_MAX = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    """A secret that was verified, of one generation of its account."""

    generation: int
    digest: bytes


class SignIn:
    """Checks credentials. An unknown name takes as long as a wrong secret."""

    def __init__(self, store: AccountStore, hasher: SecretHasher) -> None:
        self._store = store
        self._hasher = hasher
        self._names = Throttle(FAILURES_OF_NAME_MAX)
        self._addresses = Throttle(FAILURES_OF_ADDRESS_MAX)
        self._users = Throttle(FAILURES_OF_USER_MAX)
        # Whoever guesses at a name from many places uses up its attempts. Its owner still gets in
        # from where they signed in before, under the limits of that place alone.
        self._familiar: OrderedDict[tuple[str, str], None] = OrderedDict()
        # A worker renews its token every few minutes; argon2 each time would cost a core for a
        # thousand of them. A secret of 256 random bits that was verified once is known again by a
        # keyed digest, which says nothing without the key, and the key never leaves this process.
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[UUID, _Known] = OrderedDict()

    async def with_password(self, username: str, password: str, *, address: str) -> Account:
        """A person. Raises WrongPassword, TooManyAttempts, TooBusy, DatabaseUnavailable."""
        place = place_of(address)
        name_there = (username[:USERNAME_LENGTH_MAX], place)
        with self._attempt(name_there, place), self._attempt_on_user(name_there):
            account = await self._store.by_username(username) if _plausible(username) else None
            account = await self._verified_account(account, password, WrongPassword)
        self._familiar[name_there] = None
        _bound(self._familiar, name_there)
        return account

    async def with_client_secret(self, client_id: str, secret: str, *, address: str) -> Account:
        """A program or an agent. Raises WrongSecret, and else as `with_password` does.

        A secret that was verified here before is never held up, whoever else fails at that address.
        """
        account_id = _id_of(client_id)
        if account_id and (known := await self._known_account(account_id, secret)):
            return known
        place = place_of(address)
        with self._attempt((account_id or client_id[:USERNAME_LENGTH_MAX], place), place):
            found = await self._store.by_id(account_id) if account_id else None
            account = found if found and found.kind != "user" else None
            account = await self._verified_account(account, secret, WrongSecret)
        self._know(account, secret)
        return account

    @contextmanager
    def _attempt(self, name_there: Hashable, place: str) -> Iterator[None]:
        self._addresses.require(place)
        self._names.require(name_there)
        try:
            yield
        except WrongCredentials:
            self._addresses.fail(place)
            self._names.fail(name_there)
            raise

    @contextmanager
    def _attempt_on_user(self, name_there: tuple[str, str]) -> Iterator[None]:
        if name_there in self._familiar:
            yield
            return
        username, _ = name_there
        self._users.require(username)
        try:
            yield
        except WrongCredentials:
            self._users.fail(username)
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
        self._known[account.account_id] = _Known(account.generation, self._digest(secret))
        _bound(self._known, account.account_id)

    async def _known_account(self, account_id: UUID, secret: str) -> Account | None:
        # The digest comes first, so that a flood of wrong secrets does not reach the database.
        known = self._known.get(account_id)
        if known is None or not hmac.compare_digest(known.digest, self._digest(secret)):
            return None
        account = await self._store.by_id(account_id)
        if account is None or account.revoked_at or account.generation != known.generation:
            return None
        _bound(self._known, account_id)
        return account

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


def place_of(address: str) -> str:
    """The address as it counts; whatever is none counts as one.

    A household or a machine has a whole /64 of IPv6, so one address of it is as good as another.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if found.version == 6 and found.ipv4_mapped:
        found = found.ipv4_mapped
    if found.version == 6:
        return str(ipaddress.ip_network((int(found), 64), strict=False))
    return str(found)


def _id_of(client_id: str) -> UUID | None:
    try:
        return UUID(client_id)
    except ValueError:
        return None


def _bound(kept: OrderedDict[Any, Any], key: Hashable) -> None:
    """The key was used last; the one that was not used for longest goes when there are too many."""
    if key in kept:
        kept.move_to_end(key)
    if len(kept) > KNOWN_MAX:
        kept.popitem(last=False)


def _plausible(username: str) -> bool:
    return 0 < len(username) <= USERNAME_LENGTH_MAX and "\0" not in username
