"""Every event and aggregate that may stand in the log, by its TOPIC: the one list that resolves
them.

A topic that is not here is refused, whoever wrote it; nothing is ever imported because a row in a
table or a file named it.
"""

from typing import Any

from domain.agent import Agent
from domain.aggregate import Aggregate
from domain.archive import Archive
from domain.audit_trail import Audit
from domain.restoration import Store
from domain.subject import Subject
from domain.task import Task

AGGREGATES: dict[str, type[Aggregate]] = {
    kind.TOPIC: kind for kind in (Task, Agent, Audit, Subject, Archive, Store)
}


def _events_of(kind: type[Aggregate]) -> dict[str, type[Aggregate.Event]]:
    return {
        value.TOPIC: value
        for value in vars(kind).values()
        if isinstance(value, type)
        and issubclass(value, Aggregate.Event)
        and hasattr(value, "TOPIC")
    }


EVENTS: dict[str, type[Any]] = {
    topic: event for kind in AGGREGATES.values() for topic, event in _events_of(kind).items()
}


def aggregate_of(topic: str) -> type[Aggregate]:
    """The kind of aggregate that an event's topic belongs to. Raises KeyError."""
    return AGGREGATES[topic.partition(".")[0]]
