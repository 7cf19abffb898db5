"""A webhook, what of it waits or was given up, and what can be wrong with one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from application.live.channel import Channel
from application.live.interest import Interest, Subscription
from domain.errors import Conflict, Invalid

WEBHOOKS_MAX = 100
"""Of one tenant."""
DEAD_LETTERS_MAX = 10_000
"""A webhook that has given up so many events is paused, so that nothing of it gets lost."""

WebhookState = Literal["waiting", "on", "paused", "gone"]
"""`waiting` until an admin allows its target, `gone` when the target answered 410."""


class BadTarget(Invalid):
    """Nothing may be posted to this URL."""

    code = "bad_target"

    def __init__(self, reason: str) -> None:
        super().__init__(f"This is no target for a webhook: {reason}.")


class ChannelNotDurable(Invalid):
    """What comes over the channel is never in the log, and so cannot be delivered later."""

    code = "channel_not_durable"

    def __init__(self, channel: Channel) -> None:
        super().__init__(f"{channel} is volatile; a webhook takes channels of the log only.")


class TooManyWebhooks(Conflict):
    """A tenant has as many webhooks as it can have."""

    code = "too_many_webhooks"

    def __init__(self) -> None:
        super().__init__(f"There are {WEBHOOKS_MAX} webhooks already; remove one first.")


class UnreadableSecret(Exception):
    """What stands in the database was not sealed for this webhook with this signing key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How deliveries went. `failing_since` is None after a delivery that was taken."""

    delivered_at: datetime | None = None
    failed_at: datetime | None = None
    failing_since: datetime | None = None
    failure: str | None = None
    """Why the last one failed; it outlives a success, so that one can still tell."""

    def delivered(self, now: datetime) -> "Health":
        """After a delivery that was taken."""
        return Health(delivered_at=now, failed_at=self.failed_at, failure=self.failure)

    def failed(self, now: datetime, failure: str) -> "Health":
        """After one that was not."""
        return Health(
            delivered_at=self.delivered_at,
            failed_at=now,
            failing_since=self.failing_since or now,
            failure=failure,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One wish of a tenant to be posted events. `secret` and `former_secret` are sealed.

    Every event up to `position` was delivered, is kept as a letter, or is not wanted. `revision`
    rises with whatever people change, and not with deliveries.
    """

    webhook_id: UUID
    tenant: str
    url: str = field(repr=False)
    channels: tuple[str, ...]
    types: tuple[str, ...]
    labels: Mapping[str, str]
    state: WebhookState
    created_by: str
    created_at: datetime
    secret: bytes = field(repr=False)
    former_secret: bytes | None = field(default=None, repr=False)
    former_until: datetime | None = None
    epoch: int
    position: int
    revision: int = 0
    health: Health = field(default_factory=Health)

    @property
    def interest(self) -> Interest:
        """What it wants of the log."""
        types, labels = frozenset(self.types), frozenset(self.labels.items())
        wanted = [Subscription(Channel.parse(text), types, labels) for text in self.channels]
        return Interest.of(self.tenant, wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """An event that could not be delivered at once, or that waits behind one of its aggregate.

    A `dead` one was given up. `attempts` is how often it was tried.
    """

    position: int
    aggregate_id: UUID
    attempts: int = 0
    due_at: datetime
    dead: bool = False
    failure: str | None = None
    failed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A webhook as it is shown: how many letters wait, how many are dead, where the log ends."""

    webhook: Webhook
    parked: int
    dead: int
    head: int

    @property
    def lag(self) -> int:
        """How many positions of the log it is behind; nothing of a log that was replaced."""
        return max(0, self.head - self.webhook.position)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWebhook:
    """A webhook as it is kept now; `repeated` when the request had been answered before."""

    standing: Standing
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedWebhook:
    """A webhook and its new secret, which is shown once: None when the request was repeated."""

    standing: Standing
    secret: str | None = field(repr=False)
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What deliveries have changed since it was last kept; all of it is kept, or nothing."""

    webhook_id: UUID
    position: int
    health: Health
    letters: Sequence[Letter] = ()
    settled: Sequence[int] = ()
    """Positions of letters that were delivered."""
