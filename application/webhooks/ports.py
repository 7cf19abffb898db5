"""What webhooks need from the outside: where they are kept, how they are posted and sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from application.commands import RequestKey
from application.webhooks.webhook import (
    Ledger,
    Letter,
    Standing,
    StoredWebhook,
    Webhook,
    WebhookState,
)


class WebhookStore(Protocol):
    """Where webhooks are kept, for those who administer them.

    Every method raises DatabaseUnavailable. Those that take a RequestKey do their work and keep the
    key in one transaction; they raise IdempotencyKeyReused when the key stands for another request,
    and answer None when the tenant has no such webhook.
    """

    async def add(self, webhook: Webhook, request: RequestKey | None) -> StoredWebhook | None:
        """Keep a new one. None when a repetition finds it removed. Raises TooManyWebhooks."""

    async def find(self, tenant: str, webhook_id: UUID) -> Standing | None:
        """One, by its id."""

    async def listed(self, tenant: str, *, after: UUID | None, limit: int) -> Sequence[Standing]:
        """Oldest first, with an id above `after`."""

    async def allow(
        self, tenant: str, webhook_id: UUID, *, epoch: int, request: RequestKey | None
    ) -> StoredWebhook | None:
        """Let it deliver. One of an epoch that ended begins anew, where the log ends now."""

    async def pause(
        self, tenant: str, webhook_id: UUID, *, request: RequestKey | None
    ) -> StoredWebhook | None:
        """Let it deliver no more, until it is allowed again."""

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

    async def remove(self, tenant: str, webhook_id: UUID) -> bool:
        """Delete it with all its letters; whether there was one."""

    async def dead_letters(
        self, webhook_id: UUID, *, after: int, limit: int
    ) -> Sequence[tuple[Letter, str | None]]:
        """In log order, those behind a position, each with the type of its event."""

    async def retry(
        self,
        tenant: str,
        webhook_id: UUID,
        positions: Sequence[int] | None,
        *,
        request: RequestKey | None,
    ) -> StoredWebhook | None:
        """Make dead letters due at once, as if they had never been tried; None: all of them."""


class DeliveryStore(Protocol):
    """Where webhooks are kept, for the process that delivers. Every method raises
    DatabaseUnavailable."""

    async def revisions(self) -> Mapping[UUID, int]:
        """Those that are on, with their revisions."""

    async def load(self, webhook_id: UUID) -> Webhook | None:
        """One, when it is on."""

    async def letters(self, webhook_id: UUID) -> Sequence[Letter]:
        """Those that wait, and the dead ones beyond its position, in log order."""

    async def dead_count(self, webhook_id: UUID) -> int:
        """How many were given up."""

    async def keep(self, ledgers: Sequence[Ledger]) -> None:
        """Keep what was delivered and what was not, of many webhooks at once.

        Of one that was removed nothing is kept.
        """

    async def halt(
        self, webhook_id: UUID, state: WebhookState, failure: str, failed_at: datetime
    ) -> None:
        """Take one out of those that are on, and say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostAnswer:
    """What the target said: a status, and how long to stay away, s, when it said that."""

    status: int
    retry_after_seconds: float | None = None


class Unreachable(Exception):
    """The target did not answer, or may not be asked; the text says why, and shows nothing of
    what it sent."""


class Poster(Protocol):
    """Posts to targets that others have named: hostile ones, perhaps."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> PostAnswer:
        """Post once, follow no redirect. Raises Unreachable, in bounded time."""


class SecretBox(Protocol):
    """Keeps secrets so that the database alone does not tell them."""

    def seal(self, webhook_id: UUID, secret: bytes) -> bytes:
        """Readable with the same signing key and for the same webhook only."""

    def open(self, webhook_id: UUID, sealed: bytes) -> bytes:
        """Raises UnreadableSecret."""
