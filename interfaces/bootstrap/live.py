"""Live events: who follows the log for all who watch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from application.duties import Duty
from application.erasure.disclosure import Disclosure
from application.follower import SHOWN, LogFollower, Unjudged
from application.live.figures import TenantFigures
from application.live.gate import Gate
from application.live.hub import Hub
from application.moments import Moments
from application.replays.replays import Replays
from application.watermarks import LOG
from infrastructure.postgres.announcer import PostgresAnnouncer
from infrastructure.postgres.history import PostgresHistory
from infrastructure.postgres.moments import PostgresRecordedTimes
from interfaces.bootstrap.ground import Ground
from interfaces.bootstrap.views import Views

PAUSE_BETWEEN_PAGES = 0.3
"""Of the time that it took to write the last page to everybody. To 1,000 readers that is 14 ms, for
ten events as for twenty: with it, twice as many get through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The hub and what brings it news. `showing` are those of the duties without which those who
    watch see nothing."""

    announcer: PostgresAnnouncer
    history: PostgresHistory
    hub: Hub
    gate: Gate
    replays: Replays
    showing: Sequence[Duty]
    duties: Sequence[Duty]


def wire_live(
    ground: Ground, views: Views, disclosure: Disclosure, *, leading: Callable[[], bool]
) -> Live:
    """Begins where the log ends, as the watermarks know it. Does no I/O."""
    watermarks, epoch = views.watermarks, ground.store.epoch
    announcer = PostgresAnnouncer(
        ground.url, known=lambda: watermarks.position(LOG), heard=views.advanced
    )
    head = watermarks.position(LOG)
    history = PostgresHistory(ground.pool)
    hub = Hub(history, ground.cloud_events, position=head, disclosure=disclosure)
    watermarks.advance(SHOWN, head)
    moments = Moments(PostgresRecordedTimes(ground.async_pool), ground.clock, epoch=epoch)
    replays = Replays(moments, history, hub.listeners, ground.cloud_events, disclosure)
    figures = TenantFigures(
        ground.models,
        watermarks,
        ground.clock,
        epoch=epoch,
        read_models=views.upkeep.names,
        leading=leading,
    )
    showing = [
        Duty("live_events", partial(_show, ground, views, hub)),
        Duty("live_positions", hub.tell_positions),
    ]
    return Live(
        announcer=announcer,
        history=history,
        hub=hub,
        gate=Gate(views.queries, watermarks, epoch=epoch, replays=replays),
        replays=replays,
        showing=showing,
        duties=[
            Duty("announcements", announcer.run),
            *showing,
            Duty("figures", partial(figures.publish, hub.listeners)),
        ],
    )


async def _show(ground: Ground, views: Views, hub: Hub) -> None:
    # From where the hub stands: what it took in before it failed is not taken in twice.
    views.watermarks.advance(SHOWN, hub.position)
    pages = Unjudged(ground.feed, ground.log)
    follower = LogFollower(
        pages,
        views.watermarks,
        hub.show,
        name=SHOWN,
        after=hub.position,
        pause=PAUSE_BETWEEN_PAGES,
    )
    await follower.follow()
