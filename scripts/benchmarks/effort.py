"""How long everything is measured."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """The sizes of one run."""

    #: How often every figure is taken.
    rounds: int
    #: What a rate is measured over, and what it is warmed up for before, s.
    seconds: float
    warm_up_seconds: float
    #: As many tasks go from end to end as take about so long, at the rate of the warm-up, s.
    tasks_seconds: float
    tasks_min: int
    tasks_max: int
    warm_up_tasks: int
    #: Tasks sent to an idle system, one about every 40 ms.
    pickups: int
    #: Rows of a binary COPY.
    copy_rows: int
    #: Events of the aggregate that is loaded, and how often.
    aggregate_events: int
    aggregate_loads: int
    #: Events of the log that has grown, the longest it may take to fill, and comparisons.
    growth_events: int
    growth_fill_seconds: float
    growth_rounds: int
    #: Connections of the three sizes of live events (figures.LIVE_CONNECTIONS are their names).
    live_connections: tuple[int, int, int]
    #: About so many deliveries make a burst; and of single events, or by those who send singly.
    live_deliveries: int
    live_single_deliveries: int
    #: How long commands are timed to their delivery, s, and how many a second.
    live_seconds: float
    live_a_second: float
    #: Idle connections that share the memory, and how far behind those are who reconnect, events.
    live_idle: int
    live_behind: int
    #: Events of the log that one subscriber is sent from its start; more than are kept in memory.
    live_backlog: int
    #: Events of a log with a past, the random positions in it that are asked for, and decisions.
    history_events: int
    history_positions: int
    history_decisions: int
    #: Appending with and without sealing, in turns: how often, and how long each, s.
    history_seal_rounds: int
    history_seal_seconds: float

    def as_argument(self) -> dict[str, Any]:
        """For a process that does part of it."""
        return asdict(self)


FULL = Effort(
    rounds=3,
    seconds=1.5,
    warm_up_seconds=0.4,
    tasks_seconds=2.0,
    tasks_min=300,
    tasks_max=50_000,
    warm_up_tasks=300,
    pickups=60,
    copy_rows=150_000,
    aggregate_events=999,
    aggregate_loads=200,
    growth_events=300_000,
    growth_fill_seconds=75,
    growth_rounds=3,
    live_connections=(100, 1_000, 5_000),
    live_deliveries=1_000_000,
    live_single_deliveries=250_000,
    live_seconds=5.0,
    live_a_second=50.0,
    live_idle=2_000,
    live_behind=100,
    live_backlog=50_000,
    history_events=1_000_000,
    history_positions=200,
    history_decisions=100_000,
    history_seal_rounds=9,
    history_seal_seconds=3.0,
)

QUICK = Effort(
    rounds=1,
    seconds=0.3,
    warm_up_seconds=0.1,
    tasks_seconds=0.2,
    tasks_min=100,
    tasks_max=500,
    warm_up_tasks=50,
    pickups=5,
    copy_rows=5_000,
    aggregate_events=120,
    aggregate_loads=10,
    growth_events=2_000,
    growth_fill_seconds=20,
    growth_rounds=1,
    live_connections=(5, 10, 20),
    live_deliveries=1_000,
    live_single_deliveries=100,
    live_seconds=0.5,
    live_a_second=50.0,
    live_idle=50,
    live_behind=10,
    live_backlog=2_000,
    history_events=21_000,
    history_positions=5,
    history_decisions=500,
    history_seal_rounds=1,
    history_seal_seconds=0.3,
)
