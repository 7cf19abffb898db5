"""What a subscriber begins with: the rows of the read models, as the lists of HTTP show them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from application.live.channel import Channel
from application.live.interest import Subscription
from application.queries import TaskFilter
from interfaces.http.ports import ControlPlane
from interfaces.http.schemas.agents import agent_of
from interfaces.http.schemas.tasks import summary_of

READ_MODELS = {"tasks": "task_board", "agents": "agent_roster"}
ROWS_MAX = 200

Page = dict[str, Any]
Rows = Sequence[Any]


class Snapshot:
    """The rows behind some channels, page by page, and a cursor that none of them is older than.

    It is taken while the log goes on, without a long transaction: a row may be newer than the
    cursor, and says so by its version.
    """

    def __init__(
        self, process: ControlPlane, tenant: str, subscriptions: Sequence[Subscription]
    ) -> None:
        self._process = process
        self._tenant = tenant
        self._subscriptions = subscriptions

    async def begin(self) -> int:
        """The position of the cursor. Raises ReadModelBehind, DatabaseUnavailable."""
        families = {one.channel.family for one in self._subscriptions}
        models = [READ_MODELS[family] for family in sorted(families & READ_MODELS.keys())]
        if not models:
            return await self._process.gate.place("now")
        cursors = [await self._process.queries.caught_up(model) for model in models]
        return await self._process.gate.reached(min(cursors).position)

    async def pages(self) -> AsyncIterator[Page]:
        """`{"channel", "items", "last"}`, at least one of each channel that has a read model.

        Raises ControlPlaneError.
        """
        for one in self._subscriptions:
            if one.channel.family in READ_MODELS:
                async for items, last in self._rows(one.channel, dict(one.labels)):
                    yield {"channel": str(one.channel), "items": items, "last": last}

    async def _rows(
        self, channel: Channel, labels: dict[str, str]
    ) -> AsyncIterator[tuple[Rows, bool]]:
        if channel.family == "tasks":
            async for page in self._tasks(channel, labels):
                yield page
        else:
            async for page in self._agents(channel, labels):
                yield page

    async def _tasks(
        self, channel: Channel, labels: dict[str, str]
    ) -> AsyncIterator[tuple[Rows, bool]]:
        queries, epoch = self._process.queries, self._process.epoch
        if channel.thing_id is not None:
            standing = await queries.task(self._tenant, channel.thing_id, seen=None)
            passes = labels.items() <= standing.card.labels.items()
            yield [summary_of(standing, epoch)] if passes else [], True
            return
        before, last = None, False
        while not last:
            found = await queries.tasks(
                self._tenant, TaskFilter(labels=labels), before=before, limit=ROWS_MAX, seen=None
            )
            last = len(found) < ROWS_MAX
            before = found[-1].card.task_id if found else None
            yield [summary_of(standing, epoch) for standing in found], last

    async def _agents(
        self, channel: Channel, labels: dict[str, str]
    ) -> AsyncIterator[tuple[Rows, bool]]:
        queries, epoch = self._process.queries, self._process.epoch
        after, last = None, False
        while not last:
            if channel.thing_id is not None:
                found, last = [await queries.agent(self._tenant, channel.thing_id, seen=None)], True
            else:
                found = list(
                    await queries.agents(self._tenant, after=after, limit=ROWS_MAX, seen=None)
                )
                last = len(found) < ROWS_MAX
                after = found[-1].line.name if found else None
            passing = [one for one in found if labels.items() <= one.line.labels.items()]
            yield [agent_of(agent, epoch) for agent in passing], last
