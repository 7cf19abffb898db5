"""Moments: places in the history that a caller can name, and the positions that they come to."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from application.cursor import BadCursor, Cursor, CursorAhead
from application.ports import Clock
from domain.errors import EpochEnded, Invalid

TIME_PATTERN = (
    r"^(19[7-9][0-9]|2[0-9]{3})-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)
TIME = re.compile(TIME_PATTERN, re.ASCII)
VERSION = re.compile(r"v[1-9][0-9]{0,17}", re.ASCII)


class BadMoment(Invalid):
    """The text is no moment, or one that cannot be meant here."""

    code = "bad_moment"

    def __init__(self, message: str) -> None:
        super().__init__(f"{message} A moment looks like 1:4711 or 2026-01-31T12:00:00Z.")


class BeforeHistory(Invalid):
    """Nothing was recorded yet at that moment. `nearest` is the first cursor, if there is one."""

    code = "before_history"

    def __init__(self, moment: str, nearest: Cursor | None, *, of: str = "") -> None:
        begins = f"begins at {nearest}" if nearest else "is empty"
        message = f"The history{of} {begins}; {moment} is before it."
        super().__init__(message, nearest=None if nearest is None else str(nearest))


class AfterHistory(Invalid):
    """The time has not come. `nearest` is now, on the clock that decides."""

    code = "after_history"

    def __init__(self, time: datetime, now: datetime) -> None:
        super().__init__(
            f"{time.isoformat()} has not come; it is {now.isoformat()}.", nearest=_text(now)
        )


class VersionAhead(Invalid):
    """The thing has not come to that version. `nearest` is its last one."""

    code = "version_ahead"

    def __init__(self, version: int, last: int) -> None:
        super().__init__(f"v{version} has not come; the last is v{last}.", nearest=f"v{last}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Exactly one of them: a cursor, a time (everything recorded up to it), or a version of one
    thing."""

    cursor: Cursor | None = None
    time: datetime | None = None
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `1:4711`, RFC 3339 with a zone, or `v7`. Raises BadMoment."""
        if VERSION.fullmatch(text):
            return cls(version=int(text[1:]))
        try:
            if TIME.fullmatch(text):
                return cls(time=time_of(text))
            return cls(cursor=Cursor.parse(text))
        except (ValueError, BadCursor):
            raise BadMoment(f"{text[:40]!r} is no moment.") from None

    def __str__(self) -> str:
        if self.cursor is not None:
            return str(self.cursor)
        return f"v{self.version}" if self.time is None else _text(self.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """What a moment came to: the last event until then, and when it was recorded."""

    cursor: Cursor
    time: datetime

    def members(self) -> dict[str, Any]:
        """As answers show it."""
        return {"cursor": str(self.cursor), "time": self.time}


Recorded = tuple[int, datetime]
"""The position of an event, and when it was recorded."""


class RecordedTimes(Protocol):
    """When the events of the log were recorded. Each method raises DatabaseUnavailable."""

    async def first(self) -> Recorded | None:
        """The first event; None while the log is empty."""

    async def at(self, position: int) -> Recorded | None:
        """The last event at or before a position; None before the first."""

    async def by(self, time: datetime) -> Recorded | None:
        """The last event recorded at or before a time; None before the first."""

    async def head(self) -> int:
        """The newest position, 0 while the log is empty."""


class Moments:
    """From moments to positions, and back.

    `recorded_at` never runs back along the log, so a time stands for a position. One that is a few
    milliseconds old may yet get another event, of a commit that was under way.
    """

    def __init__(self, times: RecordedTimes, clock: Clock, *, epoch: int) -> None:
        self._times = times
        self._clock = clock
        self.epoch = epoch

    async def position(self, moment: Moment | None, *, default: int | None = None) -> int:
        """The position that a moment comes to; without one the default, or else the newest.

        Raises BadMoment (a version: of what?), BeforeHistory, AfterHistory, CursorAhead,
        EpochEnded, DatabaseUnavailable.
        """
        if moment is None:
            return await self._times.head() if default is None else default
        if moment.cursor is not None:
            return await self._of_cursor(moment.cursor)
        if moment.time is not None:
            return await self._of_time(moment.time)
        raise BadMoment(f"{moment} is a version of one thing, and this is about several.")

    async def require_known(self, cursor: Cursor) -> None:
        """That somebody can have seen what is at a cursor. Raises CursorAhead, EpochEnded,
        DatabaseUnavailable."""
        if cursor.epoch != self.epoch:
            raise EpochEnded(epoch=cursor.epoch, current=self.epoch)
        head = await self._times.head()
        if cursor.position > head:
            raise CursorAhead(cursor, head)

    async def at(self, position: int) -> Instant:
        """The last event at or before a position. Raises BeforeHistory, DatabaseUnavailable."""
        found = await self._times.at(position)
        if found is None:
            raise BeforeHistory(str(Cursor(self.epoch, position)), await self._begin())
        return Instant(cursor=Cursor(self.epoch, found[0]), time=found[1])

    async def _of_cursor(self, cursor: Cursor) -> int:
        await self.require_known(cursor)
        begin = await self._begin()
        if begin is None or cursor.position < begin.position:
            raise BeforeHistory(str(cursor), begin)
        return cursor.position

    async def _of_time(self, time: datetime) -> int:
        now = self._clock()
        if time > now:
            raise AfterHistory(time, now)
        found = await self._times.by(time)
        if found is None:
            raise BeforeHistory(_text(time), await self._begin())
        return found[0]

    async def _begin(self) -> Cursor | None:
        found = await self._times.first()
        return None if found is None else Cursor(self.epoch, found[0])


def time_of(text: str) -> datetime:
    """A time from RFC 3339 text with a zone, from 1970 to 2999, in UTC. Raises ValueError.

    The years are bounded so that no sum of a time and a duration leaves what Python and PostgreSQL
    can hold.
    """
    if not TIME.fullmatch(text):
        raise ValueError("must be a moment as in RFC 3339, with a zone, from 1970 to 2999")
    # Python reads at most microseconds.
    whole = re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", text.upper())
    try:
        return datetime.fromisoformat(whole).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a moment that exists") from None


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
