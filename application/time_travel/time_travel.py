"""What can be asked of the past, put together."""

from dataclasses import dataclass

from application.time_travel.frames import Frames
from application.time_travel.keeper import FrameKeeper
from application.time_travel.overview import Overviews
from application.time_travel.search import Searches
from application.time_travel.things import Things


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeTravel:
    """One thing, everything, and the event that changed it."""

    things: Things
    overviews: Overviews
    searches: Searches
    frames: Frames
    keeper: FrameKeeper
