"""An event of the log as the outside knows it: a CloudEvent (CloudEvents 1.0.2, JSON format)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson

from application.ports import Record

NOT_DATA = ("timestamp", "originator_topic", "class_version")
"""What the state of an event holds beside the event's own fields."""
TIME_FIRST = b'{"timestamp":"'
RARE = (b'"originator_topic"', b'"class_version"')
VERSION_LAST = b',"class_version":'


@dataclass(frozen=True)
class CloudEvents:
    """The shape of the events of one log, the same in answers, streams and webhooks."""

    store_id: UUID
    epoch: int

    @cached_property
    def source(self) -> str:
        """Which log they are of."""
        return f"/musterroll/{self.store_id}"

    def of(self, record: Record) -> dict[str, Any]:
        """As Python has it."""
        event: dict[str, Any] = orjson.loads(self.encode(record))
        return event

    def encode(self, record: Record) -> bytes:
        """As JSON."""
        time, data = _time_and_data(record)
        return orjson.dumps(
            {
                "specversion": "1.0",
                "id": f"{self.epoch}:{record.position}",
                "source": self.source,
                "type": record.topic,
                "subject": f"{record.topic.partition('.')[0]}/{record.aggregate_id}",
                "time": time.replace("+00:00", "Z"),
                "datacontenttype": "application/json",
                "data": orjson.Fragment(data),
                "version": record.version,
                "actor": record.actor,
                "commandid": record.command_id,
                "correlationid": record.correlation_id,
                "causationid": record.causation_id,
                "traceparent": record.traceparent,
            }
        )


def _time_and_data(record: Record) -> tuple[str, bytes]:
    """The state is JSON already, but for the members that stand outside of the data.

    As we write it the time comes first and the version last, and both can be cut off: to read and
    write all of a state again takes twice as long as everything else.
    """
    state = _without_version(record.state)
    if state.startswith(TIME_FIRST) and not any(name in state for name in RARE):
        moment, _, rest = state[len(TIME_FIRST) :].partition(b'"')
        return moment.decode(), b"{" + rest.removeprefix(b",")
    members = orjson.loads(state)
    time = members.get("timestamp") or record.recorded_at.isoformat()
    for name in NOT_DATA:
        members.pop(name, None)
    return time, orjson.dumps(members)


def _without_version(state: bytes) -> bytes:
    place = state.rfind(VERSION_LAST, -len(VERSION_LAST) - 4)
    if place > 0 and state[place + len(VERSION_LAST) : -1].isdigit():
        return state[:place] + b"}"
    return state
