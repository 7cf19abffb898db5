"""What the writer works on: requests that wait for their outcomes, and batches of those decided."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from application.answers import Outcome, answer_to_keep
from application.commands import Command, RequestKey
from application.control_plane import Decided
from application.ports import Entry, EventLog, KeptRequest, StoredAggregate
from domain.aggregate import Aggregate

PATIENCE_SECONDS = 5.0
"""How long a request may wait for a database that is away before it is told to come back."""
SNAPSHOT_EVERY = 100
"""Events between two snapshots of an aggregate; loading then reads at most that many."""


@dataclass(slots=True, eq=False)
class Request:
    """Commands that were handed over together, and who waits for their outcomes.

    `decided` holds what is not yet committed, `failed` what never will be, by the command's place.
    """

    commands: Sequence[Command]
    key: RequestKey | None
    answer: "asyncio.Future[list[Outcome]]"
    patience_ends: float = field(default_factory=lambda: time.monotonic() + PATIENCE_SECONDS)
    decided: dict[int, Decided] = field(default_factory=dict)
    failed: dict[int, Exception] = field(default_factory=dict)

    @property
    def parts(self) -> list[Decided | Exception]:
        """What became of its commands so far, in order."""
        return [self.failed.get(n) or self.decided[n] for n in range(len(self.commands))]

    @property
    def stands_on(self) -> set[UUID]:
        """The aggregates that hold what was decided, and those that were looked at to refuse."""
        held = (decided.touched for decided in self.decided.values())
        return set().union(*held, *(command.needs for command in self.commands))

    def settle(self, outcomes: list[Outcome]) -> None:
        """Answer, unless nobody waits any more."""
        if not self.answer.done():
            self.answer.set_result(outcomes)

    def refuse(self, error: Exception) -> None:
        """Answer the whole of it with an error."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests that were decided, and what they add to the log.

    Made before anything else is decided: `snapshots` are of aggregates as this batch leaves them.
    """

    requests: list[Request]
    entries: list[Entry]
    kept: list[KeptRequest]
    snapshots: list[StoredAggregate]

    @classmethod
    def of(cls, requests: list[Request], log: EventLog) -> "Batch":
        """Their events in order; each command is told the place of its last, or where it stood."""
        entries: list[Entry] = []
        due: dict[UUID, Aggregate] = {}
        for request in requests:
            for place in sorted(request.decided):
                one = request.decided[place]
                entries.extend(one.entries)
                one.place = len(entries)
                for record, _ in one.entries:
                    if record.version % SNAPSHOT_EVERY == 0:
                        due[record.aggregate_id] = one.touched[record.aggregate_id]
        kept = [
            KeptRequest(key=request.key, answer=answer_to_keep(request.parts))
            for request in requests
            if request.key is not None and request.decided
        ]
        return cls(requests, entries, kept, [log.take_snapshot(one) for one in due.values()])
