"""Accounts: adding, renewing and removing them. Every method that takes a principal asks
`authorize`.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from application.access import (
    OPERATOR_TENANT,
    Foreign,
    Principal,
    PrincipalKind,
    Resource,
    authorize,
    grantable,
    is_operator,
)
from application.accounts.account import (
    PASSWORD_BYTES_MAX,
    PASSWORD_CHARACTERS_MIN,
    Account,
    AccountExists,
    AccountStore,
    Issued,
    ScopeNotGrantable,
    SecretHasher,
    Stored,
)
from application.accounts.key_guard import KeyGuard
from application.accounts.principals import Principals
from application.accounts.sign_in import SignIn
from application.commands import RequestKey
from application.ids import uuid7
from domain.errors import IdempotencyKeyReused, Invalid

ADMINISTRATOR = "admin"
VISIBLE_NAME = (
    r"[^\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
    r"{1,100}"
)
"""The log shows it as the actor: no controls, nothing unseen, nothing that turns a line around."""
USERNAME = r"[A-Za-z0-9._@+-]{1,100}"
"""No spaces and no look-alikes: the name stands in the log as the actor."""
TENANT = r"[a-z0-9][a-z0-9._-]{0,62}"
"""No slash: the ids of agents are made from `tenant/name`."""
WORKER_SCOPES = frozenset({"worker"})


class Accounts:
    """The accounts of one installation, and the keys of their requests. `principals` and `sign_in`
    work on the same ones."""

    def __init__(self, store: AccountStore, hasher: SecretHasher) -> None:
        self._store = store
        self._hasher = hasher
        self.principals = Principals(store)
        self.sign_in = SignIn(store, hasher)
        self.keys = KeyGuard()

    # People and programs.

    async def add_user(
        self,
        by: Principal,
        *,
        username: str,
        password: str | None,
        scopes: Iterable[str],
        tenant: str | None,
        request: RequestKey | None,
    ) -> Issued:
        """A person; without a password one is made.

        Raises Foreign (tenant), Invalid, ScopeNotGrantable, AccountExists, IdempotencyKeyReused,
        TooBusy, DatabaseUnavailable.
        """
        secret = password or new_password()
        account = await self._new(
            "user", by, name=username, tenant=tenant, scopes=scopes, secret=secret
        )
        stored = await self._store.add(account, request)
        await self._require_same_password(stored, password)
        return _issued(stored, secret)

    async def add_client(
        self,
        by: Principal,
        *,
        name: str,
        scopes: Iterable[str],
        tenant: str | None,
        request: RequestKey | None,
    ) -> Issued:
        """A program, with a secret made for it. Raises as `add_user` does."""
        secret = new_secret()
        account = await self._new(
            "client", by, name=name, tenant=tenant, scopes=scopes, secret=secret
        )
        return _issued(await self._store.add(account, request), secret)

    async def rotate(
        self,
        by: Principal,
        kind: PrincipalKind,
        account_id: UUID,
        *,
        password: str | None = None,
        request: RequestKey | None,
    ) -> Issued:
        """A new password or secret; the former one and its tokens stop working at once.

        Raises Foreign, Invalid, IdempotencyKeyReused, TooBusy, DatabaseUnavailable.
        """
        await self._existing(by, kind, account_id)
        secret = password or (new_password() if kind == "user" else new_secret())
        _require_password(secret)
        stored = await self._store.renew(account_id, await self._hasher.hash(secret), request)
        if stored is None:
            raise Foreign
        await self._require_same_password(stored, password)
        self.principals.remember(stored.account)
        return _issued(stored, secret)

    async def remove(self, by: Principal, kind: PrincipalKind, account_id: UUID) -> None:
        """End an account; its tokens stop working at once.

        Raises Foreign (also when it was removed already), LastAdministrator, DatabaseUnavailable.
        """
        await self._existing(by, kind, account_id)
        removed = await self._store.remove(account_id)
        if removed is None:
            raise Foreign
        self.principals.remember(removed)

    async def list(
        self, by: Principal, kind: PrincipalKind, *, after: UUID | None, limit: int
    ) -> Sequence[Account]:
        """Those of the caller's tenant; for the operator, those of every tenant.

        Raises InsufficientScope, DatabaseUnavailable.
        """
        authorize(by, "admin", Resource(tenant=by.tenant))
        tenant = None if is_operator(by) else by.tenant
        return await self._store.listed(kind, tenant, after=after, limit=limit)

    # Agents' programs. Who may do this was decided by the scope agents:admin.

    async def issue_for_agent(
        self, tenant: str, agent_id: UUID, name: str, *, position: int
    ) -> Issued:
        """The credentials of an agent that was registered by the event at a position.

        The registration is in the log first: a refused one changes no secret, and one whose process
        died before this call is made good by its repetition, which has the same position. A secret
        that was issued at that position or later stays, and is not told again. Raises TooBusy,
        DatabaseUnavailable.
        """
        existing = await self._store.by_agent(agent_id)
        if existing and existing.issued_at >= position:
            return Issued(account=existing, secret=None, repeated=True)
        secret = new_secret()
        wanted = Account(
            account_id=uuid7(),
            kind="agent",
            name=name,
            tenant=tenant,
            scopes=WORKER_SCOPES,
            secret_hash=await self._hasher.hash(secret),
            created_at=datetime.now(UTC),
            agent_id=agent_id,
            issued_at=position,
        )
        account = await self._store.issue(wanted)
        if account is None:
            return await self.issue_for_agent(tenant, agent_id, name, position=position)
        self.principals.remember(account)
        return Issued(account=account, secret=secret)

    async def rotate_for_agent(
        self, tenant: str, agent_id: UUID, request: RequestKey | None
    ) -> Issued | None:
        """A new secret for an agent. None when it has no account, or that was withdrawn.

        Raises Foreign, IdempotencyKeyReused, TooBusy, DatabaseUnavailable.
        """
        account = await self._store.by_agent(agent_id)
        if account is None or account.revoked_at is not None:
            return None
        if account.tenant != tenant:
            raise Foreign
        secret = new_secret()
        hashed = await self._hasher.hash(secret)
        stored = await self._store.renew(account.account_id, hashed, request)
        if stored is None:
            return None
        self.principals.remember(stored.account)
        return _issued(stored, secret)

    async def withdraw_from_agent(self, agent_id: UUID, *, position: int) -> None:
        """The agent was retired by the event at a position: its secret and tokens stop working.

        Raises DatabaseUnavailable; the retirement stands all the same, and refuses the agent
        everything.
        """
        if account := await self._store.withdraw(agent_id, position):
            self.principals.remember(account)

    # The first administrator.

    async def ensure_administrator(self, password: str | None) -> str | None:
        """Make the first administrator unless there is one; the password, when it was made here.

        Safe to run by many processes at once. Raises Invalid, TooBusy, DatabaseUnavailable.
        """
        if await self._store.has_administrator():
            return None
        secret = password or new_password()
        _require_password(secret)
        account = await self._account(
            "user", ADMINISTRATOR, OPERATOR_TENANT, frozenset({"admin"}), secret
        )
        try:
            await self._store.add(account, None)
        except AccountExists:
            return None
        return None if password else secret

    # Whoever has the machine has everything: nobody is asked who they are.

    async def reset(self, username: str, password: str) -> Account:
        """Give a user another password; the former one and its tokens stop working.

        For a process that serves nobody. Raises Foreign, Invalid, TooBusy, DatabaseUnavailable.
        """
        _require_password(password)
        account = await self._store.by_username(username)
        if account is None:
            raise Foreign
        hashed = await self._hasher.hash(password)
        stored = await self._store.renew(account.account_id, hashed, None)
        if stored is None:
            raise Foreign
        self.principals.remember(stored.account)
        return stored.account

    async def _new(
        self,
        kind: PrincipalKind,
        by: Principal,
        *,
        name: str,
        tenant: str | None,
        scopes: Iterable[str],
        secret: str,
    ) -> Account:
        home = by.tenant if tenant is None else tenant
        _require(home, TENANT, "A tenant's name")
        authorize(by, "admin", Resource(tenant=home))
        if kind == "user":
            _require(name, USERNAME, "A username")
            _require_password(secret)
        elif not re.fullmatch(VISIBLE_NAME, name):
            raise Invalid("A client's name takes only characters that can be seen.")
        wanted = frozenset(scopes)
        if refused := sorted(wanted - grantable(home)):
            raise ScopeNotGrantable(refused)
        return await self._account(kind, name, home, wanted, secret)

    async def _account(
        self, kind: PrincipalKind, name: str, tenant: str, scopes: frozenset[str], secret: str
    ) -> Account:
        return Account(
            account_id=uuid7(),
            kind=kind,
            name=name,
            tenant=tenant,
            scopes=scopes,
            secret_hash=await self._hasher.hash(secret),
            created_at=datetime.now(UTC),
        )

    async def _existing(self, by: Principal, kind: PrincipalKind, account_id: UUID) -> Account:
        account = await self._store.by_id(account_id)
        if account is None or account.kind != kind or account.revoked_at is not None:
            raise Foreign
        authorize(by, "admin", Resource(tenant=account.tenant))
        return account

    async def _require_same_password(self, stored: Stored, password: str | None) -> None:
        # The fingerprint of a request leaves the password out, since a fast digest of it would be
        # kept; so the slow one tells whether a repeated request was really the same.
        account = stored.account
        if not stored.repeated or password is None or account.revoked_at is not None:
            return
        if not await self._hasher.verify(account.secret_hash, password):
            raise IdempotencyKeyReused


def new_password() -> str:
    """A password that nobody has to remember: 144 random bits."""
    return secrets.token_urlsafe(18)


def new_secret() -> str:
    """A machine's secret: 256 random bits behind a prefix that scanners for leaked secrets can
    know."""
    return f"mrs_{secrets.token_urlsafe(32)}"


def _issued(stored: Stored, secret: str) -> Issued:
    return Issued(
        account=stored.account,
        secret=None if stored.repeated else secret,
        repeated=stored.repeated,
    )


def _require(text: str, pattern: str, what: str) -> None:
    if not re.fullmatch(pattern, text):
        raise Invalid(f"{what} must match {pattern}.")


def _require_password(password: str) -> None:
    # Characters are what people count, and bytes are what the hash has to read.
    if len(password) < PASSWORD_CHARACTERS_MIN or len(password.encode()) > PASSWORD_BYTES_MAX:
        raise Invalid(
            f"A password takes at least {PASSWORD_CHARACTERS_MIN} characters "
            f"and at most {PASSWORD_BYTES_MAX} bytes."
        )
