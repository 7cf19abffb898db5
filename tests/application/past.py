"""A log with its read models, and the ways to look at its past."""

import random
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from application.commands import Command
from application.commands.agents import RegisterAgent
from application.erasure.disclosure import CLOSED
from application.ids import uuid7
from application.moments import Moments
from application.ports import Record
from application.projections.task_board import TaskCard
from application.time_travel.frame import Frame
from application.time_travel.frames import Frames
from application.time_travel.keeper import FrameKeeper
from application.time_travel.overview import Overviews
from application.time_travel.search import Searches
from application.time_travel.things import Things
from application.watermarks import Watermarks
from domain.agent import agent_id_of
from domain.task_shape import TaskStatus
from infrastructure.postgres.causation import PostgresCausation
from infrastructure.postgres.frames import PostgresFrames
from infrastructure.postgres.moments import PostgresRecordedTimes
from infrastructure.postgres.pool import make_async_pool
from infrastructure.postgres.read_models import AsyncPool
from infrastructure.postgres.time_travel import PostgresTimeTravel
from tests.application.desk import Desk, opened, submit
from tests.application.models import projector_of
from tests.application.stories import a_story
from tests.clock import MovableClock
from tests.conftest import Database
from tests.given import NOON, TENANT, a_specification, by

OTHER = "other"
ResultT = TypeVar("ResultT")


@dataclass
class Past:
    """A desk whose log is looked back at."""

    desk: Desk
    clock: MovableClock
    async_pool: AsyncPool
    history: PostgresTimeTravel
    store: PostgresFrames

    def __post_init__(self) -> None:
        self.frames = self.new_frames()
        self.watermarks = Watermarks(self._unknown)
        self.keeper = FrameKeeper(self.frames, self.store, self.watermarks)
        self.moments = Moments(PostgresRecordedTimes(self.async_pool), utc_now, epoch=1)
        shared: dict[str, Any] = {
            "history": self.history,
            "frames": self.frames,
            "moments": self.moments,
            "log": self.desk.log,
            "disclosure": CLOSED,
        }
        causation = PostgresCausation(self.desk.pool, epoch=1)
        self.things = Things(causation=causation, **shared)
        self.searches = Searches(**shared)
        self.overviews = Overviews(
            frames=self.frames,
            things=self.things,
            moments=self.moments,
            history=self.history,
            clock=self.clock,
        )

    def new_frames(self) -> Frames:
        """With nothing at hand."""
        return Frames(self.history, self.store, self.desk.log)

    def write(self, rng: random.Random, *, length: int = 150) -> int:
        """A random story, with something of another tenant in between; where it ends."""
        self.run(registration(OTHER, "eve"))
        for command in a_story(rng, self.clock(), length=length):
            self.clock.move(timedelta(seconds=rng.choice([0, 1])))
            self.run(command)
            if rng.random() < 0.1:
                self.run(submit(tenant=OTHER))
        return self.desk.log.head()

    def run(self, *commands: Command) -> None:
        """Whatever comes of them."""
        self.desk.execute_many(*commands)

    def run_story(self, story: Coroutine[Any, Any, ResultT]) -> ResultT:
        """What comes of a question."""
        return self.desk.loop.run(story)

    def records(self, *, until: int | None = None) -> Sequence[Record]:
        found = self.desk.log.read(after=0, limit=100_000)
        return [one for one in found if until is None or one.position <= until]

    def project(self, *, up_to: int | None = None) -> None:
        """Bring the two read models of a frame to one position."""
        for name in ("task_board", "agent_roster"):
            projector_of(self.desk.pool, self.desk.feed, name).catch_up(up_to=up_to)

    def take(self) -> int:
        """Keep frames of the read models as they stand."""
        position = self.store.take(after=self.store.last())
        assert position is not None
        return position

    def frame(self, position: int, tenant: str = "default") -> Frame:
        return self.desk.loop.run(self.frames.at(tenant, position))

    def new_frame(self, position: int, tenant: str = "default") -> Frame:
        """Made anew, from what was kept."""
        return self.desk.loop.run(self.new_frames().at(tenant, position))

    async def _unknown(self, _: str) -> int:
        return 0


def registration(tenant: str, name: str) -> RegisterAgent:
    return RegisterAgent(
        origin=by(tenant=tenant),
        agent_id=agent_id_of(tenant, name),
        name=name,
        capabilities=("review",),
        slots=2,
        labels={},
    )


def a_card(**changes: Any) -> TaskCard:
    """A queued review, unless changed."""
    plain: dict[str, Any] = {
        "task_id": uuid7(),
        "tenant": TENANT,
        "submitted_at": NOON,
        "submitted_by": "user/ada",
        "version": 1,
        "position": 1,
        "status": TaskStatus.QUEUED,
        "queued_at": NOON,
    }
    specification: Any = a_specification(requires=["review"])
    return TaskCard(**(specification | plain | changes))


@contextmanager
def a_past(database: Database) -> Iterator[Past]:
    """A past of one test's own. The clock stands at noon."""
    clock = MovableClock(NOON)
    with opened(database.url, clock=clock) as desk:
        async_pool = make_async_pool(database.url, connections_max=2)
        desk.loop.run(async_pool.open())
        try:
            history, store = PostgresTimeTravel(desk.pool), PostgresFrames(desk.pool)
            yield Past(desk, clock, async_pool, history, store)
        finally:
            desk.loop.run(async_pool.close())


def utc_now() -> datetime:
    """PostgreSQL's own clock records events here."""
    return datetime.now(UTC)
