"""The graph of causes and effects, as it is asked for and shown."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from application.causation.causes import DEPTH_MAX, ITEMS_MAX, Graph
from application.cloud_events import CloudEvents
from application.cursor import Cursor
from interfaces.http.parameters import WHOLE_TEXT, QueryParameters
from interfaces.http.schemas.base import CursorOut, documented
from interfaces.http.schemas.events import CloudEvent


class GraphParameters(QueryParameters):
    """How far."""

    depth: Annotated[int, Field(ge=1, le=DEPTH_MAX), WHOLE_TEXT] = 100
    """So many generations."""
    limit: Annotated[int, Field(ge=1, le=ITEMS_MAX), WHOLE_TEXT] = 100
    """So many events, the one that is asked for included; large ones make it fewer."""


@documented
class Caused(TypedDict):
    """An event, and what it answers."""

    event: CloudEvent
    causes: list[CursorOut]
    """Cursors of its causes, all of them before it; none for what somebody outside began."""


@documented
class GraphAnswer(TypedDict):
    """Events, the one that was asked for first, then generation by generation."""

    items: list[Caused]
    truncated: bool
    """There is more."""


def graph_of(graph: Graph, cloud_events: CloudEvents) -> dict[str, object]:
    """A graph as it is shown."""
    return {
        "items": [
            {
                "event": cloud_events.of(record),
                "causes": [str(Cursor(cloud_events.epoch, position)) for position in causes],
            }
            for record, causes in graph.items
        ],
        "truncated": graph.truncated,
    }
