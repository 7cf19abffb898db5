"""The read models of a database, all of them."""

from collections.abc import Callable, Iterable
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from application.feed import Feed
from application.ports import ReadModelStore
from application.projections import Projection
from application.projections.activity_feed import ActivityFeedProjection
from application.projections.agent_roster import AgentRosterProjection
from application.projections.runner import Projector
from application.projections.task_board import TaskBoardProjection
from infrastructure.postgres.read_model_store import (
    ACTIVITY_FEED,
    AGENT_ROSTER,
    TASK_BOARD,
    PostgresReadModelStore,
    TableShape,
)

Changed = Callable[[Iterable[Any]], None]
Pool = ConnectionPool[Connection[TupleRow]]
MODELS: dict[str, tuple[type[Projection[Any, Any]], TableShape[Any]]] = {
    "task_board": (TaskBoardProjection, TASK_BOARD),
    "agent_roster": (AgentRosterProjection, AGENT_ROSTER),
    "activity_feed": (ActivityFeedProjection, ACTIVITY_FEED),
}


def store_of(pool: Pool, name: str) -> ReadModelStore[Any, Any]:
    return PostgresReadModelStore(pool, MODELS[name][1])


def projector_of(
    pool: Pool, feed: Feed, name: str, *, changed: Changed = lambda _: None
) -> Projector:
    return Projector(feed, MODELS[name][0](), store_of(pool, name), changed=changed)


def projectors_of(pool: Pool, feed: Feed, *, changed: Changed = lambda _: None) -> list[Projector]:
    return [projector_of(pool, feed, name, changed=changed) for name in MODELS]
