"""The read models, and how far they and the log have come."""

import asyncio
from dataclasses import dataclass

from application.bells import Bells
from application.erasure.disclosure import Disclosure
from application.projections.activity_feed import ActivityFeedProjection
from application.projections.agent_roster import AgentRosterProjection
from application.projections.archives import ArchivesProjection
from application.projections.runner import Projector
from application.projections.task_board import TaskBoardProjection
from application.projections.upkeep import ReadModelUpkeep
from application.queries import Queries
from application.watermarks import LOG, Watermarks
from infrastructure.postgres.read_model_store import (
    ACTIVITY_FEED,
    AGENT_ROSTER,
    ARCHIVES,
    TASK_BOARD,
    PostgresReadModelStore,
)
from interfaces.bootstrap.ground import Ground


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What can be seen, and by whom it is kept up with the log."""

    watermarks: Watermarks
    queries: Queries
    upkeep: ReadModelUpkeep

    def advanced(self, head: int) -> None:
        """The log has come to a position."""
        self.upkeep.wake(head)
        self.watermarks.advance(LOG, head)


async def wire_views(ground: Ground, disclosure: Disclosure) -> Views:
    """Raises DatabaseUnavailable."""
    loop = asyncio.get_running_loop()

    def hurry(name: str) -> None:
        upkeep.hurry(name)

    # Each of the two needs the other: who waits hurries the upkeep, which tells how far it came.
    watermarks = Watermarks(ground.models.checkpoint, awaited=hurry)
    bells = Bells()
    upkeep = ReadModelUpkeep(
        [
            Projector(
                ground.feed,
                TaskBoardProjection(),
                PostgresReadModelStore(ground.pool, TASK_BOARD),
                changed=bells.ring,
            ),
            Projector(
                ground.feed,
                AgentRosterProjection(),
                PostgresReadModelStore(ground.pool, AGENT_ROSTER),
            ),
            Projector(
                ground.feed,
                ActivityFeedProjection(),
                PostgresReadModelStore(ground.pool, ACTIVITY_FEED),
            ),
            Projector(
                ground.feed,
                ArchivesProjection(),
                PostgresReadModelStore(ground.pool, ARCHIVES),
            ),
        ],
        advanced=watermarks.advance,
    )
    watermarks.attach(loop)
    watermarks.advance(LOG, await ground.models.head())
    bells.attach(loop)
    queries = Queries(ground.models, watermarks, bells, ground.store.epoch, disclosure)
    return Views(watermarks=watermarks, queries=queries, upkeep=upkeep)
