"""One task or agent as of a moment, and how it came there."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from application.causation.ports import BUDGET_BYTES, BUDGET_FACTS, Budget, CausationLog
from application.cursor import Cursor
from application.erasure.disclosure import Disclosure
from application.moments import BeforeHistory, Instant, Moment, Moments, VersionAhead
from application.ports import EventLog, Record
from application.projections.task_board import TaskCard
from application.queries import AgentStatus, TaskStanding
from application.time_travel.frame import BOARD, Frame
from application.time_travel.frames import Frames, event_of
from application.time_travel.ports import History
from application.time_travel.words import told
from application.waiting import waiting_reason
from domain.agent import Standing
from domain.causation import causes_of, relatives
from domain.errors import AggregateNotFound
from domain.task_shape import TaskStatus

PAGE_EVENTS = 1_000
CARDS_EVENTS_MAX = 10_000
"""Folded for one page of tasks: some 300 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentThen:
    """An agent as of a moment, without the readings of its machine. `state` is as
    AgentStatus.state has it."""

    status: AgentStatus
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event in words. `cause` is the cursor of the newest event that it answers."""

    record: Record
    text: str
    cause: Cursor | None


class Things:
    """Reads of one thing of a tenant. They come from the log and not from a read model, so they are
    older than nothing that was committed; `seen` has only to be a cursor of this log.

    Every method raises AggregateNotFound, also for what is another tenant's, and what
    `Moments.position` raises; BeforeHistory for a moment before the thing; VersionAhead;
    UnreadableHistory, DatabaseUnavailable. Those that fold much raise TooMuchFolding, FramesBehind.
    """

    def __init__(
        self,
        *,
        history: History,
        frames: Frames,
        moments: Moments,
        log: EventLog,
        causation: CausationLog,
        disclosure: Disclosure,
    ) -> None:
        self._history = history
        self._frames = frames
        self._moments = moments
        self._log = log
        self._causation = causation
        self._disclosure = disclosure

    async def task(
        self, tenant: str, task_id: UUID, moment: Moment | None, *, seen: Cursor | None = None
    ) -> tuple[TaskStanding[TaskCard], Instant]:
        """A task, whole, and what the moment came to."""
        position = await self._position("task", tenant, task_id, moment, seen)
        card = await self._card(task_id, position)
        if card.status == TaskStatus.QUEUED:
            of_card = partial(reasons, [card])
            _, [reason] = await self._frames.looked_at(tenant, position, of_card)
        else:
            reason = waiting_reason(card, ())
        [card] = await self._disclosure.rows([card])
        return TaskStanding(card=card, waiting_reason=reason), await self._moments.at(position)

    async def agent(
        self, tenant: str, agent_id: UUID, moment: Moment | None, *, seen: Cursor | None = None
    ) -> tuple[AgentThen, Instant]:
        """An agent, with the attempts that it had done and held."""
        position = await self._position("agent", tenant, agent_id, moment, seen)
        frame = await self._frames.at(tenant, position)
        [agent] = await self.agents(frame, [agent_id])
        return agent, await self._moments.at(position)

    async def agents(self, frame: Frame, agent_ids: Sequence[UUID]) -> list[AgentThen]:
        """Some agents of a frame. Raises DatabaseUnavailable alone."""
        lines = [frame.lines[agent_id] for agent_id in agent_ids]
        silent = [
            line.agent_id for line in lines if not line.online and line.standing == Standing.ACTIVE
        ]
        heard = await asyncio.to_thread(self._history.ever_online, silent, until=frame.position)
        found = []
        for line in lines:
            status = AgentStatus(
                line=line,
                running=frame.running[line.agent_id],
                cpu=None,
                memory=None,
                queue=0,
                load=None,
                last_heard_at=None,
            )
            state = "offline" if line.agent_id in heard else status.state
            found.append(AgentThen(status=status, state=state))
        return found

    async def cards(self, task_ids: Sequence[UUID], position: int) -> list[TaskCard]:
        """Some tasks as of a position, in the order given, with their messages: the first of them,
        and as many more as have not too many events."""
        if not task_ids:
            return []
        found = await self._frames.lane.once(self._cards, task_ids, position)
        return await self._disclosure.rows(found or [await self._card(task_ids[0], position)])

    async def story(
        self,
        kind: str,
        tenant: str,
        thing_id: UUID,
        *,
        after_version: int,
        limit: int,
        seen: Cursor | None = None,
    ) -> list[Told]:
        """Its events in words, by version."""
        position = await self._position(kind, tenant, thing_id, None, seen)
        records = await asyncio.to_thread(
            self._history.of_aggregate,
            thing_id,
            after_version=after_version,
            until=position,
            limit=limit,
        )
        causes = await asyncio.to_thread(self._causes, tenant, records)
        return [
            Told(
                record=record,
                text=told(event_of(self._log, record)),
                cause=causes.get(record.position),
            )
            for record in await self._disclosure.records(records)
        ]

    async def _position(
        self,
        kind: str,
        tenant: str,
        thing_id: UUID,
        moment: Moment | None,
        seen: Cursor | None,
    ) -> int:
        if seen is not None:
            await self._moments.require_known(seen)
        first = await asyncio.to_thread(self._history.at_version, thing_id, 1)
        is_it = first is not None and first.topic.startswith(f"{kind}.")
        if first is None or not is_it or first.tenant != tenant:
            raise AggregateNotFound(kind, thing_id)
        if moment is not None and moment.version is not None:
            return await self._of_version(thing_id, moment.version)
        with suppress(BeforeHistory):
            position = await self._moments.position(moment)
            if position >= first.position:
                return position
        nearest = Cursor(self._moments.epoch, first.position)
        raise BeforeHistory(str(moment), nearest, of=f" of this {kind}")

    async def _of_version(self, thing_id: UUID, version: int) -> int:
        found = await asyncio.to_thread(self._history.at_version, thing_id, version)
        if found is None:
            last = await asyncio.to_thread(self._history.last_of, thing_id)
            assert last is not None, "it has a first event"
            raise VersionAhead(version, last.version)
        return found.position

    async def _card(self, task_id: UUID, position: int) -> TaskCard:
        """Page by page: of a task that runs for days, progress fills many."""
        card, page = await asyncio.to_thread(self._evolved, task_id, None, position)
        while len(page) == PAGE_EVENTS:
            card, page = await self._frames.lane.once(self._evolved, task_id, card, position)
        assert card is not None, "the position is not before its first event"
        return card

    def _evolved(
        self, task_id: UUID, card: TaskCard | None, until: int
    ) -> tuple[TaskCard | None, Sequence[Record]]:
        version = card.version if card else 0
        page = self._history.of_aggregate(
            task_id, after_version=version, until=until, limit=PAGE_EVENTS
        )
        for record in page:
            card = BOARD.evolve(card, record, event_of(self._log, record))
        return card, page

    def _cards(self, task_ids: Sequence[UUID], position: int) -> list[TaskCard]:
        cards: dict[UUID, TaskCard | None] = {}
        records = self._history.of_aggregates(task_ids, until=position, limit=CARDS_EVENTS_MAX)
        for record in records:
            of = record.aggregate_id
            cards[of] = BOARD.evolve(cards.get(of), record, event_of(self._log, record))
        if len(records) == CARDS_EVENTS_MAX:
            # The last one may not be all there.
            cards.popitem()
        return [card for card in cards.values() if card is not None]

    def _causes(self, tenant: str, records: Sequence[Record]) -> dict[int, Cursor]:
        """By position, of those that answer something."""
        if not records:
            return {}
        positions = [one.position for one in records]
        budget = Budget(facts=BUDGET_FACTS, bytes=BUDGET_BYTES)
        facts = self._causation.facts_at(tenant, positions, budget=budget)
        concerned = {facts[0].aggregate_id, *(of for fact in facts for of in relatives(fact))}
        others = self._causation.facts_before(
            tenant, concerned, before=positions[-1], budget=budget
        )
        found = {fact.position: causes_of(fact, others) for fact in facts}
        epoch = self._moments.epoch
        return {position: Cursor(epoch, causes[-1]) for position, causes in found.items() if causes}


def reasons(cards: Sequence[TaskCard], frame: Frame) -> list[str | None]:
    """Why these do not run, each. Some 1 us for each agent and card."""
    agents = list(frame.lines.values())
    return [waiting_reason(card, agents) for card in cards]
