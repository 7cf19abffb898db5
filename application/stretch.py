"""A stretch of history: everything recorded from one moment to another."""

from dataclasses import dataclass
from datetime import timedelta

from application.cursor import Cursor
from application.moments import BeforeHistory, Moment, Moments
from domain.errors import Invalid

INSTANT_BEFORE = timedelta(microseconds=1)


class BadStretch(Invalid):
    """It ends before it begins. `nearest` is where it could end."""

    code = "bad_stretch"

    def __init__(self, first: Cursor, last: Cursor) -> None:
        super().__init__(
            f"It begins at {first} and ends at {last}, which is not behind it.", nearest=str(first)
        )


class RangeTooLarge(Invalid):
    """The range holds more than is taken at once. `nearest` is where it may end."""

    code = "range_too_large"

    def __init__(self, what: str, nearest: Cursor) -> None:
        super().__init__(
            f"The range holds more than {what}; let it end at {nearest}.", nearest=str(nearest)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The events behind `after`, up to and including `until`."""

    after: int
    until: int


async def stretch_of(
    moments: Moments,
    begin: Moment | None,
    end: Moment | None,
    *,
    newest: int | None = None,
    positions_max: int | None = None,
) -> Stretch:
    """From the event at a cursor, or what was recorded at a time or later (None: from the first),
    up to a moment (None: up to `newest`, or else to the end of the log).

    Raises BadStretch, RangeTooLarge, and what `Moments.position` raises.
    """
    until = await moments.position(end, default=newest)
    after = 0 if begin is None else await _before(moments, begin)
    if after >= until:
        first, last = Cursor(moments.epoch, after + 1), Cursor(moments.epoch, until)
        raise BadStretch(first, last)
    if positions_max is not None and until - after > positions_max:
        nearest = Cursor(moments.epoch, after + positions_max)
        raise RangeTooLarge(f"{positions_max:,} positions", nearest)
    return Stretch(after=after, until=until)


async def _before(moments: Moments, begin: Moment) -> int:
    """The position behind which a stretch begins that has the moment itself in it."""
    position = await moments.position(begin)
    if begin.time is None:
        return position - 1
    try:
        return await moments.position(Moment(time=begin.time - INSTANT_BEFORE))
    except BeforeHistory:
        return 0
