"""Users and clients: who may sign in."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints
from typing_extensions import TypedDict

from application.access import SCOPES
from application.accounts.account import Account, Issued
from application.accounts.administration import TENANT, USERNAME
from interfaces.http.fields import Id, Name
from interfaces.http.parameters import ListParameters
from interfaces.http.schemas.base import Body, documented

Username = Annotated[str, StringConstraints(pattern=f"^{USERNAME}$")]
Tenant = Annotated[str, StringConstraints(pattern=f"^{TENANT}$")]
Password = Annotated[str, StringConstraints(min_length=8, max_length=1_024)]
Scope = Annotated[str, Field(json_schema_extra={"enum": [s for s in SCOPES if s != "worker"]})]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=20)]


class UserBody(Body):
    """A person who is to sign in."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"username": "alice", "scopes": ["tasks:read", "tasks:write"]}]
        }
    )
    SECRETS: ClassVar[frozenset[str]] = frozenset({"password"})

    username: Username
    password: Password | None = None
    """At least 8 characters, at most 1,024 bytes; without it one is made and shown once."""
    scopes: Scopes
    tenant: Tenant | None = None
    """By default the caller's own; only the operator may name another."""


class ClientBody(Body):
    """A program that is to sign in."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "nightly", "scopes": ["tasks:write"]}]}
    )

    name: Name
    scopes: Scopes
    tenant: Tenant | None = None
    """By default the caller's own; only the operator may name another."""


class PasswordBody(Body):
    """Which password; without it one is made."""

    SECRETS: ClassVar[frozenset[str]] = frozenset({"password"})

    password: Password | None = None


class AccountListParameters(ListParameters):
    """Which page of the accounts."""

    cursor: Id | None = None
    """The `next_cursor` of the page before."""


@documented
class UserSummary(TypedDict):
    """A person."""

    user_id: UUID
    username: str
    tenant: str
    scopes: list[str]
    created_at: datetime


class UserAnswer(UserSummary):
    """A person, and the password that was made."""

    password: str | None
    """Shown this once; null when it was given, or the request repeated."""


@documented
class ClientSummary(TypedDict):
    """A program."""

    client_id: UUID
    name: str
    tenant: str
    scopes: list[str]
    created_at: datetime


class ClientAnswer(ClientSummary):
    """A program, and its secret."""

    client_secret: str | None
    """Shown this once; null when the request was repeated."""


@documented
class UserPage(TypedDict):
    """Users, oldest first."""

    items: list[UserSummary]
    next_cursor: str | None


@documented
class ClientPage(TypedDict):
    """Clients, oldest first."""

    items: list[ClientSummary]
    next_cursor: str | None


def user_of(account: Account) -> UserSummary:
    """A person."""
    return {
        "user_id": account.account_id,
        "username": account.name,
        "tenant": account.tenant,
        "scopes": sorted(account.scopes),
        "created_at": account.created_at,
    }


def client_of(account: Account) -> ClientSummary:
    """A program."""
    return {
        "client_id": account.account_id,
        "name": account.name,
        "tenant": account.tenant,
        "scopes": sorted(account.scopes),
        "created_at": account.created_at,
    }


def new_user_of(issued: Issued, *, given: bool) -> UserAnswer:
    """A person, with the password only when it was made here."""
    return {**user_of(issued.account), "password": None if given else issued.secret}


def new_client_of(issued: Issued) -> ClientAnswer:
    """A program, with its secret."""
    return {**client_of(issued.account), "client_secret": issued.secret}
