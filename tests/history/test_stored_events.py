"""`events.jsonl` holds one example of every topic and version ever shipped, as it was stored.

A line is never edited or removed. An event that changes shape keeps its old lines and gets another.
"""

from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from eventsourcing.persistence import StoredEvent

from domain.catalogue import EVENTS
from infrastructure.mapper import CatalogueMapper

EXAMPLES: list[dict[str, Any]] = [
    orjson.loads(line)
    for line in (Path(__file__).parent / "events.jsonl").read_bytes().splitlines()
]
NAMES = [f"{example['topic']} v{example['class_version']}" for example in EXAMPLES]


def stored(example: dict[str, Any]) -> StoredEvent:
    return StoredEvent(
        originator_id=UUID(example["aggregate_id"]),
        originator_version=example["version"],
        topic=example["topic"],
        state=orjson.dumps(example["state"]),
    )


def newest(topic: str) -> int:
    return int(getattr(EVENTS[topic], "class_version", 1))


def test_every_version_of_every_topic_has_an_example() -> None:
    shipped = {(topic, v) for topic in EVENTS for v in range(1, newest(topic) + 1)}

    assert {(one["topic"], one["class_version"]) for one in EXAMPLES} == shipped
    assert len(set(NAMES)) == len(EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_every_example_is_read_as_the_event_of_its_topic(example: dict[str, Any]) -> None:
    event = CatalogueMapper().to_domain_event(stored(example))

    assert type(event) is EVENTS[example["topic"]]
    assert event.originator_id == UUID(example["aggregate_id"])
    assert event.originator_version == example["version"]
    assert event.timestamp.utcoffset() is not None


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_what_was_read_is_stored_again_as_the_same_json(example: dict[str, Any]) -> None:
    mapper = CatalogueMapper()

    again = mapper.to_stored_event(mapper.to_domain_event(stored(example)))

    assert again.topic == example["topic"]
    if example["class_version"] == newest(example["topic"]):
        assert again.state == orjson.dumps(example["state"])
    else:
        assert mapper.to_stored_event(mapper.to_domain_event(again)) == again
