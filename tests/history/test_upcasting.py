"""Old shapes of events, and what strangers may write into a log: read, or refused by name."""

import sys
from typing import Any, ClassVar
from uuid import UUID

import orjson
import pytest
from eventsourcing.persistence import StoredEvent

from application.ports import UnreadableEvent
from domain.aggregate import Aggregate
from domain.catalogue import AGGREGATES, EVENTS
from infrastructure.mapper import CatalogueMapper, SnapshotMapper
from tests.given import ALICE, NOON, a_task, assigned

TIME = NOON.isoformat()


class Greeting(Aggregate):
    """An aggregate of this test, with an event that changed shape: `name` became `names`."""

    TOPIC = "greeting"

    class Spoken(Aggregate.Event):
        TOPIC = "greeting.spoken"
        class_version: ClassVar[int] = 3
        names: list[str]
        loud: bool

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """One name became many."""
            state["names"] = [state.pop("name")]

        @staticmethod
        def upcast_v2_v3(state: dict[str, Any]) -> None:
            """Nobody shouted before."""
            state["loud"] = False


@pytest.fixture
def mapper() -> CatalogueMapper:
    return CatalogueMapper({**EVENTS, Greeting.Spoken.TOPIC: Greeting.Spoken})


def spoken(state: Any) -> StoredEvent:
    return StoredEvent(ALICE, 2, "greeting.spoken", orjson.dumps(state))


@pytest.mark.parametrize(
    "state",
    [
        {"timestamp": TIME, "name": "Ada"},
        {"timestamp": TIME, "name": "Ada", "class_version": 1},
        {"timestamp": TIME, "names": ["Ada"], "class_version": 2},
        {"timestamp": TIME, "names": ["Ada"], "loud": False, "class_version": 3},
    ],
)
def test_an_event_of_an_old_version_is_read_in_its_newest_shape(
    mapper: CatalogueMapper, state: dict[str, Any]
) -> None:
    event: Any = mapper.to_domain_event(spoken(state))

    assert (event.names, event.loud, event.timestamp) == (["Ada"], False, NOON)


def test_an_event_is_stored_with_its_version(mapper: CatalogueMapper) -> None:
    event = mapper.to_domain_event(spoken({"timestamp": TIME, "name": "Ada"}))

    state = orjson.loads(mapper.to_stored_event(event).state)

    assert state["class_version"] == 3
    assert "name" not in state


@pytest.mark.parametrize("version", [0, -1, 4, 10**30, "1", None, True, 1.5, [1], {}])
def test_a_version_that_was_never_shipped_is_refused(
    mapper: CatalogueMapper, version: object
) -> None:
    text = f'{{"timestamp":"{TIME}","names":["Ada"],"loud":true,"class_version":'
    state = (
        text.encode() + (b"1" + b"0" * 30 if version == 10**30 else orjson.dumps(version)) + b"}"
    )

    with pytest.raises(UnreadableEvent, match=r"greeting\.spoken"):
        mapper.to_domain_event(StoredEvent(ALICE, 2, "greeting.spoken", state))


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff", b"{}"])
@pytest.mark.parametrize("topic", ["greeting.spoken", "task.queued"])
def test_a_state_that_is_none_is_refused(mapper: CatalogueMapper, topic: str, state: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        mapper.to_domain_event(StoredEvent(ALICE, 2, topic, state))


def test_a_version_that_a_newer_program_wrote_is_refused() -> None:
    state = orjson.dumps({"timestamp": TIME, "class_version": 2})

    with pytest.raises(UnreadableEvent, match=r"task\.queued of another shape"):
        CatalogueMapper().to_domain_event(StoredEvent(ALICE, 2, "task.queued", state))


@pytest.mark.parametrize(
    "topic",
    [
        "os:system",
        "this:s",
        "idlelib.idle:x",
        "task",
        "",
        "snapshot",
        "Task.Submitted",
        "task.",
        ".",
    ],
)
def test_a_foreign_topic_is_refused_and_nothing_is_imported(topic: str) -> None:
    loaded = set(sys.modules)
    hostile = StoredEvent(ALICE, 1, topic, orjson.dumps({"timestamp": TIME}))

    with pytest.raises(UnreadableEvent, match="There is no event"):
        CatalogueMapper().to_domain_event(hostile)

    assert set(sys.modules) == loaded
    assert not {"this", "idlelib.idle"} & loaded


@pytest.mark.parametrize("topic", ["os:system", "this:s", "task.submitted", ""])
def test_a_foreign_topic_of_a_snapshot_is_refused_and_nothing_is_imported(topic: str) -> None:
    loaded = set(sys.modules)

    with pytest.raises(UnreadableEvent, match="There is no aggregate"):
        SnapshotMapper().to_domain_event(StoredEvent(ALICE, 1, topic, b"{}"))

    assert set(sys.modules) == loaded


@pytest.mark.parametrize("name", ["originator_topic", "originator_id", "TOPIC", "__class__", "x"])
def test_a_field_that_the_event_does_not_have_is_refused(name: str) -> None:
    mapper = CatalogueMapper()
    task = a_task()
    first = mapper.to_stored_event(assigned_event(task))
    state = orjson.loads(first.state) | {name: "this:s"}

    with pytest.raises(UnreadableEvent, match="of another shape"):
        mapper.to_domain_event(StoredEvent(ALICE, 2, first.topic, orjson.dumps(state)))

    assert "this" not in sys.modules


def test_where_a_first_event_belongs_is_told_by_the_catalogue_and_not_by_its_state() -> None:
    mapper = CatalogueMapper()
    task_id = UUID(int=7)

    event: Any = mapper.to_domain_event(a_submission(task_id))

    assert event.originator_topic == "task"
    assert type(event.mutate(None)) is AGGREGATES["task"]
    stored = orjson.loads(mapper.to_stored_event(event).state)
    assert "originator_topic" not in stored
    assert stored["input"] == {"originator_topic": "this:s"}


def test_a_snapshot_of_a_former_shape_is_refused() -> None:
    mapper = SnapshotMapper()
    stored = mapper.encode_aggregate(a_task(assigned()))
    state = orjson.loads(stored.state)

    for changed in ({**state, "former": 1}, {k: v for k, v in state.items() if k != "attempt"}):
        with pytest.raises(UnreadableEvent, match="snapshot of another shape"):
            mapper.to_domain_event(
                StoredEvent(stored.aggregate_id, 2, stored.topic, orjson.dumps(changed))
            )


def assigned_event(task: Any) -> Any:
    assigned()(task)
    (event,) = task.take_events()
    return event


def a_submission(task_id: UUID) -> StoredEvent:
    state = {
        "timestamp": TIME,
        "tenant": "t",
        "kind": "k",
        "input": {"originator_topic": "this:s"},
        "requires": ["k"],
        "priority": 5,
        "max_attempts": 3,
        "timeout_seconds": 300,
        "not_before": None,
        "deadline": None,
        "labels": {},
        "parent_id": None,
        "root_id": None,
        "depth": 0,
        "approval": False,
    }
    return StoredEvent(task_id, 1, "task.submitted", orjson.dumps(state))
