"""Who listens to what is never in the log, and how it reaches them, or does not."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from application.live.channel import Channel
from application.ports import Json


class Listener(Protocol):
    """One who listens to volatile channels."""

    def hear(
        self, channel: Channel, message: Mapping[str, Json], encoded: dict[object, bytes]
    ) -> None:
        """Take a message, at once or combined with later ones; never waits.

        `encoded` holds it by format, for those who come after.
        """


class Reader(Listener, Protocol):
    """A listener that is waited for."""

    @property
    def has_room(self) -> bool:
        """Whether it takes more at once."""

    async def room(self) -> None:
        """Wait until it does. Raises Stalled."""

    def send_away(self) -> None:
        """End its connection: it is too slow."""


class Listeners:
    """Hands volatile messages to whoever listens at this moment. Belongs to the event loop."""

    def __init__(self) -> None:
        self._listening: dict[tuple[str, Channel], set[Listener]] = defaultdict(set)
        self._watching: dict[tuple[str, Channel], list[Callable[[], None]]] = defaultdict(list)

    def listen(self, listener: Listener, tenant: str, channels: Iterable[Channel]) -> None:
        """From now on."""
        for channel in channels:
            self._listening[tenant, channel].add(listener)
            self._moved(tenant, channel)

    def leave(self, listener: Listener, tenant: str, channels: Iterable[Channel]) -> None:
        """No longer."""
        for channel in channels:
            others = self._listening[tenant, channel]
            others.discard(listener)
            if not others:
                del self._listening[tenant, channel]
            self._moved(tenant, channel)

    def watch(self, tenant: str, channel: Channel, call: Callable[[], None]) -> None:
        """Call that whenever somebody came to the channel or left it."""
        self._watching[tenant, channel].append(call)

    def unwatch(self, tenant: str, channel: Channel, call: Callable[[], None]) -> None:
        """No longer."""
        self._watching[tenant, channel].remove(call)
        if not self._watching[tenant, channel]:
            del self._watching[tenant, channel]

    def of(self, tenant: str, channel: Channel) -> list[Listener]:
        """Those who listen at this moment."""
        return list(self._listening.get((tenant, channel), ()))

    def heard(self, tenant: str, channel: Channel) -> bool:
        """Whether anybody listens, so that it is worth saying something."""
        return (tenant, channel) in self._listening

    def tenants(self, family: str) -> list[str]:
        """The tenants of those who listen to a family of channels."""
        return list({tenant for tenant, channel in self._listening if channel.family == family})

    def tell(self, tenant: str, channel: Channel, message: Mapping[str, Json]) -> None:
        """Hand a message to all who listen."""
        encoded: dict[object, bytes] = {}
        for listener in self.of(tenant, channel):
            listener.hear(channel, message, encoded)

    def _moved(self, tenant: str, channel: Channel) -> None:
        for call in self._watching.get((tenant, channel), ()):
            call()
