"""How many refusals are recorded one by one, and what is counted of the rest."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from application.accounts.sign_in import place_of

REFUSALS_OF_PLACE_MAX = 100
"""A minute, of one address (a /64 of IPv6), one by one."""
REFUSALS_MAX = 1_000
"""A minute, of all addresses together, one by one."""
PLACES_MAX = 500
"""Addresses that are counted by themselves in a minute; others are counted together."""
WINDOW_SECONDS = 60.0
ELSEWHERE = ""
"""Stands for the addresses that are counted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Refusals of one tenant from one address, in one window."""

    tenant: str
    address: str
    count: int
    since: datetime
    until: datetime


@dataclass(slots=True)
class _Window:
    ends_at: float
    since: datetime
    told: int = 0
    told_of: Counter[str] = field(default_factory=Counter)
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)


class Flood:
    """Lets through what may be recorded one by one, and counts the rest by the minute.

    `clock` tells the time that is recorded, `timer` that of the windows.
    """

    def __init__(self, clock: Callable[[], datetime], timer: Callable[[], float]) -> None:
        self._clock = clock
        self._timer = timer
        self._window: _Window | None = None
        self._over: list[Count] = []

    @property
    def ends_in_seconds(self) -> float | None:
        """How long until something has to be told; None while there is nothing."""
        if self._over:
            return 0.0
        if self._window is None or not self._window.counted:
            return None
        return max(self._window.ends_at - self._timer(), 0.0)

    def lets_through(self, tenant: str, address: str) -> bool:
        """Whether a refusal is to be recorded; if not, it was counted."""
        window, place = self._now(), place_of(address)
        known = place in window.told_of or len(window.told_of) < PLACES_MAX
        room = window.told < REFUSALS_MAX
        if known and room and window.told_of[place] < REFUSALS_OF_PLACE_MAX:
            window.told += 1
            window.told_of[place] += 1
            return True
        self._add(window, tenant, place)
        return False

    def count(self, tenant: str, address: str) -> None:
        """One more that is not recorded one by one."""
        self._add(self._now(), tenant, place_of(address))

    def take_counts(self, *, at_once: bool = False) -> list[Count]:
        """Those of windows that have ended; `at_once`, of the present one too."""
        window = self._window
        if window is not None and (at_once or self._timer() >= window.ends_at):
            self._close(window)
        taken, self._over = self._over, []
        return taken

    def _now(self) -> _Window:
        if self._window is not None and self._timer() >= self._window.ends_at:
            self._close(self._window)
        if self._window is None:
            self._window = _Window(self._timer() + WINDOW_SECONDS, self._clock())
        return self._window

    def _close(self, window: _Window) -> None:
        until, self._window = self._clock(), None
        self._over.extend(
            Count(tenant=tenant, address=place, count=count, since=window.since, until=until)
            for (tenant, place), count in window.counted.items()
        )

    @staticmethod
    def _add(window: _Window, tenant: str, place: str) -> None:
        key = tenant, place
        if key not in window.counted and len(window.counted) >= PLACES_MAX:
            key = tenant, ELSEWHERE
        window.counted[key] += 1
