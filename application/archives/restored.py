"""What a restore writes down: the first events of the new epoch."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from eventsourcing.domain import AggregateEvent

from application.access import OPERATOR_TENANT
from application.cursor import Cursor
from application.ids import uuid7
from application.ports import Record
from application.seals.ports import Signer
from domain.aggregate import Aggregate, topic_of
from domain.restoration import Restoration, Store
from domain.task import Task
from domain.task_shape import LEASED

RESTORER = "process/restore"
Encode = Callable[[AggregateEvent], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """How an epoch begins: who wanted it, who signs, and which tasks agents held at the cut."""

    actor: str
    signer: Signer
    encode: Encode
    tasks: Collection[Task]

    def records(self, restored: Restoration, now: datetime) -> list[Record]:
        """`store.restored`, at the position behind `issued`; then every held task given back
        unharmed, because of it: no lease outlives its epoch."""
        signature = self.signer.sign(restored.text).hex()
        restoration = Store.record(uuid7(), restored, signature, tenant=OPERATOR_TENANT, now=now)
        cause = str(Cursor(restored.to_epoch, restored.issued + 1))
        records = self._records(restoration, self.actor, None)
        for task in self.tasks:
            if task.status in LEASED and task.agent_id is not None:
                task.release(task.agent_id, task.attempt, now=now)
                records += self._records(task, RESTORER, cause)
        return records

    def _records(self, aggregate: Aggregate, actor: str, cause: str | None) -> list[Record]:
        events: Sequence[AggregateEvent] = aggregate.take_events()
        command_id = uuid7()
        return [
            Record(
                event.originator_id,
                event.originator_version,
                topic_of(event),
                self.encode(event),
                aggregate.tenant,
                actor,
                command_id,
                aggregate.correlation_id,
                cause,
                None,
            )
            for event in events
        ]
