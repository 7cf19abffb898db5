"""A stream: one subscriber, from wherever it begins to now, and live from there on."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from application.duties import cancelled
from application.live.channel import Channel
from application.live.hub import POSITION_SECONDS, Chunk, Cohort, Hub
from application.live.interest import Interest, Shown, Subscription
from application.live.ports import Ending, Sink
from application.live.room import Stalled, room_in
from application.live.unheard import Unheard
from application.ports import Json
from domain.errors import DatabaseUnavailable

AWAY_PAUSE_SECONDS = 0.2

Read = tuple[list[Shown], int]
Chunks = AsyncGenerator[Chunk, None]

log = structlog.get_logger("stream")


@dataclass(slots=True)
class Order:
    """A wish for more channels, from a position on; its own frames are written by the callables.

    `begin` writes what comes before any event, and may take long; False gives the wish up.
    `caught_up` is told the position at which history ends. `after` is no later than the hub.
    """

    subscriptions: Sequence[Subscription]
    after: int
    begin: Callable[[], Awaitable[bool]]
    caught_up: Callable[[int], None]
    channels: frozenset[Channel] = field(init=False)

    def __post_init__(self) -> None:
        """Which channels it is about."""
        self.channels = frozenset(subscription.channel for subscription in self.subscriptions)


class Stream:
    """Every event that a subscriber wants, once and in order; volatile messages beside them.

    While it is live, the hub writes to its sink. Otherwise a task of its own reads on from its own
    position, until it stands where the hub does and nothing is unsent.
    """

    def __init__(self, hub: Hub, sink: Sink, tenant: str) -> None:
        self._hub = hub
        self._sink = sink
        self._tenant = tenant
        self._position: int | None = None
        self._subscriptions: dict[Channel, Subscription] = {}
        self._interest = Interest.of(tenant, ())
        self._orders: deque[Order] = deque()
        self._order: Order | None = None
        self._cohort: Cohort | None = None
        self._task: asyncio.Task[None] | None = None
        self._unheard: Unheard | None = None
        self._told_at = 0.0
        self._closed = False
        hub.enter(self)

    @property
    def position(self) -> int:
        """Everything up to there was handed to the sink, or is not wanted."""
        if self._cohort is not None:
            return self._cohort.position
        position = self._hub.position if self._position is None else self._position
        return min([position, *(order.after for order in self._wished)])

    @property
    def channels(self) -> set[Channel]:
        """What is subscribed to, or about to be."""
        return set(self._subscriptions).union(*(order.channels for order in self._wished))

    @property
    def waiting(self) -> int:
        """How many orders are not carried out yet."""
        return len(self._wished)

    @property
    def _wished(self) -> list[Order]:
        return [*self._orders, *([self._order] if self._order else [])]

    def subscribe(self, order: Order) -> None:
        """Carry out an order, after those that were given before."""
        self._orders.append(order)
        self._leave()
        self._go_on()

    def unsubscribe(self, channels: AbstractSet[Channel]) -> None:
        """Send nothing of these any more."""
        self._leave()
        self._drop(channels)
        for order in self._wished:
            order.subscriptions = [s for s in order.subscriptions if s.channel not in channels]
        self._go_on()

    def congested(self) -> None:
        """More is unsent than may be: leave the live ones, and go on at the reader's own pace."""
        self._leave()
        self._go_on()

    def fail(self) -> None:
        """End, since it is not known any more what was sent."""
        self.close()
        self._sink.close(Ending.FAILED)

    def send_away(self) -> None:
        """End, since others wait for its reader in vain."""
        self.close()
        self._sink.close(Ending.TOO_SLOW)

    @property
    def has_room(self) -> bool:
        """Whether its reader takes more at once."""
        return not self._sink.congested

    async def room(self) -> None:
        """Wait until its reader takes more. Raises Stalled."""
        await room_in(self._sink)

    def close(self) -> None:
        """Stop for good."""
        self._closed = True
        self._hub.depart(self)
        self._leave()
        self._drop(set(self._subscriptions))
        if self._task is not None:
            self._task.cancel()

    def hear(
        self, channel: Channel, message: Mapping[str, Json], encoded: dict[object, bytes]
    ) -> None:
        """Send what is never in the log; combined with the next ones while the reader is slow, but
        for replays, which wait for their readers."""
        waits = channel.family == "replay"
        if not waits and (self._sink.congested or self._unheard is not None):
            self._unheard = self._unheard or Unheard()
            self._unheard.add(channel, message)
            self._leave()
            self._go_on()
            return
        form = self._sink.format
        if form not in encoded:
            encoded[form] = form.volatile(channel, message)
        self._sink.write(encoded[form])

    def _leave(self) -> None:
        if self._cohort is not None:
            self._position = self._hub.leave(self, self._cohort)
            self._cohort = None

    def _go_on(self) -> None:
        if self._task is None and self._cohort is None and not self._closed:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while not self._closed and not await self._step():
                pass
        except Stalled:
            self._sink.close(Ending.TOO_SLOW)
        except Exception:  # the runner: nobody would hear of a bug, and the subscriber of nothing
            log.exception("stream_failed")
            self._sink.close(Ending.FAILED)
        finally:
            self._task = None

    async def _step(self) -> bool:
        """Send a piece of what is missing; True when it has gone live, or has nothing to follow."""
        await self._room()
        if self._orders and self._order is None:
            await self._carry_out(self._orders.popleft())
        elif self._position is not None and self._position < self._hub.position:
            await self._send_more(self._hub.position)
        elif self._order is not None:
            order, self._order = self._order, None
            order.caught_up(self._position or self._hub.position)
        elif not self._interest.subscriptions:
            self._position = None
            return True
        else:
            # Nothing was awaited since the positions were compared.
            self._cohort = self._hub.join(self, self._sink, self._interest)
            return True
        return False

    async def _carry_out(self, order: Order) -> None:
        self._order = order
        if not await order.begin():
            self._order = None
            return
        if self._position is None:
            self._position = order.after
            self._told_at = asyncio.get_running_loop().time()
        while self._position < order.after:
            await self._room()
            await self._send_more(order.after)
        await self._send_history(order, up_to=self._position)
        self._drop(order.channels)
        self._subscriptions |= {one.channel: one for one in order.subscriptions}
        volatile = [channel for channel in self._subscriptions if channel.volatile]
        self._hub.listeners.listen(self, self._tenant, volatile)
        self._become_interested()

    async def _send_history(self, order: Order, *, up_to: int) -> None:
        """What the channels of an order held before the place where this stream stands."""
        after = order.after
        while after < up_to:
            wish = order.subscriptions
            interest = Interest.of(self._tenant, wish)
            async with aclosing(self._history(interest, after, up_to)) as chunks:
                async for chunk in chunks:
                    await self._room()
                    if order.subscriptions is not wish:
                        break  # What was dropped meanwhile is not sent any more.
                    self._sink.write(chunk.frames)
                    after = chunk.position

    async def _send_more(self, until: int) -> None:
        """Go on with what is subscribed to, at most to a position."""
        interest, after = self._interest, self._position
        assert after is not None, "something is followed"
        recent = None
        if until == self._hub.position:
            recent = self._hub.chunks(self._sink.format, interest, after=after)
        if recent is not None:
            for chunk in recent:
                self._give(chunk)
                if self._sink.congested:
                    return
            return
        async with aclosing(self._history(interest, after, until)) as chunks:
            async for chunk in chunks:
                await self._room()
                if self._interest is not interest:
                    return
                self._give(chunk)

    def _give(self, chunk: Chunk) -> None:
        self._sink.write(chunk.frames or self._cursor_moved(chunk.position))
        self._position = chunk.position

    async def _history(self, interest: Interest, after: int, until: int) -> Chunks:
        """What stands in the log between two positions, the next page read ahead of its turn."""
        ahead: asyncio.Task[Read] | None = None
        try:
            while after < until:
                page, after = await (ahead or self._page(interest, after, until))
                ahead = None
                if after < until and not self._sink.congested:
                    ahead = asyncio.create_task(self._page(interest, after, until))
                form, wanted = self._sink.format, interest.channel_for
                for chunk in self._hub.chunks_of(form, page, wanted, up_to=after):
                    yield chunk
        finally:
            if ahead is not None:
                ahead.cancel()

    async def _page(self, interest: Interest, after: int, until: int) -> Read:
        while True:
            try:
                return await self._hub.history(interest, after=after, until=until)
            except DatabaseUnavailable as error:
                if cancelled():
                    raise asyncio.CancelledError from error
                await asyncio.sleep(AWAY_PAUSE_SECONDS)

    def _cursor_moved(self, position: int) -> bytes:
        """A long way through history without a match is told of now and then."""
        now = asyncio.get_running_loop().time()
        if now - self._told_at < POSITION_SECONDS:
            return b""
        self._told_at = now
        return self._sink.format.position(self._hub.cursor(position))

    async def _room(self) -> None:
        """Wait until the sink takes more, and say first what was not heard meanwhile. Raises
        Stalled."""
        await room_in(self._sink)
        while self._unheard is not None:
            unheard, self._unheard = self._unheard, None
            for channel, message in unheard.messages():
                self._sink.write(self._sink.format.volatile(channel, message))
            await room_in(self._sink)

    def _drop(self, channels: AbstractSet[Channel]) -> None:
        volatile = [c for c in channels if c.volatile and c in self._subscriptions]
        self._hub.listeners.leave(self, self._tenant, volatile)
        for channel in channels:
            self._subscriptions.pop(channel, None)
        self._become_interested()

    def _become_interested(self) -> None:
        former = self._interest
        self._interest = Interest.of(self._tenant, self._subscriptions.values())
        more = self._interest.needs_labels - former.needs_labels
        if more:
            self._hub.want_labels(self._tenant, more)
