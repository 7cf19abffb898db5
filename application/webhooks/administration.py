"""Webhooks: making, allowing, pausing and removing them. Every method asks who may."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from application.access import Foreign, Principal, Resource, authorize
from application.commands import RequestKey
from application.cursor import Cursor
from application.ids import uuid7
from application.live.gate import Gate
from application.ports import Clock
from application.webhooks.ports import SecretBox, WebhookStore
from application.webhooks.signing import new_secret, secret_text
from application.webhooks.target import require_url
from application.webhooks.webhook import (
    ChannelNotDurable,
    IssuedWebhook,
    Letter,
    Standing,
    StoredWebhook,
    UnreadableSecret,
    Webhook,
)
from domain.errors import EpochEnded

FORMER_SECRET_HOURS = 24
"""How long deliveries are signed with the former secret too, after it was renewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedWebhook:
    """What a webhook is to be: as of a subscription, and where to. `after` is a cursor, `now` or
    `start`."""

    url: str = field(repr=False)
    channels: Sequence[str]
    types: Sequence[str]
    labels: Mapping[str, str]
    after: str


class Webhooks:
    """The webhooks of one installation. `changed` is told of whatever concerns deliveries."""

    def __init__(
        self,
        store: WebhookStore,
        box: SecretBox,
        gate: Gate,
        clock: Clock,
        *,
        epoch: int,
        private_targets: bool,
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._box = box
        self._gate = gate
        self._clock = clock
        self._epoch = epoch
        self._private_targets = private_targets
        self._changed = changed

    async def add(
        self, by: Principal, wanted: WantedWebhook, request: RequestKey | None
    ) -> IssuedWebhook:
        """One that waits to be allowed, with a secret made for it.

        It takes the scopes of its channels. Raises BadTarget, BadChannel, ChannelNotDurable,
        InsufficientScope, AggregateNotFound, BadCursor, EpochEnded, CursorAhead, TooManyWebhooks,
        IdempotencyKeyReused, ReadModelBehind, DatabaseUnavailable.
        """
        require_url(wanted.url, private=self._private_targets)
        channels = [s.channel for s in await self._gate.subscriptions(by, wanted.channels)]
        for channel in channels:
            if channel.volatile:
                raise ChannelNotDurable(channel)
        webhook_id, secret = uuid7(), new_secret()
        webhook = Webhook(
            webhook_id=webhook_id,
            tenant=by.tenant,
            url=wanted.url,
            channels=tuple(map(str, channels)),
            types=tuple(dict.fromkeys(wanted.types)),
            labels=dict(wanted.labels),
            state="waiting",
            created_by=by.subject,
            created_at=self._clock(),
            secret=self._box.seal(webhook_id, secret),
            epoch=self._epoch,
            position=await self._gate.place(wanted.after),
        )
        return _issued(await self._store.add(webhook, request), secret)

    async def find(self, by: Principal, webhook_id: UUID) -> Standing:
        """One of the caller's tenant. Raises InsufficientScope, Foreign, DatabaseUnavailable."""
        authorize(by, "tasks:read", Resource(tenant=by.tenant))
        found = await self._store.find(by.tenant, webhook_id)
        if found is None:
            raise Foreign
        return found

    async def list(self, by: Principal, *, after: UUID | None, limit: int) -> Sequence[Standing]:
        """Those of the caller's tenant, oldest first. Raises InsufficientScope,
        DatabaseUnavailable."""
        authorize(by, "tasks:read", Resource(tenant=by.tenant))
        return await self._store.listed(by.tenant, after=after, limit=limit)

    async def allow(
        self, by: Principal, webhook_id: UUID, request: RequestKey | None
    ) -> StoredWebhook:
        """Let it deliver, from where it stopped; whatever kept it from it before.

        Raises InsufficientScope, Foreign, IdempotencyKeyReused, DatabaseUnavailable.
        """
        _require_admin(by)
        epoch = self._epoch
        allowed = await self._store.allow(by.tenant, webhook_id, epoch=epoch, request=request)
        return self._told(allowed)

    async def pause(
        self, by: Principal, webhook_id: UUID, request: RequestKey | None
    ) -> StoredWebhook:
        """Let it stop, and keep its place. Raises as `allow` does."""
        _require_admin(by)
        return self._told(await self._store.pause(by.tenant, webhook_id, request=request))

    async def renew(
        self, by: Principal, webhook_id: UUID, request: RequestKey | None
    ) -> IssuedWebhook:
        """A new secret; for a day deliveries are signed with the former one too.

        Raises as `allow` does.
        """
        _require_admin(by)
        standing = await self.find(by, webhook_id)
        secret, former_until = new_secret(), None
        if self._readable(standing.webhook):
            former_until = self._clock() + timedelta(hours=FORMER_SECRET_HOURS)
        stored = await self._store.renew(
            by.tenant,
            webhook_id,
            self._box.seal(webhook_id, secret),
            former_until=former_until,
            request=request,
        )
        return _issued(self._told(stored), secret)

    async def remove(self, by: Principal, webhook_id: UUID) -> None:
        """End it, with all its letters. Raises InsufficientScope, Foreign, DatabaseUnavailable."""
        _require_admin(by)
        if not await self._store.remove(by.tenant, webhook_id):
            raise Foreign
        self._changed()

    async def dead_letters(
        self, by: Principal, webhook_id: UUID, *, after: Cursor | None, limit: int
    ) -> Sequence[tuple[Letter, str | None]]:
        """Events that were given up, in log order, each with its type.

        Raises InsufficientScope, Foreign, EpochEnded, DatabaseUnavailable.
        """
        await self.find(by, webhook_id)
        [position] = self._positions([after]) if after else [0]
        return await self._store.dead_letters(webhook_id, after=position, limit=limit)

    async def retry(
        self,
        by: Principal,
        webhook_id: UUID,
        cursors: Sequence[Cursor] | None,
        request: RequestKey | None,
    ) -> StoredWebhook:
        """Deliver dead letters after all: those named, or all. What is none is passed over.

        Raises EpochEnded, and else as `allow` does.
        """
        _require_admin(by)
        positions = None if cursors is None else self._positions(cursors)
        stored = await self._store.retry(by.tenant, webhook_id, positions, request=request)
        return self._told(stored)

    def _told(self, stored: StoredWebhook | None) -> StoredWebhook:
        if stored is None:
            raise Foreign
        self._changed()
        return stored

    def _readable(self, webhook: Webhook) -> bool:
        try:
            self._box.open(webhook.webhook_id, webhook.secret)
        except UnreadableSecret:
            return False
        return True

    def _positions(self, cursors: Sequence[Cursor]) -> Sequence[int]:
        for cursor in cursors:
            if cursor.epoch != self._epoch:
                raise EpochEnded(epoch=cursor.epoch, current=self._epoch)
        return [cursor.position for cursor in cursors]


def _require_admin(by: Principal) -> None:
    authorize(by, "admin", Resource(tenant=by.tenant))


def _issued(stored: StoredWebhook | None, secret: bytes) -> IssuedWebhook:
    if stored is None:
        raise Foreign
    return IssuedWebhook(
        standing=stored.standing,
        secret=None if stored.repeated else secret_text(secret),
        repeated=stored.repeated,
    )
