"""An account, what can be wrong with one, and the ports that keep and check them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from application.access import PrincipalKind, Unauthenticated
from application.commands import RequestKey
from domain.errors import Conflict, ControlPlaneError, Invalid, Unavailable

USERNAME_LENGTH_MAX = 100
PASSWORD_CHARACTERS_MIN = 8
PASSWORD_BYTES_MAX = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person, a program, or an agent's program.

    `generation` rises with every new secret and with the removal; a token is of one generation.
    `issued_at` is the position of the command that an agent's secret was made for, else 0.
    """

    account_id: UUID
    kind: PrincipalKind
    name: str
    tenant: str
    scopes: frozenset[str]
    secret_hash: str
    created_at: datetime
    agent_id: UUID | None = None
    generation: int = 1
    issued_at: int = 0
    revoked_at: datetime | None = None

    @property
    def subject(self) -> str:
        """How the log names it."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An account as it is kept now; `repeated` when the request had been answered before."""

    account: Account
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """An account and its new secret, which is shown once: None when the request was repeated."""

    account: Account
    secret: str | None
    repeated: bool = False


class WrongCredentials(Unauthenticated):
    """No such name, another secret, or an account that was removed: nobody learns which."""

    code = "wrong_credentials"

    def __init__(self) -> None:
        super().__init__("The name or the secret is wrong.")


class WrongPassword(WrongCredentials):
    """The username and the password do not belong together."""

    code = "invalid_grant"


class WrongSecret(WrongCredentials):
    """The client id and the secret do not belong together."""

    code = "invalid_client"


class TooBusy(Unavailable):
    """Too many sign-ins wait already."""

    code = "too_busy"

    def __init__(self) -> None:
        super().__init__("Too many sign-ins are waiting.", retry_after_seconds=2)


class TooManyAttempts(ControlPlaneError):
    """Too many sign-ins failed lately for this name, or from this address."""

    code = "too_many_attempts"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"Too many sign-ins have failed; try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds


class AccountExists(Conflict):
    """The name is taken, in whatever case.

    People sign in by name alone, so usernames are unique in the whole installation, and an
    administrator of one tenant learns by this refusal that a username is taken, perhaps in
    another. That cannot be hidden while a sign-in names no tenant. Clients' names are unique in
    their tenant only.
    """

    code = "account_exists"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"There is a {kind} called {name!r} already.")


class LastAdministrator(Conflict):
    """Without it nobody could administer the installation."""

    code = "last_administrator"

    def __init__(self) -> None:
        super().__init__("This is the last administrator of the tenant default.")


class ScopeNotGrantable(Invalid):
    """A scope was asked for that does not exist, or cannot be given in this tenant."""

    code = "scope_not_grantable"

    def __init__(self, scopes: Sequence[str]) -> None:
        super().__init__(f"These scopes cannot be given here: {', '.join(scopes)}.")


class ScopeNotHeld(Invalid):
    """A token was asked for with a scope that the account does not have."""

    code = "invalid_scope"

    def __init__(self, scopes: Sequence[str]) -> None:
        super().__init__(f"The account does not have these scopes: {', '.join(scopes)}.")


class AccountStore(Protocol):
    """Where accounts are kept. Every method raises DatabaseUnavailable.

    Those that take a RequestKey do their work and keep the key in one transaction; they raise
    IdempotencyKeyReused when the key stands for another request.
    """

    async def by_id(self, account_id: UUID) -> Account | None:
        """Whatever its kind, removed or not."""

    async def by_username(self, name: str) -> Account | None:
        """The user who signs in under this name."""

    async def by_agent(self, agent_id: UUID) -> Account | None:
        """The account of an agent, removed or not."""

    async def listed(
        self, kind: PrincipalKind, tenant: str | None, *, after: UUID | None, limit: int
    ) -> Sequence[Account]:
        """Those not removed, of one tenant or (None) of all, oldest first, with an id above
        `after`."""

    async def changed(self, known: Sequence[tuple[UUID, int]]) -> Sequence[Account]:
        """Those of the accounts that are of another generation by now than the one known."""

    async def has_administrator(self) -> bool:
        """Whether a user not removed is an admin of the tenant default."""

    async def add(self, account: Account, request: RequestKey | None) -> Stored:
        """Keep a new account. Raises AccountExists."""

    async def renew(
        self, account_id: UUID, secret_hash: str, request: RequestKey | None
    ) -> Stored | None:
        """Another secret, the next generation. None when the account is gone or removed."""

    async def remove(self, account_id: UUID) -> Account | None:
        """Mark it as removed, in the next generation. None when it was already. Raises
        LastAdministrator."""

    async def issue(self, account: Account) -> Account | None:
        """Keep an agent's account, in place of any older one of that agent.

        None, and nothing changed, when there is one that was issued at the same position or later.
        """

    async def withdraw(self, agent_id: UUID, position: int) -> Account | None:
        """Mark an agent's account as removed, unless it was issued after the position."""


class SecretHasher(Protocol):
    """Makes hashes of passwords and secrets, slowly (argon2id), and checks them."""

    async def hash(self, secret: str) -> str:
        """Raises TooBusy when too many wait."""

    async def verify(self, secret_hash: str | None, secret: str) -> bool:
        """Whether the secret is the one. Without a hash: False, after the same time. Raises
        TooBusy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a good token says."""

    account_id: UUID
    tenant: str
    scopes: frozenset[str]
    generation: int
    agent_id: UUID | None
    expires_at: int


class AccessTokens(Protocol):
    """Makes access tokens and reads them."""

    lifetime_seconds: int

    def issue(self, account: Account, scopes: frozenset[str]) -> str:
        """A token that tells who bears it."""

    def verify(self, token: str) -> Claims:
        """What it says. Raises InvalidToken."""
