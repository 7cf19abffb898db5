"""Everything of the bench that knows how Musterroll is made inside.

The rest knows `muster up`, the HTTP API and the SDK. When names inside change, this is the module
to bring up to date.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import psycopg
from pydantic import SecretStr

from application.commands import Command, Origin
from application.commands.agents import DrainAgent, RegisterAgent, ResumeAgent
from application.commands.tasks import SubmitTask
from application.feed import Feed
from application.ids import uuid7
from application.projections.activity_feed import ActivityFeedProjection
from application.projections.agent_roster import AgentRosterProjection
from application.projections.runner import Projector
from application.projections.task_board import TaskBoardProjection
from benchmarks.payload import payload
from domain.agent import agent_id_of
from infrastructure.postgres.embedded import EmbeddedPostgres
from infrastructure.postgres.embedded_programs import find_programs
from infrastructure.postgres.leader_lock import PostgresLeaderLock
from infrastructure.postgres.log import PostgresLog
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.pool import make_pool
from infrastructure.postgres.read_model_store import (
    ACTIVITY_FEED,
    AGENT_ROSTER,
    TASK_BOARD,
    PostgresReadModelStore,
)
from interfaces import interpreter
from interfaces.bootstrap import ControlPlaneProcess, Settings, build

TENANT = "default"
NOBODYS_KIND = "nobodys"
PASSWORD = "password-of-the-bench"  # noqa: S105 - of databases that live for minutes
MODELS: dict[str, tuple[type[Any], Any]] = {
    "task_board": (TaskBoardProjection, TASK_BOARD),
    "agent_roster": (AgentRosterProjection, AGENT_ROSTER),
    "activity_feed": (ActivityFeedProjection, ACTIVITY_FEED),
}
POSITIONS = """
SELECT (SELECT coalesce(max(position), 0) FROM musterroll.events),
       coalesce(min(position), 0)
FROM musterroll.checkpoints WHERE name = ANY(%s)
"""
LAG_LOOK_SECONDS = 0.01
LEAD_SECONDS_MAX = 30.0
COMPLETED = "task.completed"
SUBMITTED = "task.submitted"


@dataclass(frozen=True, slots=True)
class Urls:
    """A database, for its owner and for the service."""

    owner: str
    application: str


@contextmanager
def postgres(folder: Path) -> Iterator[Urls]:
    """The product's embedded PostgreSQL, durable as it is shipped."""
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        yield Urls(server.owner_url, server.url)
    finally:
        server.stop()


def pgbench(folder: Path) -> list[str]:
    """The words that run the pgbench of that PostgreSQL."""
    return find_programs(folder).command("pgbench")


@asynccontextmanager
async def a_process(urls: Urls, data_dir: Path) -> AsyncIterator[ControlPlaneProcess]:
    """The service without HTTP, in this process, which shares its time as `muster up` does."""
    process = made(urls, data_dir)
    await process.start()
    interpreter.settle()
    try:
        yield process
    finally:
        await process.stop()


def made(urls: Urls, data_dir: Path) -> ControlPlaneProcess:
    """The same before it is started."""
    return build(
        Settings(
            data_dir=data_dir,
            database_url=SecretStr(urls.application),
            database_owner_url=SecretStr(urls.owner),
            admin_password=SecretStr(PASSWORD),
            log_level="error",
        )
    )


def migrated(urls: Urls) -> None:
    """Make the tables; a process that starts would do so too."""
    migrate(urls.owner, urls.application)


@contextmanager
def somebody_else_leads(urls: Urls) -> Iterator[None]:
    """Processes on that database meanwhile take commands, and neither project nor dispatch."""
    lock = PostgresLeaderLock(urls.application)
    assert lock.acquire(), "nobody leads yet"
    try:
        yield
    finally:
        lock.release()


async def until_leading(process: ControlPlaneProcess) -> None:
    """Return when the process projects and dispatches."""
    deadline = time.monotonic() + LEAD_SECONDS_MAX
    while not process.workforce.leading:
        assert time.monotonic() < deadline, "it leads within seconds"
        await asyncio.sleep(0.05)


def submit_task() -> Command:
    """A command to submit a task with an id of its own, of a kind that no worker does."""
    return SubmitTask(
        origin=_origin(),
        task_id=uuid7(),
        specification={
            "kind": NOBODYS_KIND,
            "input": dict(payload()),
            "requires": (NOBODYS_KIND,),
            "priority": 5,
            "max_attempts": 3,
            "timeout_seconds": 300,
            "not_before": None,
            "deadline": None,
            "labels": {},
            "parent_id": None,
            "approval": False,
        },
    )


