"""Webhooks and their letters in PostgreSQL."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from application.commands import RequestKey
from application.webhooks.webhook import (
    WEBHOOKS_MAX,
    Health,
    Ledger,
    Letter,
    Standing,
    StoredWebhook,
    TooManyWebhooks,
    Webhook,
    WebhookState,
)
from domain.errors import IdempotencyKeyReused
from infrastructure.postgres import sql_files
from infrastructure.postgres.pool import async_connection_of, read_async

SQL = sql_files.load("webhooks.sql")
WEBHOOK_COLUMNS = 19

AsyncPool = AsyncConnectionPool[AsyncConnection[TupleRow]]
Change = Callable[[AsyncConnection[TupleRow]], Awaitable[None]]


class PostgresWebhooks:
    """The WebhookStore. Each method is one transaction; all raise DatabaseUnavailable."""

    def __init__(self, pool: AsyncPool) -> None:
        self._pool = pool

    async def add(self, webhook: Webhook, request: RequestKey | None) -> StoredWebhook | None:
        """Keep a new one. None when a repetition finds it removed. Raises TooManyWebhooks."""
        wanted: dict[str, Any] = {
            "webhook_id": webhook.webhook_id,
            "tenant": webhook.tenant,
            "url": webhook.url,
            "channels": list(webhook.channels),
            "types": list(webhook.types),
            "labels": orjson.dumps(webhook.labels).decode(),
            "state": webhook.state,
            "created_by": webhook.created_by,
            "created_at": webhook.created_at,
            "secret": webhook.secret,
            "epoch": webhook.epoch,
            "position": webhook.position,
        }
        async with async_connection_of(self._pool) as connection, connection.transaction():
            if kept := await _kept(connection, request, webhook.webhook_id):
                return await _stored(connection, webhook.tenant, kept, repeated=True)
            await connection.execute(SQL["lock_tenant"], (webhook.tenant,))
            count = await (await connection.execute(SQL["count"], (webhook.tenant,))).fetchone()
            if count is None or count[0] >= WEBHOOKS_MAX:
                raise TooManyWebhooks
            await connection.execute(SQL["add"], wanted)
            return await _stored(connection, webhook.tenant, webhook.webhook_id)

    async def find(self, tenant: str, webhook_id: UUID) -> Standing | None:
        """One, by its id."""

        async def ask(connection: AsyncConnection[TupleRow]) -> Standing | None:
            stored = await _stored(connection, tenant, webhook_id)
            return stored.standing if stored else None

        return await read_async(self._pool, ask)

    async def listed(self, tenant: str, *, after: UUID | None, limit: int) -> Sequence[Standing]:
        """Oldest first, with an id above `after`."""
        wanted = {"tenant": tenant, "after": after, "limit": limit}
        return [_standing(row) for row in await _rows(self._pool, "listed", wanted)]

    async def allow(
        self, tenant: str, webhook_id: UUID, *, epoch: int, request: RequestKey | None
    ) -> StoredWebhook | None:
        """Let it deliver. One of an epoch that ended begins anew, where the log ends now."""

        async def change(connection: AsyncConnection[TupleRow]) -> None:
            wanted = {"webhook_id": webhook_id, "tenant": tenant, "epoch": epoch, "state": "on"}
            found = await (await connection.execute(SQL["lock"], wanted)).fetchone()
            if found is not None and found[0] != epoch:
                await connection.execute(SQL["forget_letters"], wanted)
                await connection.execute(SQL["begin_anew"], wanted)
            await connection.execute(SQL["set_state"], wanted)

        return await self._change(tenant, webhook_id, request, change)

    async def pause(
        self, tenant: str, webhook_id: UUID, *, request: RequestKey | None
    ) -> StoredWebhook | None:
        """Let it deliver no more, until it is allowed again."""

        async def change(connection: AsyncConnection[TupleRow]) -> None:
            wanted = {"webhook_id": webhook_id, "state": "paused"}
            await connection.execute(SQL["set_state"], wanted)

        return await self._change(tenant, webhook_id, request, change)

    async def renew(
        self,
        tenant: str,
        webhook_id: UUID,
        secret: bytes,
        *,
        former_until: datetime | None,
        request: RequestKey | None,
    ) -> StoredWebhook | None:
        """Another sealed secret; the former one is kept until a moment, or not at all."""
        wanted = {"webhook_id": webhook_id, "secret": secret, "former_until": former_until}

        async def change(connection: AsyncConnection[TupleRow]) -> None:
            await connection.execute(SQL["renew"], wanted)

        return await self._change(tenant, webhook_id, request, change)

    async def remove(self, tenant: str, webhook_id: UUID) -> bool:
        """Delete it with all its letters; whether there was one."""
        wanted = {"tenant": tenant, "webhook_id": webhook_id}
        async with async_connection_of(self._pool) as connection:
            return (await connection.execute(SQL["remove"], wanted)).rowcount > 0

    async def dead_letters(
        self, webhook_id: UUID, *, after: int, limit: int
    ) -> Sequence[tuple[Letter, str | None]]:
        """In log order, those behind a position, each with the type of its event."""
        wanted = {"webhook_id": webhook_id, "after": after, "limit": limit}
        rows = await _rows(self._pool, "dead_letters", wanted)
        return [(_letter(row[:-1]), row[-1]) for row in rows]

    async def retry(
        self,
        tenant: str,
        webhook_id: UUID,
        positions: Sequence[int] | None,
        *,
        request: RequestKey | None,
    ) -> StoredWebhook | None:
        """Make dead letters due at once, as if they had never been tried; None: all of them."""
        named = None if positions is None else list(positions)
        wanted = {"webhook_id": webhook_id, "positions": named}

        async def change(connection: AsyncConnection[TupleRow]) -> None:
            await connection.execute(SQL["retry"], wanted)
            await connection.execute(SQL["revise"], wanted)

        return await self._change(tenant, webhook_id, request, change)

    async def _change(
        self, tenant: str, webhook_id: UUID, request: RequestKey | None, change: Change
    ) -> StoredWebhook | None:
        """Change one that there is, unless the request is a repetition."""
        async with async_connection_of(self._pool) as connection, connection.transaction():
            wanted = {"tenant": tenant, "webhook_id": webhook_id}
            if await (await connection.execute(SQL["lock"], wanted)).fetchone() is None:
                return None
            if await _kept(connection, request, webhook_id):
                return await _stored(connection, tenant, webhook_id, repeated=True)
            await change(connection)
            return await _stored(connection, tenant, webhook_id)


class PostgresDeliveries:
    """The DeliveryStore, on the same tables. All methods raise DatabaseUnavailable."""

    def __init__(self, pool: AsyncPool) -> None:
        self._pool = pool

    async def revisions(self) -> Mapping[UUID, int]:
        """Those that are on, with their revisions."""
        return dict(await _rows(self._pool, "revisions", ()))

    async def load(self, webhook_id: UUID) -> Webhook | None:
        """One, when it is on."""
        rows = await _rows(self._pool, "load", (webhook_id,))
        return _webhook(rows[0]) if rows else None

    async def letters(self, webhook_id: UUID) -> Sequence[Letter]:
        """Those that wait, and the dead ones beyond its position, in log order."""
        return [_letter(row) for row in await _rows(self._pool, "letters", (webhook_id,))]

    async def dead_count(self, webhook_id: UUID) -> int:
        """How many were given up."""
        return int((await _rows(self._pool, "dead_count", (webhook_id,)))[0][0])

    async def keep(self, ledgers: Sequence[Ledger]) -> None:
        """Keep what was delivered and what was not, of many webhooks in one transaction."""
        places = [(one.webhook_id, one.position, *_health_columns(one.health)) for one in ledgers]
        letters = [
            (ledger.webhook_id, *_letter_columns(letter))
            for ledger in ledgers
            for letter in ledger.letters
        ]
        settled = [(one.webhook_id, position) for one in ledgers for position in one.settled]
        async with async_connection_of(self._pool) as connection, connection.transaction():
            await connection.execute(SQL["quickly"])
            # The webhooks before their letters, as whoever removes one locks them.
            for name, rows in (
                ("keep_places", places),
                ("keep_letters", letters),
                ("settle_letters", settled),
            ):
                if rows:
                    columns = [list(column) for column in zip(*rows, strict=True)]
                    await connection.execute(SQL[name], columns)

    async def halt(
        self, webhook_id: UUID, state: WebhookState, failure: str, failed_at: datetime
    ) -> None:
        """Take one out of those that are on, and say why."""
        wanted = {
            "webhook_id": webhook_id,
            "state": state,
            "failure": failure,
            "failed_at": failed_at,
        }
        async with async_connection_of(self._pool) as connection:
            await connection.execute(SQL["halt"], wanted)


async def _rows(
    pool: AsyncPool, name: str, parameters: Sequence[Any] | dict[str, Any]
) -> list[TupleRow]:
    async def ask(connection: AsyncConnection[TupleRow]) -> list[TupleRow]:
        return await (await connection.execute(SQL[name], parameters)).fetchall()

    return await read_async(pool, ask)


async def _stored(
    connection: AsyncConnection[TupleRow],
    tenant: str,
    webhook_id: UUID,
    *,
    repeated: bool = False,
) -> StoredWebhook | None:
    wanted = {"tenant": tenant, "webhook_id": webhook_id}
    row = await (await connection.execute(SQL["find"], wanted)).fetchone()
    return StoredWebhook(standing=_standing(row), repeated=repeated) if row else None


async def _kept(
    connection: AsyncConnection[TupleRow], request: RequestKey | None, webhook_id: UUID
) -> UUID | None:
    """Keep the key, or tell which webhook it was kept for. Raises IdempotencyKeyReused."""
    if request is None:
        return None
    new = (request.command_id, request.fingerprint, orjson.dumps(webhook_id))
    kept = await (await connection.execute(SQL["keep_request"], new)).fetchone()
    if kept is None or kept[0]:
        return None
    row = await (await connection.execute(SQL["request"], (request.command_id,))).fetchone()
    assert row is not None, "a key that conflicts is there"
    if not request.has(row[0]):
        raise IdempotencyKeyReused
    return UUID(orjson.loads(row[1]))


def _standing(row: TupleRow) -> Standing:
    parked, dead, head = row[WEBHOOK_COLUMNS:]
    webhook = _webhook(row[:WEBHOOK_COLUMNS])
    return Standing(webhook=webhook, parked=parked, dead=dead, head=head)


def _webhook(row: TupleRow) -> Webhook:
    webhook_id, tenant, url, channels, types, labels, state, created_by, created_at, *rest = row
    secret, former_secret, former_until, epoch, position, revision, *health = rest
    delivered_at, failed_at, failing_since, failure = health
    return Webhook(
        webhook_id=webhook_id,
        tenant=tenant,
        url=url,
        channels=tuple(channels),
        types=tuple(types),
        labels=labels,
        state=state,
        created_by=created_by,
        created_at=created_at,
        secret=bytes(secret),
        former_secret=None if former_secret is None else bytes(former_secret),
        former_until=former_until,
        epoch=epoch,
        position=position,
        revision=revision,
        health=Health(
            delivered_at=delivered_at,
            failed_at=failed_at,
            failing_since=failing_since,
            failure=failure,
        ),
    )


def _health_columns(health: Health) -> tuple[Any, ...]:
    return health.delivered_at, health.failed_at, health.failing_since, health.failure


def _letter_columns(letter: Letter) -> tuple[Any, ...]:
    return (
        letter.position,
        letter.aggregate_id,
        letter.attempts,
        letter.due_at,
        letter.dead,
        letter.failure,
        letter.failed_at,
    )


def _letter(row: TupleRow) -> Letter:
    position, aggregate_id, attempts, due_at, dead, failure, failed_at = row
    return Letter(
        position=position,
        aggregate_id=aggregate_id,
        attempts=attempts,
        due_at=due_at,
        dead=dead,
        failure=failure,
        failed_at=failed_at,
    )
