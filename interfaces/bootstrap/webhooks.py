"""Webhooks: those who administer them, and the post office that delivers."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from application.duties import Duty
from application.erasure.disclosure import Disclosure
from application.webhooks.administration import Webhooks
from application.webhooks.courier import Means
from application.webhooks.patience import Patience
from application.webhooks.ports import SecretBox
from application.webhooks.post_office import PostOffice
from infrastructure.postgres.webhooks import PostgresDeliveries, PostgresWebhooks
from infrastructure.webhooks.posting import HttpPoster
from interfaces.bootstrap.ground import Ground
from interfaces.bootstrap.live import Live
from interfaces.bootstrap.views import Views


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """`duty` delivers; only who leads has it."""

    webhooks: Webhooks
    duty: Duty


def wire_webhooks(
    ground: Ground,
    views: Views,
    live: Live,
    box: SecretBox,
    disclosure: Disclosure,
    *,
    private: bool,
    patience: Patience,
    opened: AsyncExitStack,
) -> Post:
    """Does no I/O; `opened` closes the connections of the poster."""
    poster = HttpPoster(private=private)
    opened.push_async_callback(poster.close)
    means = Means(
        event_log=ground.log,
        feed=ground.feed,
        history=live.history,
        watermarks=views.watermarks,
        cloud_events=ground.cloud_events,
        poster=poster,
        box=box,
        clock=ground.clock,
        patience=patience,
        disclosure=disclosure,
    )
    office = PostOffice(PostgresDeliveries(ground.async_pool), means)
    webhooks = Webhooks(
        PostgresWebhooks(ground.async_pool),
        box,
        live.gate,
        ground.clock,
        epoch=ground.store.epoch,
        private_targets=private,
        changed=office.changed,
    )
    return Post(webhooks=webhooks, duty=Duty("webhooks", office.run))
