"""The figures of a tenant: what they say, and how seldom they are asked for."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from application.commands.agents import DrainAgent, RetireAgent
from application.live import figures as module
from application.live.channel import Channel
from application.live.figures import LogPace, TenantFigures
from application.live.listeners import Listeners
from application.ports import Json
from application.queries import ReadModels
from application.watermarks import LOG
from domain.errors import DatabaseUnavailable
from tests.application.stage import Stage, played
from tests.conftest import Database
from tests.given import TENANT

READ_MODELS = ["task_board", "agent_roster", "activity_feed"]
METRICS = Channel("metrics")
DEADLINE_SECONDS = 20


class Ear:
    """Implements `application.live.listeners.Listener`: remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, Json]] = []
        self.something = asyncio.Event()

    def hear(
        self, channel: Channel, message: Mapping[str, Json], encoded: dict[object, bytes]
    ) -> None:
        assert channel == METRICS
        self.heard.append(message)
        self.something.set()

    async def next(self) -> Mapping[str, Json]:
        """What it hears from now on."""
        self.something.clear()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.something.wait()
        return self.heard[-1]


class CountedModels:
    """The read models, and how often they were asked for the counts of each tenant."""

    def __init__(self, models: ReadModels) -> None:
        self._models = models
        self.asked: list[str] = []
        self.away = False

    async def task_counts(self, tenant: str) -> dict[str, int]:
        self.asked.append(tenant)
        if self.away:
            raise DatabaseUnavailable("It is away.")
        return await self._models.task_counts(tenant)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._models, name)


class Timer:
    """A timer that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def figures_of(stage: Stage, models: Any = None, **more: Any) -> TenantFigures:
    return TenantFigures(
        models or stage.source,
        stage.watermarks,
        stage.clock,
        epoch=1,
        read_models=READ_MODELS,
        leading=lambda: False,
        **more,
    )


@asynccontextmanager
async def publishing(figures: TenantFigures) -> AsyncIterator[Listeners]:
    """They are told to whoever listens."""
    listeners = Listeners()
    task = asyncio.create_task(figures.publish(listeners))
    try:
        yield listeners
    finally:
        task.cancel()
        ended = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError), ended


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns come sooner than each second, so that a test sees many."""
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.02)


def test_tasks_and_agents_are_counted(database: Database) -> None:
    async def play(stage: Stage) -> None:
        busy = await stage.register("busy", slots=1)
        await stage.register("never heard of", slots=8)
        gone = await stage.register("gone", slots=8)
        draining, retired = await stage.register("draining"), await stage.register("retired")
        await stage.register("stranger", tenant="acme")
        await stage.execute(DrainAgent, agent_id=draining)
        await stage.execute(RetireAgent, agent_id=retired)
        await stage.heartbeat(gone)
        await stage.pass_time(60)
        await stage.leased(busy, start=True)
        await stage.submit(requires=("nothing",))
        await stage.submit(approval=True)
        await stage.submit(tenant="acme")
        await keep_vitals(stage)
        stage.project()
        head = stage.watermarks.position(LOG)

        found = await figures_of(stage).of(TENANT)

        assert found["at"] == stage.clock()
        assert found["cursor"] == f"1:{head}"
        assert {status: n for status, n in found["tasks"].items() if n} == {
            "queued": 1,
            "running": 1,
            "awaiting_approval": 1,
        }
        assert len(found["tasks"]) == 8
        assert found["agents"] == {
            "registered": 1,
            "available": 1,
            "offline": 1,
            "draining": 1,
            "busy": 1,
            "slots": 1,
            "running": 1,
        }
        assert found["log"] == {"position": head, "events_per_second": 0.0}
        assert found["read_models"] == dict.fromkeys(READ_MODELS, 0)
        assert found["leading"] is False

    played(database, play)


async def keep_vitals(stage: Stage) -> None:
    """As the process that leads does every second."""
    from application.processes.leader import _vitals  # noqa: PLC0415 - its one other user

    heard = [_vitals(agent) for agent in stage.floor.agents.values() if agent.heard_of]
    await stage.source.put_vitals(heard)


