"""An export held against what the log has: what of it is here already, and what can be taken in.

Nothing here waits or writes: it is done on a thread, over aggregates of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from eventsourcing.domain import AggregateEvent

from application.erasure.sealing import Sealing
from application.imports.lines import Line
from application.imports.personal import sealed, without_erased
from application.imports.refusals import (
    AgentIdDiffers,
    AgentsMissing,
    BadEvent,
    HistoryDiffers,
    HistoryIncomplete,
    IdTaken,
    ImportTooLarge,
)
from application.ports import Entry, EventLog, Record, UnreadableEvent
from domain.agent import Agent, agent_id_of
from domain.aggregate import Aggregate, FirstEvent
from domain.catalogue import EVENTS, aggregate_of
from domain.succession import agent_named_by, is_half, may_follow
from domain.task import Task

EVENTS_MAX = 10_000
BYTES_MAX = 8 * 2**20
"""New ones: they go into the log in one append, of the size that a batch of commands may have."""
TASK_ID_VERSION = 7
"""Those of what else is in the log follow from something, and must not be taken beforehand."""
CLOCKS_APART_MAX = timedelta(minutes=5)
FIRST_POSSIBLE, LAST_POSSIBLE = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(3000, 1, 1, tzinfo=UTC),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What an import meets: the aggregates that it names, of whatever tenant they are, and the
    events of its own ones as they may be shown, by aggregate and version."""

    aggregates: Mapping[UUID, Aggregate]
    events: Mapping[tuple[UUID, int], Record]


@dataclass(slots=True, kw_only=True)
class Taken:
    """What there is to be recorded: entries in order, and the aggregates as they leave them, with
    the versions that they stood at before."""

    entries: list[Entry] = field(default_factory=list)
    aggregates: dict[UUID, Aggregate] = field(default_factory=dict)
    former_versions: dict[UUID, int] = field(default_factory=dict)
    skipped: int = 0


