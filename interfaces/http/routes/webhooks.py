"""Webhooks: events of the log, posted to where a tenant wants them."""

from starlette.responses import Response

from application.access import InsufficientScope
from application.cursor import BadCursor, Cursor, CursorAhead
from application.live.channel import BadChannel
from application.webhooks.webhook import (
    BadTarget,
    ChannelNotDurable,
    StoredWebhook,
    TooManyWebhooks,
)
from domain.errors import AggregateNotFound, EpochEnded, ReadModelBehind
from interfaces.http.operation import SIGNED_IN, Call, Operation
from interfaces.http.parameters import Parameters
from interfaces.http.responses import answer, nothing, path_of
from interfaces.http.schemas.base import NoBody
from interfaces.http.schemas.webhooks import (
    DeadLetterPage,
    DeadLetterParameters,
    RetryBody,
    WebhookAnswer,
    WebhookBody,
    WebhookListParameters,
    WebhookPage,
    WebhookShown,
    dead_letter_of,
    new_webhook_of,
    webhook_of,
)


async def add(call: Call[WebhookBody, Parameters]) -> Response:
    """POST /v1/webhooks."""
    issued = await call.process.webhooks.add(call.principal, call.body.wanted(), call.key)
    webhook = issued.standing.webhook
    call.concerns(webhook_id=webhook.webhook_id, channels=" ".join(webhook.channels))
    location = path_of("webhooks", webhook.webhook_id)
    return answer(new_webhook_of(issued), 201, location=location, replayed=issued.repeated)


async def list_webhooks(call: Call[None, WebhookListParameters]) -> Response:
    """GET /v1/webhooks. One more than asked for tells whether there is another page."""
    await call.require_seen()
    limit = call.parameters.limit
    found = await call.process.webhooks.list(
        call.principal, after=call.parameters.cursor, limit=limit + 1
    )
    items = [webhook_of(standing, call.principal) for standing in found[:limit]]
    next_cursor = str(items[-1]["webhook_id"]) if len(found) > limit else None
    return answer({"items": items, "next_cursor": next_cursor})


async def show(call: Call[None, Parameters]) -> Response:
    """GET /v1/webhooks/{webhook_id}."""
    found = await call.process.webhooks.find(call.principal, call.id_of("webhook_id"))
    return answer(webhook_of(found, call.principal))


async def allow(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/webhooks/{webhook_id}/allow."""
    webhooks, webhook_id = call.process.webhooks, call.id_of("webhook_id")
    return _changed(call, await webhooks.allow(call.principal, webhook_id, call.key))


async def pause(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/webhooks/{webhook_id}/pause."""
    webhooks, webhook_id = call.process.webhooks, call.id_of("webhook_id")
    return _changed(call, await webhooks.pause(call.principal, webhook_id, call.key))


async def renew(call: Call[NoBody, Parameters]) -> Response:
    """POST /v1/webhooks/{webhook_id}/secret."""
    webhooks, webhook_id = call.process.webhooks, call.id_of("webhook_id")
    issued = await webhooks.renew(call.principal, webhook_id, call.key)
    return answer(new_webhook_of(issued), replayed=issued.repeated)


async def remove(call: Call[None, Parameters]) -> Response:
    """DELETE /v1/webhooks/{webhook_id}."""
    await call.process.webhooks.remove(call.principal, call.id_of("webhook_id"))
    return nothing()


async def list_dead_letters(call: Call[None, DeadLetterParameters]) -> Response:
    """GET /v1/webhooks/{webhook_id}/dead-letters."""
    await call.require_seen()
    limit, text = call.parameters.limit, call.parameters.cursor
    found = await call.process.webhooks.dead_letters(
        call.principal,
        call.id_of("webhook_id"),
        after=None if text is None else Cursor.parse(text),
        limit=limit + 1,
    )
    epoch = call.process.epoch
    items = [dead_letter_of(letter, topic, epoch) for letter, topic in found[:limit]]
    next_cursor = items[-1]["cursor"] if len(found) > limit else None
    return answer({"items": items, "next_cursor": next_cursor})


async def retry(call: Call[RetryBody, Parameters]) -> Response:
    """POST /v1/webhooks/{webhook_id}/dead-letters/retry."""
    stored = await call.process.webhooks.retry(
        call.principal, call.id_of("webhook_id"), call.body.parsed(), call.key
    )
    return _changed(call, stored)


def _changed(
    call: Call[NoBody, Parameters] | Call[RetryBody, Parameters], stored: StoredWebhook
) -> Response:
    return answer(webhook_of(stored.standing, call.principal), replayed=stored.repeated)


OPERATIONS = [
    Operation(
        method="POST",
        path="/v1/webhooks",
        handler=add,
        scope=SIGNED_IN,
        summary="Add a webhook",
        description=(
            "It takes the scopes of its channels, and waits until an administrator allows its "
            "target. The secret is shown this once; deliveries are signed with it as Standard "
            "Webhooks has it."
        ),
        body=WebhookBody,
        status=201,
        administrative=True,
        answer=WebhookAnswer,
        errors=(
            BadTarget,
            BadChannel,
            ChannelNotDurable,
            InsufficientScope,
            AggregateNotFound,
            BadCursor,
            EpochEnded,
            CursorAhead,
            TooManyWebhooks,
            ReadModelBehind,
        ),
    ),
    Operation(
        method="GET",
        path="/v1/webhooks",
        handler=list_webhooks,
        scope="tasks:read",
        summary="List webhooks",
        parameters=WebhookListParameters,
        answer=WebhookPage,
    ),
    Operation(
        method="GET",
        path="/v1/webhooks/{webhook_id}",
        handler=show,
        scope="tasks:read",
        summary="Show a webhook",
        answer=WebhookShown,
    ),
    Operation(
        method="POST",
        path="/v1/webhooks/{webhook_id}/allow",
        handler=allow,
        scope="admin",
        summary="Let a webhook deliver",
        description="From where it stopped, whether it was waiting, paused or gone.",
        body=NoBody,
        body_optional=True,
        answer=WebhookShown,
    ),
    Operation(
        method="POST",
        path="/v1/webhooks/{webhook_id}/pause",
        handler=pause,
        scope="admin",
        summary="Let a webhook stop",
        description="It keeps its place, and goes on from there when it is allowed again.",
        body=NoBody,
        body_optional=True,
        answer=WebhookShown,
    ),
    Operation(
        method="POST",
        path="/v1/webhooks/{webhook_id}/secret",
        handler=renew,
        scope="admin",
        summary="Give a webhook a new secret",
        description="For 24 hours deliveries are signed with the former one too.",
        body=NoBody,
        body_optional=True,
        answer=WebhookAnswer,
    ),
    Operation(
        method="DELETE",
        path="/v1/webhooks/{webhook_id}",
        handler=remove,
        scope="admin",
        summary="Remove a webhook",
        description="With its dead letters; nothing more is delivered.",
        status=204,
        answer=None,
    ),
    Operation(
        method="GET",
        path="/v1/webhooks/{webhook_id}/dead-letters",
        handler=list_dead_letters,
        scope="tasks:read",
        summary="List events that could not be delivered",
        parameters=DeadLetterParameters,
        answer=DeadLetterPage,
    ),
    Operation(
        method="POST",
        path="/v1/webhooks/{webhook_id}/dead-letters/retry",
        handler=retry,
        scope="admin",
        summary="Deliver dead letters after all",
        description="Those named, or all; what is no dead letter is passed over.",
        body=RetryBody,
        body_optional=True,
        answer=WebhookShown,
        errors=(BadCursor, EpochEnded),
    ),
]
