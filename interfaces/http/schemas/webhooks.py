"""Webhooks: what they are to be, and how they are shown."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints
from typing_extensions import TypedDict

from application.access import Principal, has_scope
from application.cursor import Cursor
from application.webhooks.administration import WantedWebhook
from application.webhooks.target import URL_LENGTH_MAX, origin_of
from application.webhooks.webhook import IssuedWebhook, Letter, Standing, WebhookState
from interfaces.http.fields import Id, Labels, Name
from interfaces.http.parameters import CursorText, ListParameters
from interfaces.http.schemas.base import Body, CursorOut, documented
from interfaces.http.schemas.live import NOW, TYPES_MAX, Channels, Place

RETRIED_MAX = 1_000
Url = Annotated[str, StringConstraints(min_length=1, max_length=URL_LENGTH_MAX)]


class WebhookBody(Body):
    """Which events are to be posted, and where to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://example.org/hooks/musterroll",
                    "channels": ["tasks"],
                    "types": ["task.completed", "task.failed"],
                }
            ]
        }
    )

    url: Url = Field(repr=False)
    """https, at a public address, without credentials and fragment."""
    channels: Channels
    """Those of the log: `tasks`, `agents.<id>`, `system`..."""
    types: Annotated[list[Name], Field(max_length=TYPES_MAX)] = Field(default_factory=list)
    """Only events of these types; none named: of all."""
    labels: Labels = Field(default_factory=dict)
    """Only events of what had all these labels then."""
    after: Place = NOW
    """Events behind this cursor, or from `now` on, or from the `start` of the log."""

    def wanted(self) -> WantedWebhook:
        """What it asks for."""
        return WantedWebhook(
            url=self.url,
            channels=self.channels,
            types=self.types,
            labels=self.labels,
            after=self.after,
        )


class RetryBody(Body):
    """Which dead letters are to be delivered after all."""

    cursors: Annotated[list[CursorText], Field(min_length=1, max_length=RETRIED_MAX)] | None = None
    """As the list of dead letters has them; without them, all."""

    def parsed(self) -> list[Cursor] | None:
        """Raises BadCursor."""
        return None if self.cursors is None else [Cursor.parse(text) for text in self.cursors]


class WebhookListParameters(ListParameters):
    """Which page of the webhooks."""

    cursor: Id | None = None
    """The `next_cursor` of the page before."""


class DeadLetterParameters(ListParameters):
    """Which page of the dead letters."""

    cursor: CursorText | None = None
    """The `next_cursor` of the page before."""


@documented
class WebhookShown(TypedDict):
    """A webhook, and how it fares."""

    webhook_id: UUID
    url: str
    """Whole for administrators; to others scheme and host alone, since the rest may be a secret."""
    channels: list[str]
    types: list[str]
    labels: dict[str, str]
    state: WebhookState
    """`waiting` to be allowed, `on`, `paused`, or `gone` (its target answered 410)."""
    cursor: CursorOut
    """Up to there every event was delivered, is parked or dead, or is not wanted."""
    lag: int
    """How many positions of the log lie behind its cursor."""
    parked: int
    """Events that wait to be tried again, or behind one of the same task or agent that does."""
    dead_letters: int
    """Events that were given up."""
    failing_since: datetime | None
    """Null when the last delivery was taken."""
    last_failure: str | None
    """Why the last one failed that did."""
    last_failed_at: datetime | None
    last_delivered_at: datetime | None
    former_secret_until: datetime | None
    """Until then deliveries are signed with the former secret too."""
    created_at: datetime
    created_by: str


class WebhookAnswer(WebhookShown):
    """A webhook, and its secret."""

    secret: str | None
    """`whsec_...`; shown this once, null when the request was repeated."""


@documented
class WebhookPage(TypedDict):
    """Webhooks, oldest first."""

    items: list[WebhookShown]
    next_cursor: str | None


@documented
class DeadLetter(TypedDict):
    """An event that was given up; `GET /v1/events` shows it."""

    cursor: CursorOut
    """The `id` of the event."""
    type: str | None
    aggregate_id: UUID
    """The task or agent that it is of."""
    attempts: int
    last_failure: str | None
    last_failed_at: datetime | None


@documented
class DeadLetterPage(TypedDict):
    """Dead letters, in log order."""

    items: list[DeadLetter]
    next_cursor: CursorOut | None


def webhook_of(standing: Standing, caller: Principal) -> WebhookShown:
    """A webhook as this caller may see it."""
    url = standing.webhook.url
    return _shown(standing, url if has_scope(caller, "admin") else origin_of(url))


def new_webhook_of(issued: IssuedWebhook) -> WebhookAnswer:
    """A webhook for whoever has named its URL, or may see it, with its secret."""
    return {**_shown(issued.standing, issued.standing.webhook.url), "secret": issued.secret}


def dead_letter_of(letter: Letter, topic: str | None, epoch: int) -> DeadLetter:
    """An event that was given up."""
    return {
        "cursor": str(Cursor(epoch, letter.position)),
        "type": topic,
        "aggregate_id": letter.aggregate_id,
        "attempts": letter.attempts,
        "last_failure": letter.failure,
        "last_failed_at": letter.failed_at,
    }


def _shown(standing: Standing, url: str) -> WebhookShown:
    webhook, health = standing.webhook, standing.webhook.health
    return {
        "webhook_id": webhook.webhook_id,
        "url": url,
        "channels": list(webhook.channels),
        "types": list(webhook.types),
        "labels": dict(webhook.labels),
        "state": webhook.state,
        "cursor": str(Cursor(webhook.epoch, webhook.position)),
        "lag": standing.lag,
        "parked": standing.parked,
        "dead_letters": standing.dead,
        "failing_since": health.failing_since,
        "last_failure": health.failure,
        "last_failed_at": health.failed_at,
        "last_delivered_at": health.delivered_at,
        "former_secret_until": webhook.former_until,
        "created_at": webhook.created_at,
        "created_by": webhook.created_by,
    }