class Folding:
    """One import, line by line; each aggregate of it begins as it is here, or not at all."""

    def __init__(
        self,
        tenant: str,
        here: Here,
        subjects: Mapping[UUID, UUID],
        *,
        log: EventLog,
        sealing: Sealing,
        now: datetime,
    ) -> None:
        """`subjects`: who is who here, by the pseudonyms of the export."""
        self._tenant = tenant
        self._here = here
        self._subjects = subjects
        self._log = log
        self._sealing = sealing
        self._latest = now + CLOCKS_APART_MAX
        self._taken = Taken()
        self._seen: dict[UUID, int] = {}
        self._half: dict[UUID, Line] = {}
        self._missing: set[UUID] = set()
        self._bytes = 0

    def fold(self, lines: Iterable[Line]) -> Taken:
        """All of it. Raises BadEvent, HistoryDiffers, HistoryIncomplete, IdTaken, AgentIdDiffers,
        AgentsMissing, ImportTooLarge, ExportLocked, SubjectErased, SubjectLocked."""
        for line in lines:
            self._require_next(line)
            if line.version <= self._former_version(line.aggregate_id):
                self._require_equal(line)
                self._taken.skipped += 1
            else:
                self._take(line)
        for line in self._half.values():
            raise HistoryIncomplete(line.number, line.aggregate_id, wanted=line.version + 1)
        if self._missing:
            raise AgentsMissing(self._missing)
        return self._taken

    def _require_next(self, line: Line) -> None:
        """Raises HistoryIncomplete, BadEvent, IdTaken."""
        aggregate_id = line.aggregate_id
        if aggregate_id not in self._seen:
            self._require_own(aggregate_id, aggregate_of(line.topic))
            wanted = self._former_version(aggregate_id) + 1
            if line.version > wanted:
                raise HistoryIncomplete(line.number, aggregate_id, wanted=wanted)
        elif line.version <= self._seen[aggregate_id]:
            raise BadEvent(line.number, f"version {line.version} of {aggregate_id} came before")
        elif line.version > self._seen[aggregate_id] + 1:
            wanted = self._seen[aggregate_id] + 1
            raise HistoryIncomplete(line.number, aggregate_id, wanted=wanted)
        self._seen[aggregate_id] = line.version

    def _require_own(self, aggregate_id: UUID, *kinds: type[Aggregate]) -> None:
        found = self._here.aggregates.get(aggregate_id)
        if found is not None and (found.tenant != self._tenant or type(found) not in kinds):
            raise IdTaken(aggregate_id)

    def _former_version(self, aggregate_id: UUID) -> int:
        found = self._here.aggregates.get(aggregate_id)
        return found.version if found else 0

    def _require_equal(self, line: Line) -> None:
        """What is here already has to be the same. Raises HistoryDiffers."""
        here = self._here.events.get((line.aggregate_id, line.version))
        data = self._data(line)
        if here is None or (here.topic, here.actor, here.command_id, here.correlation_id) != (
            line.topic,
            line.actor,
            line.command_id,
            line.correlation_id,
        ):
            raise HistoryDiffers(line.number, line.aggregate_id, line.version)
        there = self._state(self._event(line, data))
        one, other = without_erased(line.topic, self._state(self._log.decode(here)), there)
        if one != other:
            raise HistoryDiffers(line.number, line.aggregate_id, line.version)

    def _state(self, event: AggregateEvent) -> dict[str, Any]:
        state: dict[str, Any] = orjson.loads(self._log.encode(event))
        return state

    def _take(self, line: Line) -> None:
        aggregate_id, taken = line.aggregate_id, self._taken
        aggregate = taken.aggregates.get(aggregate_id) or self._here.aggregates.get(aggregate_id)
        data = self._data(line)
        sealed(line, data, aggregate if isinstance(aggregate, Task) else None, self._sealing)
        event = self._event(line, data)
        self._require_possible(line, aggregate, event)
        taken.former_versions.setdefault(aggregate_id, self._former_version(aggregate_id))
        # Folded again, should it have to be: what was loaded stays as it was for the next try.
        evolved = event.mutate(copied(aggregate) if aggregate is not None else None)
        assert isinstance(evolved, Aggregate), "it is of the catalogue"
        taken.aggregates[aggregate_id] = evolved
        if line.correlation_id != evolved.correlation_id:
            raise BadEvent(line.number, "its correlation is not that of its family")
        record = self._record(line, event)
        self._bytes += len(record.state)
        if len(taken.entries) == EVENTS_MAX or self._bytes > BYTES_MAX:
            raise ImportTooLarge("more new events", f"{EVENTS_MAX:,} of them, and 8 MiB")
        taken.entries.append((record, event))

    def _data(self, line: Line) -> dict[str, Any]:
        """The event's own fields, as they are here: of our tenant, about our subjects."""
        data: dict[str, Any] = orjson.loads(line.data)
        if issubclass(EVENTS[line.topic], FirstEvent):
            data["tenant"] = self._tenant
        if line.subject_id is not None:
            data["subject_id"] = str(self._subjects[line.subject_id])
        return data

    def _event(self, line: Line, data: dict[str, Any]) -> AggregateEvent:
        """In its newest shape; the export does not say which one it is of. Raises BadEvent."""
        newest = getattr(EVENTS[line.topic], "class_version", 1)
        for version in range(newest, 0, -1):
            state = {"timestamp": line.time, **data}
            if newest > 1:
                state["class_version"] = version
            try:
                return self._log.decode(self._record_of(line, orjson.dumps(state)))
            except UnreadableEvent:
                continue
        raise BadEvent(line.number, f"its data is not that of {line.topic}")

    def _require_possible(
        self, line: Line, aggregate: Aggregate | None, event: AggregateEvent
    ) -> None:
        for value in vars(event).values():
            if isinstance(value, datetime) and not FIRST_POSSIBLE <= value < LAST_POSSIBLE:
                raise BadEvent(line.number, f"{value} is no time of ours")
        if event.timestamp > self._latest:
            raise BadEvent(line.number, f"it happened at {line.time}, and that is yet to come")
        if isinstance(event, Task.Submitted) and line.aggregate_id.version != TASK_ID_VERSION:
            raise BadEvent(line.number, f"{line.aggregate_id} is no id that a task has")
        if isinstance(event, Agent.Registered):
            wanted = agent_id_of(self._tenant, event.name)
            if wanted != line.aggregate_id:
                raise AgentIdDiffers(line.number, event.name, wanted=wanted)
        self._require_order(line, aggregate, event)
        for relative in line.relatives:
            self._require_own(relative, Task)
        if isinstance(event, Task.Event | Task.Submitted):
            self._meet_agent(agent_named_by(event))

    def _require_order(
        self, line: Line, aggregate: Aggregate | None, event: AggregateEvent
    ) -> None:
        half = self._half.pop(line.aggregate_id, None)
        is_possible = may_follow(aggregate, event)
        if not is_possible or (half is not None and not isinstance(event, Task.Failed)):
            raise BadEvent(line.number, f"{line.topic} cannot have happened then")
        if is_half(event):
            self._half[line.aggregate_id] = line

    def _meet_agent(self, agent_id: UUID | None) -> None:
        if agent_id is None or agent_id in self._taken.aggregates:
            return
        self._require_own(agent_id, Agent)
        if agent_id not in self._here.aggregates:
            self._missing.add(agent_id)

    def _record(self, line: Line, event: AggregateEvent) -> Record:
        # As we write it, whoever wrote it before.
        return self._record_of(line, self._log.encode(event))

    def _record_of(self, line: Line, state: bytes) -> Record:
        return Record(
            aggregate_id=line.aggregate_id,
            version=line.version,
            topic=line.topic,
            state=state,
            tenant=self._tenant,
            actor=line.actor,
            command_id=line.command_id,
            correlation_id=line.correlation_id,
            # A cursor of another log would be taken for one of ours.
            causation_id=None,
            traceparent=line.traceparent,
        )


def copied(aggregate: Aggregate) -> Aggregate:
    """One that evolves by itself: evolution replaces what an aggregate remembers, and changes
    nothing of it in place."""
    twin: Aggregate = object.__new__(type(aggregate))
    vars(twin).update(vars(aggregate), _pending_events=[])
    return twin
