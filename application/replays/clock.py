"""The clock of a replay: it runs at a speed, stands still, and may be put forward."""

from collections.abc import Callable


class PlayClock:
    """How far a replay has come, in recorded seconds since its beginning. It stands at first."""

    def __init__(self, speed: float, timer: Callable[[], float]) -> None:
        self._speed = speed
        self._timer = timer
        self._base = 0.0
        self._running_since: float | None = None

    @property
    def now(self) -> float:
        """Never runs back."""
        if self._running_since is None:
            return self._base
        return self._base + (self._timer() - self._running_since) * self._speed

    @property
    def speed(self) -> float:
        """Recorded seconds in a second."""
        return self._speed

    def change_speed(self, speed: float) -> None:
        """From here on."""
        running = self._running_since is not None
        self.stand()
        self._speed = speed
        if running:
            self.run()

    def run(self) -> None:
        """From where it stands."""
        if self._running_since is None:
            self._running_since = self._timer()

    def stand(self) -> None:
        """Until it is run again."""
        self._base, self._running_since = self.now, None

    def put_forward(self, to: float) -> None:
        """At once; never back."""
        if to > self.now:
            self._base = to
            if self._running_since is not None:
                self._running_since = self._timer()

    def seconds_until(self, moment: float) -> float | None:
        """How long it takes to come there; None while it stands."""
        if self._running_since is None:
            return None
        return (moment - self.now) / self._speed
