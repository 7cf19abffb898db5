"""What a restore writes down: the first events of the new epoch."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from application.access import OPERATOR_TENANT
from application.commands import Origin
from application.cursor import Cursor
from application.ids import uuid7
from application.ports import Record
from application.seals.ports import Signer
from domain.aggregate import Aggregate, topic_of
from domain.audit_trail import Asked, Audit
from domain.restoration import Restoration, Store
from domain.task import Task
from domain.task_shape import LEASED

RESTORER = "process/restore"
Encode = Callable[[AggregateEvent], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOrder:
    """The request that a restore is done for, as the audit trail tells of it: who asked, what was
    asked, and with which HTTP status it was answered."""

    origin: Origin
    asked: Asked
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """How an epoch begins: by whose order (None: no service was asked), who signs, and which tasks
    agents held at the cut."""

    order: RestoreOrder | None
    signer: Signer
    encode: Encode
    tasks: Collection[Task]

    def records(self, restored: Restoration, now: datetime) -> list[Record]:
        """`store.restored`, at the position behind `issued`; the order's entry of the audit trail,
        whose first one goes with the former store; then every held task given back unharmed,
        because of the restore: no lease outlives its epoch."""
        signature = self.signer.sign(restored.text).hex()
        restoration = Store.record(uuid7(), restored, signature, tenant=OPERATOR_TENANT, now=now)
        cause = str(Cursor(restored.to_epoch, restored.issued + 1))
        ordered = self.order.origin if self.order else _origin(OPERATOR_TENANT)
        records = self._records(restoration, ordered)
        if self.order is not None:
            trail = Audit.open(uuid7(), tenant=ordered.tenant, now=now)
            trail.record_command(self.order.asked, status=self.order.status, code=None, now=now)
            records += self._records(trail, ordered)
        for task in self.tasks:
            if task.status in LEASED and task.agent_id is not None:
                task.release(task.agent_id, task.attempt, now=now)
                records += self._records(task, _origin(task.tenant, cause))
        return records

    def _records(self, aggregate: Aggregate, origin: Origin) -> list[Record]:
        events: Sequence[AggregateEvent] = aggregate.take_events()
        return [
            Record(
                event.originator_id,
                event.originator_version,
                topic_of(event),
                self.encode(event),
                aggregate.tenant,
                origin.actor,
                origin.command_id,
                aggregate.correlation_id,
                origin.causation_id,
                origin.traceparent,
            )
            for event in events
        ]


def order_members(order: RestoreOrder) -> dict[str, Any]:
    """As JSON, between processes."""
    origin = order.origin
    return {
        "tenant": origin.tenant,
        "actor": origin.actor,
        "command_id": str(origin.command_id),
        "traceparent": origin.traceparent,
        "asked": asdict(order.asked),
        "status": order.status,
    }


def order_from(members: dict[str, Any]) -> RestoreOrder:
    """What `order_members` made."""
    return RestoreOrder(
        origin=Origin(
            tenant=members["tenant"],
            actor=members["actor"],
            command_id=UUID(members["command_id"]),
            traceparent=members["traceparent"],
        ),
        asked=Asked(**members["asked"]),
        status=members["status"],
    )


def _origin(tenant: str, cause: str | None = None) -> Origin:
    """Of what nobody ordered."""
    return Origin(tenant=tenant, actor=RESTORER, command_id=uuid7(), causation_id=cause)