def test_nobody_has_agents_and_tasks_in_an_empty_tenant(database: Database) -> None:
    async def play(stage: Stage) -> None:
        found = await figures_of(stage).of("acme")

        assert set(found["tasks"].values()) | set(found["agents"].values()) == {0}

    played(database, play)


def test_a_read_model_that_lags_says_how_far(database: Database) -> None:
    async def play(stage: Stage) -> None:
        await stage.submit()
        stage.models[0].catch_up()
        head = stage.watermarks.position(LOG)

        found = await figures_of(stage).of(TENANT)

        assert found["read_models"] == {
            "task_board": 0,
            "agent_roster": head,
            "activity_feed": head,
        }
        assert found["cursor"] == "1:0"

    played(database, play)


def test_who_listens_is_told_and_nobody_else_is_asked_about(
    database: Database, hurried: None
) -> None:
    async def play(stage: Stage) -> None:
        models = CountedModels(stage.source)
        async with publishing(figures_of(stage, models)) as listeners:
            await turns(stage)
            assert models.asked == []

            first, second = Ear(), Ear()
            for ear in (first, second):
                listeners.listen(ear, "acme", [METRICS])
            await first.next()
            await first.next()

            assert set(models.asked) == {"acme"}
            assert len(second.heard) == len(first.heard) == len(models.asked)

            for ear in (first, second):
                listeners.leave(ear, "acme", [METRICS])
            asked = len(models.asked)
            await turns(stage)
            assert len(models.asked) <= asked + 1

    played(database, play)


async def turns(stage: Stage) -> None:
    """Time for some turns, in which a question would have been asked and answered."""
    for _ in range(20):
        await asyncio.sleep(module.INTERVAL_SECONDS)
        await stage.source.head()


@pytest.mark.parametrize("tenants", [1, 3])
def test_what_takes_long_is_asked_seldom(database: Database, hurried: None, tenants: int) -> None:
    timer = Timer()

    class SlowModels(CountedModels):
        """Each count takes half a second of that timer."""

        async def task_counts(self, tenant: str) -> dict[str, int]:
            timer.seconds += 0.5
            return await super().task_counts(tenant)

    async def play(stage: Stage) -> None:
        models = SlowModels(stage.source)
        async with publishing(figures_of(stage, models, timer=timer)) as listeners:
            ears = [Ear() for _ in range(tenants)]
            for number, ear in enumerate(ears):
                listeners.listen(ear, f"tenant{number}", [METRICS])
            for _ in range(4):
                await asyncio.gather(*(ear.next() for ear in ears))
                asked, began = len(models.asked), timer.seconds
                await turns(stage)
                assert len(models.asked) == asked

                # A second before a twentieth of the time was spent on it, and a second after.
                timer.seconds = began + 0.5 * tenants / 0.05 - 1 - 0.5 * tenants
                await turns(stage)
                assert len(models.asked) == asked
                timer.seconds = began + 0.5 * tenants / 0.05 + 1

    played(database, play)


def test_an_outage_of_the_database_ends_nothing(database: Database, hurried: None) -> None:
    async def play(stage: Stage) -> None:
        models = CountedModels(stage.source)
        models.away = True
        async with publishing(figures_of(stage, models)) as listeners:
            ear = Ear()
            listeners.listen(ear, TENANT, [METRICS])
            async with asyncio.timeout(DEADLINE_SECONDS):
                while len(models.asked) < 3:  # noqa: ASYNC110 - it is no event of ours
                    await asyncio.sleep(0.01)
            assert ear.heard == []

            models.away = False
            assert (await ear.next())["tasks"]["queued"] == 0

    played(database, play)


def test_the_log_grows_so_fast() -> None:
    timer = Timer()
    pace = LogPace(100, timer)

    timer.seconds += 2
    pace.look(150)
    assert pace.events_per_second == 25.0

    timer.seconds += 1
    pace.look(150)
    assert pace.events_per_second == 0.0
