"""Events and snapshots to JSON and back: topics by our own catalogue, fields checked by pydantic.

The library's mapper resolves a topic by importing whatever it names; this one knows the catalogue
and nothing else, so that no row or file can make us import or construct anything that is not an
event of ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, cast, get_type_hints
from uuid import UUID

import orjson
from eventsourcing.domain import (
    AggregateEvent,
    CanSnapshotAggregate,
    DomainEvent,
    DomainEventProtocol,
)
from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from application.ports import StoredAggregate, UnreadableEvent
from domain.aggregate import Aggregate, FirstEvent, topic_of
from domain.catalogue import AGGREGATES, EVENTS, aggregate_of

NOT_STATE = frozenset({"originator_id", "originator_version", "originator_topic"})
"""What the row or the catalogue knows. `originator_topic` above all is never taken from a stored
state: the library would import whatever it names."""
NOT_REMEMBERED = frozenset({"_id", "_version", "_pending_events"})


@dataclass(frozen=True)
class Snapshot(CanSnapshotAggregate[UUID], DomainEvent):
    """The state of an aggregate at a version. Derived: it may be deleted at any time."""

    TOPIC = "snapshot"
    topic: str
    state: dict[str, Any]


class CatalogueMapper(Mapper[UUID]):
    """Maps by the catalogue; raises UnreadableEvent for everything else."""

    def __init__(self, events: Mapping[str, type[Any]] = EVENTS) -> None:
        # The library's transcoder is never used: encoding is ours, below.
        super().__init__(JSONTranscoder())
        self._events = events
        self._readers: dict[str, EventReader] = {}

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        """The event as it is stored."""
        event = cast("AggregateEvent", domain_event)
        return StoredEvent(
            originator_id=event.originator_id,
            originator_version=event.originator_version,
            topic=topic_of(event),
            state=self.encode(event),
        )

    def encode(self, event: AggregateEvent) -> bytes:
        """Its own fields and its time, as JSON. Raises TypeError."""
        state = vars(event).copy()
        for name in NOT_STATE:
            state.pop(name, None)
        version = getattr(type(event), "class_version", 1)
        if version > 1:
            state["class_version"] = version
        return orjson.dumps(state)

    def to_domain_event(self, stored_event: StoredEvent) -> AggregateEvent:
        """The event in its newest shape. Raises UnreadableEvent."""
        return self.decode(
            cast("UUID", stored_event.originator_id),
            stored_event.originator_version,
            stored_event.topic,
            stored_event.state,
        )

    def decode(self, aggregate_id: UUID, version: int, topic: str, state: bytes) -> AggregateEvent:
        """The same of what stands in a row. Raises UnreadableEvent."""
        reader = self._readers.get(topic) or self._reader_of(topic)
        fields = reader.read(state)
        fields["originator_id"] = aggregate_id
        fields["originator_version"] = version
        if reader.first_of is not None:
            fields["originator_topic"] = reader.first_of
        event = object.__new__(reader.kind)
        object.__setattr__(event, "__dict__", fields)
        return cast("AggregateEvent", event)

    def _reader_of(self, topic: str) -> "EventReader":
        kind = self._events.get(topic)
        if kind is None:
            raise UnreadableEvent(f"There is no event {topic[:100]!r}.")
        self._readers[topic] = reader = EventReader(kind, topic)
        return reader


class EventReader:
    """Reads the states of one kind of event."""

    def __init__(self, kind: type[Any], topic: str) -> None:
        self.kind = kind
        self.first_of = aggregate_of(topic).TOPIC if issubclass(kind, FirstEvent) else None
        self._topic = topic
        self._validate = _event_adapter(kind).validator.validate_json
        newest = getattr(kind, "class_version", 1)
        self._upcast = newest > 1
        self._newest_end = b',"class_version":%d}' % newest

    def read(self, state: bytes) -> dict[str, Any]:
        """Its fields, in the newest shape. Raises UnreadableEvent."""
        try:
            if self._upcast and state.endswith(self._newest_end):
                # As we write it, the version comes last: nothing else has to be read twice.
                state = state[: -len(self._newest_end)] + b"}"
            elif self._upcast:
                state = orjson.dumps(_newest_shape(self.kind, orjson.loads(state)))
            fields: dict[str, Any] = self._validate(state)
        except (ValidationError, ValueError, LookupError, TypeError) as error:
            # The last two are an upcaster's, over a state that never was of its version.
            raise UnreadableEvent(f"{self._topic} of another shape: {error}") from error
        return fields


class SnapshotMapper(CatalogueMapper):
    """The same for snapshots of aggregates, whose fields their SNAPSHOT types name."""

    def __init__(self) -> None:
        super().__init__()
        self._adapters: dict[str, TypeAdapter[dict[str, Any]]] = {}

    def encode_aggregate(self, aggregate: Aggregate) -> StoredAggregate:
        """Everything that it remembers, at its present version."""
        state = {
            name: value for name, value in vars(aggregate).items() if name not in NOT_REMEMBERED
        }
        return StoredAggregate(
            aggregate_id=aggregate.id,
            version=aggregate.version,
            topic=aggregate.TOPIC,
            state=orjson.dumps(state),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> AggregateEvent:
        """The snapshot. Raises UnreadableEvent: take it for absent, and read the events."""
        kind = AGGREGATES.get(stored_event.topic)
        if kind is None:
            raise UnreadableEvent(f"There is no aggregate {stored_event.topic[:100]!r}.")
        try:
            state = self._adapter_of(kind).validate_json(stored_event.state)
        except ValidationError as error:
            raise UnreadableEvent(f"A snapshot of another shape: {error}") from error
        snapshot = Snapshot(
            originator_id=cast("UUID", stored_event.originator_id),
            originator_version=stored_event.originator_version,
            timestamp=state["_modified_on"],
            topic=stored_event.topic,
            state=state,
        )
        return cast("AggregateEvent", snapshot)

    def _adapter_of(self, kind: type[Aggregate]) -> "TypeAdapter[dict[str, Any]]":
        adapter = self._adapters.get(kind.TOPIC)
        if adapter is None:
            shape = kind.SNAPSHOT
            adapter = _adapter(shape.__name__, get_type_hints(shape))
            self._adapters[kind.TOPIC] = adapter
        return adapter


def _newest_shape(kind: type[Any], state: Any) -> dict[str, Any]:
    if not isinstance(state, dict):
        raise UnreadableEvent(f"{kind.TOPIC} is no JSON object.")
    version = state.pop("class_version", 1)
    if type(version) is not int or not 1 <= version <= kind.class_version:
        raise UnreadableEvent(f"{kind.TOPIC} of an unknown version: {str(version)[:20]!r}.")
    while version < kind.class_version:
        upcast: Callable[[dict[str, Any]], None]
        upcast = getattr(kind, f"upcast_v{version}_v{version + 1}")
        upcast(state)
        version += 1
    return state


def _event_adapter(kind: type[Any]) -> "TypeAdapter[dict[str, Any]]":
    hints = get_type_hints(kind)
    # By `fields` and not by `__dataclass_fields__`, where `class_version` stands as well.
    names = [field.name for field in fields(kind) if field.name not in NOT_STATE]
    return _adapter(f"{kind.__qualname__}State", {name: hints[name] for name in names})


def _adapter(name: str, fields: dict[str, Any]) -> "TypeAdapter[dict[str, Any]]":
    # Before Python 3.12 pydantic takes only the TypedDict of typing_extensions.
    make: Any = TypedDict
    shape = make(name, fields)
    shape.__pydantic_config__ = ConfigDict(extra="forbid")
    return TypeAdapter(shape)
