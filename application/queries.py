"""What can be asked of the read models and the log, and the port that answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from application.bells import Bells
from application.cursor import Cursor, CursorAhead
from application.erasure.disclosure import Disclosure
from application.ports import Record
from application.projections.activity_feed import Activity
from application.projections.agent_roster import RosterLine
from application.projections.task_board import TaskCard
from application.waiting import waiting_reason
from application.watermarks import EVENTUALLY_SECONDS, LOG, SOON_SECONDS, Watermarks
from domain.audit_trail import Audit
from domain.errors import AggregateNotFound, EpochEnded, ReadModelBehind
from domain.task_shape import FINAL, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks a list shows; empty fields do not restrict."""

    status: str | None = None
    kind: str | None = None
    agent_id: UUID | None = None
    labels: dict[str, str] = field(default_factory=dict)
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are read: after a position, up to and including another, of a type, of an
    aggregate.

    `tenant` None reads those of every tenant.
    """

    tenant: str | None
    after: int = 0
    until: int | None = None
    topic: str | None = None
    aggregate_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """A roster line with what only telemetry and the board know. `load` is 0 idle .. 100 full."""

    line: RosterLine
    running: int
    cpu: float | None
    memory: float | None
    queue: int
    load: float | None
    last_heard_at: datetime | None

    @property
    def state(self) -> str:
        """In a word: retired, draining, available, offline, or registered (never heard of)."""
        if self.line.standing != "active":
            return self.line.standing
        if self.line.online:
            return "available"
        return "offline" if self.last_heard_at else "registered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """How many agents there are of each state (see AgentStatus), but for those that are retired.

    `busy`: of the available ones, those with no slot free. `slots`: those of the available ones.
    `running`: attempts that any of them holds.
    """

    registered: int
    available: int
    offline: int
    draining: int
    busy: int
    slots: int
    running: int


@dataclass(slots=True)
class TaskState:
    """What changes of a task, as on its card."""

    task_id: UUID
    tenant: str
    requires: list[str]
    version: int
    position: int
    status: str
    attempt: int
    failures: int
    progress: float
    result: Any
    error_code: str | None
    error_message: str | None
    agent_id: UUID | None


CardT = TypeVar("CardT", TaskCard, TaskState)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStanding(Generic[CardT]):
    """A card and why the task does not run, when it does not: see `waiting.WAITING_REASONS`."""

    card: CardT
    waiting_reason: str | None


class ReadModels(Protocol):
    """Answers questions from the read models. Each method raises DatabaseUnavailable."""

    async def task(self, tenant: str, task_id: UUID) -> TaskCard | None:
        """One card, whole."""

    async def task_state(self, tenant: str, task_id: UUID) -> TaskState | None:
        """What changes of one. Many at the same moment cost little more than one."""

    async def tasks_among(self, tenant: str, task_ids: Sequence[UUID]) -> AbstractSet[UUID]:
        """Those that are tasks of the tenant. Many at the same moment cost little more than
        one."""

    async def tasks(
        self, tenant: str, wanted: TaskFilter, *, before: UUID | None, limit: int
    ) -> Sequence[TaskCard]:
        """Cards without input and result, newest id first, those with an id below `before`."""

    async def task_counts(self, tenant: str) -> dict[str, int]:
        """How many tasks there are of each status that occurs."""

    async def agent(self, tenant: str, agent_id: UUID) -> AgentStatus | None:
        """One agent."""

    async def agents_among(self, tenant: str, agent_ids: Sequence[UUID]) -> AbstractSet[UUID]:
        """Those that are agents of the tenant. Many at the same moment cost little more than
        one."""

    async def agents(
        self, tenant: str, *, after: str | None, limit: int | None
    ) -> Sequence[AgentStatus]:
        """Agents by name, those with a name above `after`; all of them without a limit."""

    async def fleet(self, tenant: str) -> Fleet:
        """How many agents there are, and how busy they are."""

    async def roster(self, tenant: str) -> Sequence[RosterLine]:
        """Every agent, as the log knows it."""

    async def activity(self, tenant: str, *, before: int | None, limit: int) -> Sequence[Activity]:
        """What happened, newest first, before a position."""

    async def events(self, wanted: EventFilter, *, limit: int) -> Sequence[Record]:
        """The log itself, in order."""

    async def checkpoint(self, name: str) -> int:
        """How far a read model has come."""

    async def head(self) -> int:
        """The newest position of the log."""


READ_MODEL_WAIT_SECONDS = 5.0
NO_NEWS = frozenset({Audit.Opened.TOPIC, Audit.Read.TOPIC})
ROSTERS_MAX = 1_000

FoundT = TypeVar("FoundT")
_Among = Callable[[str, Sequence[UUID]], Awaitable[AbstractSet[UUID]]]


class Queries:
    """Questions of one tenant, answered no older than `seen`.

    Every method raises EpochEnded (a cursor of another epoch), ReadModelBehind (the model did not
    reach
    `seen` within 5 s) and DatabaseUnavailable.
    """

    def __init__(
        self,
        models: ReadModels,
        watermarks: Watermarks,
        bells: Bells,
        epoch: int,
        disclosure: Disclosure,
    ) -> None:
        self._models = models
        self._disclosure = disclosure
        self._bells = bells
        self._watermarks = watermarks
        self._epoch = epoch
        self._rosters: dict[str, _Roster] = {}

    async def task(
        self, tenant: str, task_id: UUID, *, seen: Cursor | None
    ) -> TaskStanding[TaskCard]:
        """One task. Raises AggregateNotFound too."""
        await self._reach("task_board", seen)
        card = await self._find("task_board", lambda: self._models.task(tenant, task_id))
        if card is None:
            raise AggregateNotFound("task", task_id)
        return (await self._standings(tenant, [card]))[0]

    async def task_state(
        self, tenant: str, task_id: UUID, *, seen: Cursor | None
    ) -> TaskStanding[TaskState]:
        """What changes of one task. Raises AggregateNotFound too."""
        await self._reach("task_board", seen)
        state = await self._find("task_board", lambda: self._models.task_state(tenant, task_id))
        if state is None:
            raise AggregateNotFound("task", task_id)
        return (await self._standings(tenant, [state]))[0]

    async def task_after(
        self, tenant: str, task_id: UUID, *, version: int, wait_seconds: float, seen: Cursor | None
    ) -> TaskStanding[TaskState]:
        """What changes of one task as soon as its version passes `version`, or as it stands when
        the wait is over.

        A task that has ended is answered at once. Raises AggregateNotFound too.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        while True:
            # Before the look, so that what is folded during it is not waited for in vain.
            with self._bells.listening(task_id) as rung:
                standing = await self.task_state(tenant, task_id, seen=seen)
                remaining = deadline - loop.time()
                ended = standing.card.status in FINAL
                if standing.card.version > version or ended or remaining <= 0:
                    return standing
                await asyncio.wait([rung], timeout=min(remaining, EVENTUALLY_SECONDS))

    async def tasks(
        self,
        tenant: str,
        wanted: TaskFilter,
        *,
        before: UUID | None,
        limit: int,
        seen: Cursor | None,
    ) -> Sequence[TaskStanding[TaskCard]]:
        """Tasks, newest first, without input and result."""
        await self._reach("task_board", seen)
        cards = await self._models.tasks(tenant, wanted, before=before, limit=limit)
        return await self._standings(tenant, cards)

    async def task_counts(
        self, tenant: str, *, seen: Cursor | None
    ) -> tuple[dict[str, int], Cursor]:
        """How many tasks of every status, and a cursor that they are no older than."""
        await self._reach("task_board", seen)
        position = await self._models.checkpoint("task_board")
        counts = await self._models.task_counts(tenant)
        every = {str(status): counts.get(status, 0) for status in TaskStatus}
        return every, Cursor(self._epoch, position)

    async def agent(self, tenant: str, agent_id: UUID, *, seen: Cursor | None) -> AgentStatus:
        """One agent. Raises AggregateNotFound too."""
        await self._reach("agent_roster", seen)
        agent = await self._find("agent_roster", lambda: self._models.agent(tenant, agent_id))
        if agent is None:
            raise AggregateNotFound("agent", agent_id)
        return agent

    async def agents(
        self, tenant: str, *, after: str | None, limit: int, seen: Cursor | None
    ) -> Sequence[AgentStatus]:
        """Agents by name."""
        await self._reach("agent_roster", seen)
        return await self._models.agents(tenant, after=after, limit=limit)

    async def require_tasks(self, tenant: str, task_ids: Sequence[UUID]) -> None:
        """All of them are tasks of the tenant. Raises AggregateNotFound for the first that is
        not."""
        await self._require("task", "task_board", tenant, task_ids, self._models.tasks_among)

    async def require_agents(self, tenant: str, agent_ids: Sequence[UUID]) -> None:
        """All of them are agents of the tenant. Raises AggregateNotFound for the first that is
        not."""
        await self._require("agent", "agent_roster", tenant, agent_ids, self._models.agents_among)

    async def require_things(self, tenant: str, ids: Sequence[UUID]) -> None:
        """Each of them is a task or an agent of the tenant. Raises AggregateNotFound for the first
        that is neither."""
        tasks = await self._models.tasks_among(tenant, ids)
        missing = [one for one in ids if one not in tasks]
        if not missing:
            return
        for model in ("task_board", "agent_roster"):
            await self._wait_for(model, self._watermarks.position(LOG))
        agents = await self._models.agents_among(tenant, missing)
        missing = [one for one in missing if one not in agents]
        tasks = await self._models.tasks_among(tenant, missing) if missing else tasks
        for one in missing:
            if one not in tasks:
                raise AggregateNotFound("task or agent", one)

    async def activity(
        self, tenant: str, *, before: int | None, limit: int, seen: Cursor | None
    ) -> Sequence[Activity]:
        """What happened, newest first."""
        await self._reach("activity_feed", seen)
        found = await self._models.activity(tenant, before=before, limit=limit)
        texts = [(UUID(one.subject.partition("/")[2]), one.text) for one in found]
        shown = await self._disclosure.texts(texts)
        return [replace(one, text=text) for one, text in zip(found, shown, strict=True)]

    async def events(
        self, wanted: EventFilter, *, limit: int, wait_seconds: float
    ) -> tuple[Sequence[Record], int]:
        """Events in log order, and the position up to which they were looked for.

        Waits up to `wait_seconds` for the first one to come; entries of who reads what are no news,
        or those who wait would wake one another for ever. Raises CursorAhead.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        while True:
            head = await self._models.head()
            if wanted.after > head:
                raise CursorAhead(Cursor(self._epoch, wanted.after), head)
            records = await self._models.events(wanted, limit=limit)
            newest = records[-1].position if records else wanted.after
            # What was committed after the head was asked for may be among them already.
            looked_up_to = newest if len(records) == limit else max(head, newest)
            if wanted.until is not None:
                looked_up_to = min(looked_up_to, max(wanted.until, wanted.after))
            remaining = deadline - loop.time()
            past_the_end = wanted.until is not None and head >= wanted.until
            news = any(record.topic not in NO_NEWS for record in records)
            if news or len(records) == limit or remaining <= 0 or past_the_end:
                return await self._disclosure.records(records), looked_up_to
            if not records:
                wanted = replace(wanted, after=looked_up_to)
            await self._watermarks.reached(LOG, head + 1, timeout_seconds=remaining)

    async def head(self) -> int:
        """The newest position of the log."""
        return await self._models.head()

    async def caught_up(self, model: str) -> Cursor:
        """A cursor that the read model has reached, no older than what is committed now."""
        await self._wait_for(model, self._watermarks.position(LOG))
        return Cursor(self._epoch, await self._models.checkpoint(model))

    async def reach(self, model: str, seen: Cursor | None) -> None:
        """Wait for a read model that is asked elsewhere."""
        await self._reach(model, seen)

    async def _reach(self, model: str, seen: Cursor | None) -> None:
        if seen is None:
            return
        if seen.epoch != self._epoch:
            raise EpochEnded(epoch=seen.epoch, current=self._epoch)
        if seen.position > self._watermarks.position(LOG):
            head = await self._models.head()
            if seen.position > head:
                raise CursorAhead(seen, head)
        await self._wait_for(model, seen.position)

    async def _require(
        self, kind: str, model: str, tenant: str, ids: Sequence[UUID], among: _Among
    ) -> None:
        missing = ids

        async def look() -> bool | None:
            nonlocal missing
            found = await among(tenant, missing)
            missing = [one for one in missing if one not in found]
            return None if missing else True

        if ids and not await self._find(model, look):
            raise AggregateNotFound(kind, missing[0])

    async def _find(
        self, model: str, look: Callable[[], Awaitable[FoundT | None]]
    ) -> FoundT | None:
        """Look for a row, and again once everything that was committed before is shown.

        Who submits a task and asks for it at once must not be told that there is none, even when
        they do not say what they have seen. Raises ReadModelBehind.
        """
        looked_at = self._watermarks.position(model)
        found = await look()
        head = self._watermarks.position(LOG)
        if found is not None or looked_at >= head:
            return found
        await self._wait_for(model, head)
        return await look()

    async def _wait_for(self, model: str, position: int) -> None:
        if not await self._watermarks.reached(
            model,
            position,
            timeout_seconds=READ_MODEL_WAIT_SECONDS,
            poll_seconds=SOON_SECONDS,
        ):
            name, wanted = model.replace("_", " "), Cursor(self._epoch, position)
            raise ReadModelBehind(f"The {name} has not reached {wanted} yet.")

    async def _standings(self, tenant: str, cards: Sequence[CardT]) -> list[TaskStanding[CardT]]:
        queued = any(card.status == TaskStatus.QUEUED for card in cards)
        agents = await self._roster(tenant) if queued else ()
        return [
            TaskStanding(card=card, waiting_reason=waiting_reason(card, agents))
            for card in await self._disclosure.rows(cards)
        ]

    async def _roster(self, tenant: str) -> Sequence[RosterLine]:
        """As it is now, unless it was asked for since it last changed.

        Where another process projects, nobody tells of changes, so it is believed for a moment
        only.
        """
        position = self._watermarks.position("agent_roster")
        now = asyncio.get_running_loop().time()
        known = self._rosters.get(tenant)
        if known is None or known.position != position or known.stale_at < now:
            lines = await self._models.roster(tenant)
            known = _Roster(lines, position, now + EVENTUALLY_SECONDS)
            if len(self._rosters) >= ROSTERS_MAX:
                self._rosters.clear()
            self._rosters[tenant] = known
        return known.lines


@dataclass(frozen=True, slots=True)
class _Roster:
    lines: Sequence[RosterLine]
    position: int
    stale_at: float