def agent_of_many_events(events: int) -> tuple[UUID, list[Command]]:
    """Commands, to be done in order, that make an agent with so many events."""
    agent_id = agent_id_of(TENANT, "long-lived")
    register = RegisterAgent(
        origin=_origin(),
        agent_id=agent_id,
        name="long-lived",
        capabilities=("nothing",),
        slots=1,
        labels={},
    )
    turns = (DrainAgent, ResumeAgent)
    changes = [
        turns[number % 2](origin=_origin(), agent_id=agent_id) for number in range(events - 1)
    ]
    return agent_id, [register, *changes]


def load_ms(urls: Urls, aggregate_id: UUID, *, events: int, times: int) -> list[float]:
    """How long each loading of an aggregate takes, its snapshot and what follows, ms."""
    pool = make_pool(urls.application, connections_max=2)
    pool.open(wait=True)
    log = PostgresLog(pool)
    took = []
    for _ in range(times):
        began = time.perf_counter()
        aggregate = log.load(aggregate_id)
        took.append((time.perf_counter() - began) * 1_000)
        assert aggregate is not None
        assert aggregate.version == events
    pool.close()
    return took


def count_events(urls: Urls) -> int:
    """Events in the log."""
    with psycopg.connect(urls.owner) as connection:
        row = connection.execute("SELECT count(*) FROM musterroll.events").fetchone()
    assert row is not None
    return int(row[0])


def wait_until_projected(urls: Urls, timeout_seconds: float) -> None:
    """Return when all read models have come to the end of the log."""
    deadline = time.monotonic() + timeout_seconds
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        while True:
            row = connection.execute(POSITIONS, (list(MODELS),)).fetchone()
            assert row is not None
            if row[1] >= row[0]:
                return
            assert time.monotonic() < deadline, f"the read models are at {row[1]} of {row[0]}"
            time.sleep(LAG_LOOK_SECONDS)


def count_by_topic(urls: Urls) -> dict[str, int]:
    """Events in the log, by what they say."""
    with psycopg.connect(urls.owner) as connection:
        return dict(
            connection.execute(
                "SELECT topic, count(*) FROM musterroll.events GROUP BY topic"
            ).fetchall()
        )


def projectors(pool: Any, names: tuple[str, ...]) -> list[Projector]:
    """Those that fold the live read models of these names, from one feed."""
    feed = Feed(PostgresLog(pool))
    return [
        Projector(feed, MODELS[name][0](), PostgresReadModelStore(pool, MODELS[name][1]))
        for name in names
    ]


def replay(urls: Urls, names: list[str]) -> tuple[int, float]:
    """Fold the whole log into these read models anew, beside the live ones, all at the same time.

    The events that were folded into each, and the seconds until the last was there.
    """
    pool = make_pool(urls.application, connections_max=2 * len(names) + 1)
    pool.open(wait=True)
    log = PostgresLog(pool)
    feed, head = Feed(log), log.head()
    projectors = []
    for name in names:
        projection, shape = MODELS[name]
        twin: Any = PostgresReadModelStore(pool, shape).clear_rebuild()
        projectors.append(Projector(feed, projection(), twin))
    reached: list[int] = []
    threads = [
        threading.Thread(target=lambda one=one: reached.append(one.catch_up()))
        for one in projectors
    ]
    interpreter.settle()
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    pool.close()
    assert reached == [head] * len(names), f"{reached} is not the head {head}"
    return count_events(urls), seconds


class LagWatch:
    """How far the slowest read model is behind the log, in time, while a with statement runs.

    Looks every 10 ms; a lag is how long after a look at the log all models had come to what the
    log held then. Only looks that found something new count: an idle log has no lag.
    """

    def __init__(self, urls: Urls) -> None:
        self._urls = urls
        self._ending = threading.Event()
        self._looks: list[tuple[float, int, int]] = []
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def lags_ms(self) -> list[float]:
        """One for each look, ms; those that were not caught up with until the end count to it."""
        lags = []
        place = 0
        former = self._looks[0][1]
        for at, head, _ in self._looks:
            if head == former:
                continue
            former = head
            while place < len(self._looks) - 1 and self._looks[place][2] < head:
                place += 1
            lags.append(max(0.0, self._looks[place][0] - at) * 1_000)
        return lags

    def _look(self) -> None:
        with psycopg.connect(self._urls.owner, autocommit=True) as connection:
            ending = False
            while not ending:
                ending = self._ending.wait(LAG_LOOK_SECONDS)
                row = connection.execute(POSITIONS, (list(MODELS),)).fetchone()
                assert row is not None
                self._looks.append((time.monotonic(), row[0], row[1]))


def _origin() -> Origin:
    return Origin(tenant=TENANT, actor="bench", command_id=uuid7())
