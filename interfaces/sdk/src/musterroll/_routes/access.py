"""Users and clients: people and programs, with their scopes."""

from collections.abc import Sequence

from musterroll._request import Pages, Request, at, command, given, nothing, of
from musterroll._routes._lists import listing
from musterroll.models import Program, User


def create_user(
    username: str,
    *,
    scopes: Sequence[str],
    password: str | None = None,
    tenant: str | None = None,
    idempotency_key: str | None = None,
) -> Request[User]:
    """Create a user. Without a password one is made, and shown in the answer, once.

    Raises Conflict, Invalid, Unauthorized, Forbidden or Unavailable.
    """
    body = {"username": username, "password": password, "scopes": list(scopes)}
    return command(
        "/v1/users", of(User), {**body, **given(tenant=tenant)}, idempotency_key=idempotency_key
    )


def list_users(*, limit: int | None = None) -> Pages[User]:
    """Users, without passwords. Raises Unauthorized, Forbidden or Unavailable."""
    return listing("/v1/users", User, limit)


def rotate_password(
    user_id: str, *, password: str | None = None, idempotency_key: str | None = None
) -> Request[User]:
    """Give a user a new password (None: one is made, and shown once). Tokens end at once.

    Raises NotFound, Invalid, Unauthorized, Forbidden or Unavailable.
    """
    return command(
        at("users", user_id, "secret"),
        of(User),
        {"password": password},
        idempotency_key=idempotency_key,
    )


def delete_user(user_id: str) -> Request[None]:
    """Delete a user; their tokens stop working at once. When the first answer was lost, the
    repetition finds nothing. Raises NotFound, Unauthorized, Forbidden or Unavailable."""
    return command(at("users", user_id), nothing, method="DELETE")


def create_client(
    name: str,
    *,
    scopes: Sequence[str],
    tenant: str | None = None,
    idempotency_key: str | None = None,
) -> Request[Program]:
    """Create credentials for a program; the secret is shown in the answer, once.

    Raises Conflict, Invalid, Unauthorized, Forbidden or Unavailable.
    """
    return command(
        "/v1/clients",
        of(Program),
        {"name": name, "scopes": list(scopes), **given(tenant=tenant)},
        idempotency_key=idempotency_key,
    )


def list_clients(*, limit: int | None = None) -> Pages[Program]:
    """Programs, without secrets. Raises Unauthorized, Forbidden or Unavailable."""
    return listing("/v1/clients", Program, limit)


def rotate_client_secret(client_id: str, *, idempotency_key: str | None = None) -> Request[Program]:
    """Give a program a new secret, shown once. Its tokens stop working at once.

    Raises NotFound, Unauthorized, Forbidden or Unavailable.
    """
    return command(
        at("clients", client_id, "secret"),
        of(Program),
        idempotency_key=idempotency_key,
    )


def delete_client(client_id: str) -> Request[None]:
    """Delete a program's credentials. Raises as `users.delete` does."""
    return command(at("clients", client_id), nothing, method="DELETE")
