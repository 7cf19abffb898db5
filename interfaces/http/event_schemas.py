"""What the events of the catalogue look like to others, by their topics.

Made from the event classes alone: a new one is described without a word here.
"""

from dataclasses import fields
from functools import cache
from typing import Any, get_type_hints

from typing_extensions import TypedDict

from domain.aggregate import Aggregate, FirstEvent
from domain.catalogue import EVENTS
from interfaces.http.json_schemas import JsonSchemas, Schema
from interfaces.http.schemas.events import CloudEvent

ENVELOPE = frozenset(field.name for kind in (Aggregate.Event, FirstEvent) for field in fields(kind))
"""The fields of an event that a CloudEvent has elsewhere."""


@cache
def data_type_of(topic: str) -> Any:
    """The type of `data`: the event's own fields."""
    event = EVENTS[topic]
    hints = get_type_hints(event)
    # By `fields` and not by the hints, where `class_version` stands as well.
    names = [field.name for field in fields(event) if field.name not in ENVELOPE]
    # mypy takes no TypedDict whose members are found out at run time.
    make: Any = TypedDict
    title = "".join(word.capitalize() for word in topic.replace(".", "_").split("_"))
    kind = make(title, {name: hints[name] for name in names})
    kind.__doc__ = what_happened(topic)
    return kind


def what_happened(topic: str) -> str:
    """An event's name in words, and what its class says about it."""
    event = EVENTS[topic]
    # The library makes a new class of ours, and gives it its signature as a docstring.
    said = (
        kind.__doc__
        for kind in event.__mro__
        if kind.__qualname__ == event.__qualname__
        and kind.__doc__
        and not kind.__doc__.startswith(f"{kind.__name__}(")
    )
    words = topic.replace(".", " ").replace("_", " ").capitalize()
    return " ".join([f"{words}.", *next(said, "").split()])


def event_schemas(schemas: JsonSchemas) -> dict[str, Schema]:
    """A CloudEvent of each topic, under the topic; `Event` is any of them.

    `schemas` has those of CloudEvent and of every `data_type_of`.
    """
    reference = "#/components/schemas/{}"
    found: dict[str, Schema] = {}
    for topic in EVENTS:
        thing = topic.partition(".")[0]
        own = {
            "type": {"const": topic},
            "subject": {
                "type": "string",
                "pattern": f"^{thing}/[0-9a-f-]{{36}}$",
                "examples": [f"{thing}/018f6a3e-1c2b-7d4e-9f00-0123456789ab"],
            },
            "data": schemas.of(data_type_of(topic), "serialization"),
        }
        found[topic] = {
            "description": what_happened(topic),
            "allOf": [
                schemas.of(CloudEvent, "serialization"),
                {"type": "object", "properties": own, "required": list(own)},
            ],
        }
    any_event = [{"$ref": reference.format(topic)} for topic in EVENTS]
    return {"Event": {"description": "An event of the log.", "oneOf": any_event}, **found}
