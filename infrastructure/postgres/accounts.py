"""Accounts and request keys in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

import orjson
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from application.access import PrincipalKind
from application.accounts.account import (
    Account,
    AccountExists,
    LastAdministrator,
    Stored,
)
from application.commands import RequestKey
from domain.errors import IdempotencyKeyReused
from infrastructure.postgres import sql_files
from infrastructure.postgres.pool import async_connection_of, read_async

SQL = sql_files.load("accounts.sql")


class PostgresAccounts:
    """The AccountStore. Each method is one transaction; all raise DatabaseUnavailable."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[TupleRow]]) -> None:
        self._pool = pool

    async def by_id(self, account_id: UUID) -> Account | None:
        """Whatever its kind, removed or not."""
        return await self._read_one("by_id", (account_id,))

    async def by_username(self, name: str) -> Account | None:
        """The user who signs in under this name."""
        return await self._read_one("by_username", (name,))

    async def by_agent(self, agent_id: UUID) -> Account | None:
        """The account of an agent, removed or not."""
        return await self._read_one("by_agent", (agent_id,))

    async def listed(
        self, kind: PrincipalKind, tenant: str | None, *, after: UUID | None, limit: int
    ) -> Sequence[Account]:
        """Those not removed, of one tenant or (None) of all, oldest first, with an id above
        `after`."""
        wanted = {"kind": kind, "tenant": tenant, "after": after, "limit": limit}

        async def ask(connection: AsyncConnection[TupleRow]) -> Sequence[Account]:
            cursor = await connection.execute(SQL["listed"], wanted)
            return [_account(row) for row in await cursor.fetchall()]

        return await read_async(self._pool, ask)

    async def changed(self, known: Sequence[tuple[UUID, int]]) -> Sequence[Account]:
        """Those of the accounts that are of another generation by now than the one known."""
        ids, generations = [one[0] for one in known], [one[1] for one in known]

        async def ask(connection: AsyncConnection[TupleRow]) -> Sequence[Account]:
            cursor = await connection.execute(SQL["changed"], (ids, generations))
            return [_account(row) for row in await cursor.fetchall()]

        return await read_async(self._pool, ask)

    async def has_administrator(self) -> bool:
        """Whether a user not removed is an admin of the tenant default."""

        async def ask(connection: AsyncConnection[TupleRow]) -> bool:
            row = await (await connection.execute(SQL["has_administrator"])).fetchone()
            return bool(row and row[0])

        return await read_async(self._pool, ask)

    async def add(self, account: Account, request: RequestKey | None) -> Stored:
        """Keep a new account. Raises AccountExists, IdempotencyKeyReused."""
        async with async_connection_of(self._pool) as connection, connection.transaction():
            if former := await _answered(connection, request, account.account_id):
                return Stored(account=former, repeated=True)
            await connection.execute(SQL["lock_names"])
            added = await _one(connection, "add", _parameters(account))
            if added is None:
                raise AccountExists(account.kind, account.name)
            return Stored(account=added)

    async def renew(
        self, account_id: UUID, secret_hash: str, request: RequestKey | None
    ) -> Stored | None:
        """Another secret, the next generation. Raises IdempotencyKeyReused."""
        async with async_connection_of(self._pool) as connection, connection.transaction():
            if former := await _answered(connection, request, account_id):
                return Stored(account=former, repeated=True)
            renewed = {"account_id": account_id, "secret_hash": secret_hash}
            account = await _one(connection, "renew", renewed)
            return Stored(account=account) if account else None

    async def remove(self, account_id: UUID) -> Account | None:
        """Mark it as removed, in the next generation. Raises LastAdministrator."""
        async with async_connection_of(self._pool) as connection, connection.transaction():
            rows = await (await connection.execute(SQL["lock_administrators"])).fetchall()
            if [row[0] for row in rows] == [account_id]:
                raise LastAdministrator
            return await _one(connection, "remove", (account_id,))

    async def issue(self, account: Account) -> Account | None:
        """Keep an agent's account, in place of any older one; None when it is the older one."""
        async with async_connection_of(self._pool) as connection:
            return await _one(connection, "issue", _parameters(account))

    async def withdraw(self, agent_id: UUID, position: int) -> Account | None:
        """Mark an agent's account as removed, unless it was issued after the position."""
        async with async_connection_of(self._pool) as connection:
            wanted = {"agent_id": agent_id, "position": position}
            return await _one(connection, "withdraw", wanted)

    async def _read_one(self, name: str, parameters: Sequence[Any]) -> Account | None:
        return await read_async(self._pool, lambda connection: _one(connection, name, parameters))


async def _answered(
    connection: AsyncConnection[TupleRow], request: RequestKey | None, account_id: UUID
) -> Account | None:
    """The account of the first answer, when this request is a repetition."""
    if request is None or not (kept := await _kept(connection, request, account_id)):
        return None
    return await _one(connection, "by_id", (kept,))


async def _kept(
    connection: AsyncConnection[TupleRow], request: RequestKey, account_id: UUID
) -> UUID | None:
    """Keep the key, or tell which account it was kept for. Raises IdempotencyKeyReused."""
    new = (request.command_id, request.fingerprint, orjson.dumps(account_id))
    kept = await (await connection.execute(SQL["keep_request"], new)).fetchone()
    if kept is None or kept[0]:
        return None
    row = await (await connection.execute(SQL["request"], (request.command_id,))).fetchone()
    assert row is not None, "a key that conflicts is there"
    if not request.has(row[0]):
        raise IdempotencyKeyReused
    return UUID(orjson.loads(row[1]))


async def _one(
    connection: AsyncConnection[TupleRow], name: str, parameters: Sequence[Any] | dict[str, Any]
) -> Account | None:
    row = await (await connection.execute(SQL[name], parameters)).fetchone()
    return _account(row) if row else None


def _parameters(account: Account) -> dict[str, Any]:
    return asdict(account) | {"scopes": sorted(account.scopes)}


def _account(row: TupleRow) -> Account:
    account_id, kind, name, tenant, scopes, agent_id, secret_hash, generation, issued_at, *times = (
        row
    )
    return Account(
        account_id=account_id,
        kind=kind,
        name=name,
        tenant=tenant,
        scopes=frozenset(scopes),
        agent_id=agent_id,
        secret_hash=secret_hash,
        generation=generation,
        issued_at=issued_at,
        created_at=times[0],
        revoked_at=times[1],
    )
