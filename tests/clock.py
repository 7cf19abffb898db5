"""A clock that tests move."""

from datetime import datetime, timedelta

from tests.given import NOON


class MovableClock:
    """Implements `application.ports.Clock`: it is noon until a test moves it."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now

    def __call__(self) -> datetime:
        """Now."""
        return self._now

    def move(self, by: timedelta | None = None, *, seconds: float = 0) -> None:
        """Let time pass, all at once."""
        self._now += (by or timedelta()) + timedelta(seconds=seconds)
