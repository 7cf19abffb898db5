"""The past: how it is read, and by whom frames of it are kept."""

from application.duties import Duty
from application.erasure.disclosure import Disclosure
from application.moments import Moments
from application.time_travel.frames import Frames
from application.time_travel.keeper import FrameKeeper
from application.time_travel.overview import Overviews
from application.time_travel.search import Searches
from application.time_travel.things import Things
from application.time_travel.time_travel import TimeTravel
from infrastructure.postgres.causation import PostgresCausation
from infrastructure.postgres.frames import PostgresFrames
from infrastructure.postgres.time_travel import PostgresTimeTravel
from interfaces.bootstrap.ground import Ground
from interfaces.bootstrap.views import Views


def wire_time_travel(
    ground: Ground, views: Views, moments: Moments, disclosure: Disclosure
) -> tuple[TimeTravel, Duty]:
    """With the duty that keeps frames, which is the leader's. Does no I/O."""
    history, store = PostgresTimeTravel(ground.pool), PostgresFrames(ground.pool)
    frames = Frames(history, store, ground.log)
    things = Things(
        history=history,
        frames=frames,
        moments=moments,
        log=ground.log,
        causation=PostgresCausation(ground.pool, epoch=ground.store.epoch),
        disclosure=disclosure,
    )
    overviews = Overviews(
        frames=frames, things=things, moments=moments, history=history, clock=ground.clock
    )
    searches = Searches(
        frames=frames, moments=moments, history=history, log=ground.log, disclosure=disclosure
    )
    keeper = FrameKeeper(frames, store, views.watermarks)
    past = TimeTravel(
        things=things, overviews=overviews, searches=searches, frames=frames, keeper=keeper
    )
    return past, Duty("frames", keeper.run)
