"""Why something happened, and what came of it: the graph walked from one event, by generations."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from application.causation.ports import CausationLog
from application.causation.walk import Walk
from application.cursor import Cursor, CursorAhead
from application.erasure.disclosure import Disclosure
from application.lane import Lane
from application.ports import Record
from domain.causation import Fact
from domain.errors import EventNotFound

ITEMS_MAX = 1_000
DEPTH_MAX = 1_000

Follow = Callable[[Walk, Sequence[Fact]], list[Fact]]
"""One generation further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Events with the positions of their causes, the one that was asked for first.

    `truncated`: there is more than was asked for, or than an answer may hold.
    """

    items: Sequence[tuple[Record, tuple[int, ...]]]
    truncated: bool


class Causes:
    """Walks both ways, one walk at a time. Every method raises EventNotFound, CursorAhead,
    TooMuchFolding, DatabaseUnavailable."""

    def __init__(
        self,
        log: CausationLog,
        *,
        board_shown: Callable[[], Awaitable[object]],
        epoch: int,
        disclosure: Disclosure,
    ) -> None:
        """`board_shown` returns when the task board shows what is committed: children are found by
        it."""
        self._log = log
        self._board_shown = board_shown
        self._epoch = epoch
        self._lane = Lane()
        self._disclosure = disclosure

    async def causes(self, tenant: str, position: int, *, depth: int, limit: int) -> Graph:
        """What an event answers, and what that answers, up to `depth` generations and `limit`
        events."""
        async with self._lane.turn():
            walk, begun = await self._lane.run(self._begun, tenant, position)
            walked = await self._walked(walk, begun, _unseen_causes, depth, limit)
        return await self._shown(walk, *walked)

    async def effects(self, tenant: str, position: int, *, depth: int, limit: int) -> Graph:
        """What answers an event, and what answers that, likewise; but for progress, which is told
        in the history of its task. Raises ReadModelBehind too."""
        walk, begun = await self._lane.once(self._begun, tenant, position)
        await self._board_shown()
        async with self._lane.turn():
            walked = await self._walked(walk, begun, Walk.effects_of, depth, limit)
        return await self._shown(walk, *walked)

    async def _walked(
        self, walk: Walk, begun: list[Fact], follow: Follow, depth: int, limit: int
    ) -> tuple[Sequence[Record], bool]:
        """The events, and whether there are more. Each generation is a step of the turn."""
        generation, run = begun, self._lane.run
        for _ in range(depth):
            generation = await run(walk.take, await run(follow, walk, generation), limit)
            if not generation:
                break
        more = bool(await run(follow, walk, generation)) or walk.full
        positions = list(walk.causes)
        records = await run(self._log.records, walk.tenant, positions)
        return records, more or len(records) < len(positions)

    def _begun(self, tenant: str, position: int) -> tuple[Walk, list[Fact]]:
        walk = Walk(self._log, tenant)
        found = walk.at({position})
        if not found:
            cursor, head = Cursor(self._epoch, position), self._log.head()
            raise CursorAhead(cursor, head) if position > head else EventNotFound(cursor)
        return walk, walk.take(found, 1)

    async def _shown(self, walk: Walk, records: Sequence[Record], truncated: bool) -> Graph:
        shown = await self._disclosure.records(records)
        return Graph(
            items=[(record, walk.causes[record.position]) for record in shown],
            truncated=truncated,
        )


def _unseen_causes(walk: Walk, generation: Sequence[Fact]) -> list[Fact]:
    named = {cause for fact in generation for cause in walk.causes[fact.position]}
    return walk.at(named - walk.causes.keys())
