"""An event of the log as the outside knows it: a CloudEvent (CloudEvents 1.0.2, JSON format)."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from application.cursor import Cursor
from application.ports import Record

NOT_DATA = ("timestamp", "originator_topic", "class_version")
"""What the state of an event holds beside the event's own fields."""


@dataclass(frozen=True, slots=True)
class CloudEvents:
    """The shape of the events of one log, the same in answers, streams and webhooks."""

    store_id: UUID
    epoch: int

    @property
    def source(self) -> str:
        """Which log they are of."""
        return f"/musterroll/{self.store_id}"

    def of(self, record: Record) -> dict[str, Any]:
        """Its state is JSON already, but for the members that stand outside."""
        state = orjson.loads(record.state)
        time = state.get("timestamp") or record.recorded_at.isoformat()
        for name in NOT_DATA:
            state.pop(name, None)
        return {
            "specversion": "1.0",
            "id": str(Cursor(self.epoch, record.position)),
            "source": self.source,
            "type": record.topic,
            "subject": f"{record.topic.partition('.')[0]}/{record.aggregate_id}",
            "time": time.replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": state,
            "version": record.version,
            "actor": record.actor,
            "commandid": record.command_id,
            "correlationid": record.correlation_id,
            "causationid": record.causation_id,
            "traceparent": record.traceparent,
        }

    def encode(self, record: Record) -> bytes:
        """The same as JSON."""
        return orjson.dumps(self.of(record))
