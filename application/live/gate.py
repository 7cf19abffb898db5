"""What a subscriber may ask for: which channels, and from which place in the log on."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol
from uuid import UUID

from application.access import Principal
from application.cursor import Cursor, CursorAhead
from application.follower import SHOWN
from application.live.channel import Channel
from application.live.interest import Subscription
from application.queries import Queries
from application.watermarks import LOG, Watermarks
from domain.errors import AggregateNotFound, EpochEnded, ReadModelBehind

KIND_OF = {
    "tasks": "task",
    "output": "task",
    "agents": "agent",
    "collaborations": "collaboration",
    "replay": "replay",
}
"""What the one thing is that a channel is of, by its family."""
NOW, START = "now", "start"
HUB_WAIT_SECONDS = 5.0


class KnownReplays(Protocol):
    """The replays of this process."""

    def tenant_of(self, replay_id: UUID) -> str | None:
        """Whose it is; None where there is none."""


class Gate:
    """Lets in what exists, is the principal's to see, and lies in this log."""

    def __init__(
        self,
        queries: Queries,
        watermarks: Watermarks,
        *,
        epoch: int,
        replays: KnownReplays | None = None,
    ) -> None:
        self._queries = queries
        self._replays = replays
        self._watermarks = watermarks
        self._epoch = epoch

    async def subscriptions(
        self,
        principal: Principal,
        channels: Collection[str],
        *,
        types: Collection[str] = (),
        labels: Mapping[str, str] | None = None,
    ) -> list[Subscription]:
        """One for each channel, all with the same filters.

        Raises BadChannel, InsufficientScope, AggregateNotFound (also for what is another
        tenant's), ReadModelBehind, DatabaseUnavailable.
        """
        parsed = [Channel.parse(text) for text in dict.fromkeys(channels)]
        for channel in parsed:
            channel.require(principal)
        await self._require_things(principal.tenant, parsed)
        wanted = frozenset(types), frozenset((labels or {}).items())
        return [Subscription(channel, *wanted) for channel in parsed]

    async def place(self, text: str) -> int:
        """The position that a cursor, `now` or `start` names; the hub has come so far.

        Raises BadCursor, EpochEnded, CursorAhead, ReadModelBehind, DatabaseUnavailable.
        """
        if text == START:
            return 0
        head = self._watermarks.position(LOG)
        if text == NOW:
            return await self.reached(head)
        cursor = Cursor.parse(text)
        if cursor.epoch != self._epoch:
            present = str(Cursor(self._epoch, head))
            raise EpochEnded(epoch=cursor.epoch, current=self._epoch, cursor=present)
        if cursor.position > head:
            head = await self._queries.head()
            if cursor.position > head:
                raise CursorAhead(cursor, head)
            self._watermarks.advance(LOG, head)
        return await self.reached(cursor.position)

    async def reached(self, position: int) -> int:
        """The position, once the hub has come so far: nobody may begin beyond.

        Raises ReadModelBehind.
        """
        wait = HUB_WAIT_SECONDS
        if not await self._watermarks.reached(SHOWN, position, timeout_seconds=wait):
            raise ReadModelBehind("The live feed is behind the log.")
        return position

    async def _require_things(self, tenant: str, channels: Iterable[Channel]) -> None:
        """One look for each kind of thing, whatever number of channels there is."""
        wanted: defaultdict[str, list[UUID]] = defaultdict(list)
        for channel in channels:
            if channel.thing_id is not None:
                wanted[KIND_OF[channel.family]].append(channel.thing_id)
        for thing_id in wanted["collaboration"]:
            raise AggregateNotFound("collaboration", thing_id)
        await self._queries.require_tasks(tenant, wanted["task"])
        await self._queries.require_agents(tenant, wanted["agent"])
        for thing_id in wanted["replay"]:
            if self._replays is None or self._replays.tenant_of(thing_id) != tenant:
                raise AggregateNotFound("replay", thing_id)
