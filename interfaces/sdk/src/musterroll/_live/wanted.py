"""What a stream is to bring, and how far it has come."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from musterroll._seen import place_of
from musterroll.errors import Invalid

NOW = "now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A subscription. Without `follow` it ends where the log does."""

    channels: tuple[str, ...]
    after: str = NOW
    types: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    follow: bool = True


@dataclass(slots=True)
class Place:
    """How far a stream has come. `cursor` is None until the service has told where it begins."""

    cursor: str | None = None

    def move(self, cursor: str) -> bool:
        """Go on to a cursor; whether it lies ahead. Positions only ever rise, so that what does
        not was seen before."""
        if place_of(cursor) <= place_of(self.cursor):
            return False
        self.cursor = cursor
        return True


def wanted(
    channels: str | Iterable[str],
    *,
    after: str = NOW,
    types: Iterable[str] = (),
    labels: Mapping[str, str] | None = None,
    follow: bool = True,
) -> Wanted:
    """A subscription to events. Raises Invalid for channels that bring none."""
    named = _texts(channels)
    if not named:
        raise Invalid("name a channel to listen to, such as tasks", code="bad_channel")
    for name in named:
        if name == "metrics" or name.startswith(("output.", "replay.")):
            raise Invalid(
                f"{name} brings no events: what comes over it is not in the log", code="bad_channel"
            )
    return Wanted(
        channels=named, after=after, types=_texts(types), labels=dict(labels or {}), follow=follow
    )


def _texts(given: str | Iterable[str]) -> tuple[str, ...]:
    # A text alone is one name, not its letters.
    return (given,) if isinstance(given, str) else tuple(given)
