"""Why a task went the way it went: every decision on it explained, and made again, from its events
alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.decisions.ports import DecisionLog
from application.decisions.sentences import Names
from application.decisions.telling import StepTold, Telling
from application.erasure.disclosure import Disclosure
from application.lane import Lane
from application.ports import EventLog, Record
from domain.errors import AggregateNotFound
from domain.task import Task

STEPS_MAX = 1_000
"""Of a longer story its beginning and its newest part are told."""
BYTES_MAX = 4 * 2**20
"""Of what stands in the log of the newest part: some 25,000 candidates, or half a second."""
WAITING_MAX = 50
"""A story takes some 10 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A task's steps in order, with the names of the agents in them.

    `truncated`: there are more between the first and the others.
    """

    steps: Sequence[StepTold]
    names: Names
    truncated: bool


class Why:
    """Explains tasks, one at a time and on a thread: a story may be long."""

    def __init__(self, log: DecisionLog, events: EventLog, disclosure: Disclosure) -> None:
        self._log = log
        self._events = events
        self._disclosure = disclosure
        self._lane = Lane(waiting_max=WAITING_MAX)

    async def of(self, tenant: str, task_id: UUID) -> Story:
        """Every step of a task.

        Raises AggregateNotFound, UnreadableEvent, TooMuchFolding, DatabaseUnavailable.
        """
        async with self._lane.turn():
            records, truncated = await self._lane.run(
                self._log.story, tenant, task_id, limit=STEPS_MAX, bytes_max=BYTES_MAX
            )
            if not records or not records[0].topic.startswith("task."):
                raise AggregateNotFound("task", task_id)
            records = await self._disclosure.records(records)
            return await self._lane.run(self._story, tenant, records, truncated)

    def _story(self, tenant: str, records: Sequence[Record], truncated: bool) -> Story:
        entries = [(record, self._events.decode(record)) for record in records]
        names = self._log.names(tenant, _agents_in([event for _, event in entries]))
        steps = _told(entries, names, truncated)
        return Story(steps=steps, names=names, truncated=truncated)


def _agents_in(events: Sequence[AggregateEvent]) -> set[UUID]:
    found = {event.agent_id for event in events if hasattr(event, "agent_id")}
    for event in events:
        if isinstance(event, Task.Assigned):
            found |= {candidate.agent_id for candidate in event.decision.candidates}
    return found


def _told(
    entries: Sequence[tuple[Record, AggregateEvent]], names: Names, truncated: bool
) -> list[StepTold]:
    telling = Telling(names, whole=not truncated)
    told = (telling.tell(record, event) for record, event in entries)
    return [step for step in told if step is not None]
