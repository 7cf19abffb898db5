"""Every figure: what it is called, and what it should reach."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What a number says. `http`: it came over HTTP."""

    title: str
    unit: str
    http: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a figure should reach: a number, or so many times another figure of the same run."""

    figure: str
    bound: float
    against: str | None = None
    at_most: bool = False


LIMITS = {
    "fdatasync": Figure("8 KiB written and made durable", "/s"),
    "pgbench_1": Figure("pgbench INSERT, 1 client", "/s"),
    "pgbench_32": Figure("pgbench INSERT, 32 clients", "/s"),
    "copy_rows": Figure("binary COPY, two indexes", "rows/s"),
    "starlette": Figure("bare Starlette", "/s", http=True),
    "starlette_psycopg": Figure("Starlette + INSERT, psycopg", "/s", http=True),
    "starlette_asyncpg": Figure("Starlette + INSERT, asyncpg", "/s", http=True),
    "starlette_insert": Figure("Starlette + INSERT", "/s", http=True),
    "library_save": Figure("library save(), 8 threads", "events/s"),
}

OURS = {
    "append_1": Figure("append, 1 in flight", "events/s"),
    "append_256": Figure("append, 256 in flight", "events/s"),
    "append_256_whole": Figure("append, 256 in flight, while projecting", "events/s"),
    "musterroll.submit_1": Figure("submit singly, 1 conn.", "tasks/s", http=True),
    "musterroll.submit_32": Figure("submit singly, 32 conn.", "tasks/s", http=True),
    "musterroll.submit_bulk": Figure("submit in batches", "tasks/s", http=True),
    "musterroll.tasks_bulk": Figure("end to end, in batches", "tasks/s", http=True),
    "musterroll.tasks_one": Figure("end to end, one by one", "tasks/s", http=True),
    "musterroll.pickup_p50": Figure("pick-up when idle, p50", "ms", http=True),
    "musterroll.pickup_p99": Figure("pick-up when idle, p99", "ms", http=True),
    "musterroll.status": Figure("status by id, 32 conn.", "/s", http=True),
    "musterroll.status_p99": Figure("status by id, p99", "ms", http=True),
    "replay_all": Figure("replay, all models", "events/s"),
    "replay_task_board": Figure("replay, task board", "events/s"),
    "replay_agent_roster": Figure("replay, agent roster", "events/s"),
    "replay_activity_feed": Figure("replay, activity feed", "events/s"),
    "lag_tasks_p99": Figure("lag at work, p99", "ms"),
    "lag_submit_p99": Figure("lag under batches, p99", "ms"),
    "aggregate_load_p50": Figure("load 999 events, p50", "ms"),
}

GROWTH = {
    "growth_events": Figure("events in the log that has grown", "events"),
    "growth_append": Figure("append, grown:empty", "x"),
    "growth_append_grown": Figure("append, grown", "events/s"),
    "growth_append_empty": Figure("append, empty", "events/s"),
    "growth_dispatch": Figure("end to end, grown:empty", "x", http=True),
    "growth_dispatch_grown": Figure("end to end, grown", "tasks/s", http=True),
    "growth_dispatch_empty": Figure("end to end, empty", "tasks/s", http=True),
    "growth_status": Figure("status, grown:empty", "x", http=True),
    "growth_status_grown": Figure("status by id, grown", "/s", http=True),
    "growth_status_empty": Figure("status by id, empty", "/s", http=True),
    "growth_memory_mib": Figure("memory of the service, grown", "MiB"),
}

LIVE_CONNECTIONS = (100, 1_000, 5_000)
#: Who sends the same events to the same subscribers.
LIVE_SIDES = {
    "asyncio_write": "asyncio, a write an event",
    "asyncio_batch": "asyncio, a write a tick",
    "starlette": "Starlette on uvicorn",
    "uwebsockets": "uWebSockets",
    "musterroll": "Musterroll",
}
LIVE_FIGURES = {
    **{f"burst_{count}": f"burst/s, {count:,}" for count in LIVE_CONNECTIONS},
    f"single_{LIVE_CONNECTIONS[-1]}": f"singly/s, {LIVE_CONNECTIONS[-1]:,}",
    "busy": "load's core",
}
LIVE_TITLES = {
    **{f"burst_{count}": f"live bursts, {count:,} conn." for count in LIVE_CONNECTIONS},
    f"single_{LIVE_CONNECTIONS[-1]}": f"live singly, {LIVE_CONNECTIONS[-1]:,} conn.",
    "busy": "load generator's core, most",
}
LIVE = {
    "live.delivery_100_p50": Figure("command to delivery, 100, p50", "ms", http=True),
    "live.delivery_100_p99": Figure("command to delivery, 100, p99", "ms", http=True),
    "live.delivery_1000_p50": Figure("command to delivery, 1,000, p50", "ms", http=True),
    "live.delivery_1000_p99": Figure("command to delivery, 1,000, p99", "ms", http=True),
    "live.idle_kib": Figure("idle connection", "KiB", http=True),
    "live.replay": Figure("replay to one subscriber", "events/s", http=True),
    "live.storm_seconds": Figure("5,000 back at once, 100 behind", "s", http=True),
    "live.frame_bytes": Figure("a frame of ours, on average", "bytes", http=True),
}

HISTORY = {
    "history.frame_p50": Figure("freeze frame at a random position, p50", "ms"),
    "history.frame_p99": Figure("freeze frame at a random position, p99", "ms"),
    "history.frame_max": Figure("freeze frame at a random position, most", "ms"),
    "history.open_tasks": Figure("open tasks in a frame, most", "tasks"),
    "history.take_p50": Figure("a frame kept of the live read models, p50", "ms"),
    "history.take_max": Figure("a frame kept of the live read models, most", "ms"),
    "history.prove_p50": Figure("the same folded and compared, p50", "ms"),
    "history.unequal": Figure("kept frames that differ from the folded ones", "frames"),
    "history.frames_kept": Figure("frames kept", "frames"),
    "history.frames_bytes": Figure("all kept frames", "bytes"),
    "history.bisect_seconds": Figure("bisect over the whole log", "s"),
    "history.bisect_folds": Figure("bisect over the whole log", "folds"),
    "history.fill_seconds": Figure("making the log", "s"),
    "history.why_p50": Figure("why, p50", "ms"),
    "history.why_p99": Figure("why, p99", "ms"),
    "history.why_http_p50": Figure("why, p50", "ms", http=True),
    "history.why_http_p99": Figure("why, p99", "ms", http=True),
    "history.what_if_seconds": Figure("what if, all decisions", "s"),
    "history.what_if_decisions": Figure("what if, decisions replayed", "decisions"),
    "history.what_if_loop_p99": Figure("others wait for a what-if, p99", "ms"),
    "history.append_without_sealing": Figure("append, 256 in flight, not sealed", "events/s"),
    "history.append_with_sealing": Figure("append, 256 in flight, sealed", "events/s"),
    "history.append_cpu_microseconds": Figure("CPU of one append, not sealed", "us"),
    "history.append_sealed_cpu_microseconds": Figure("CPU of one append, sealed", "us"),
    "history.sealing_cost_percent": Figure("sealing costs who appends", "%"),
    "history.sealing_cost_percent_rounds": Figure("the same, round by round", "%"),
    "history.seal_events": Figure("sealing a log behind", "events/s"),
    "history.verify_events": Figure("audit verify", "events/s"),
    "history.verify_events_a_cpu_second": Figure("audit verify, a CPU second of its own", "events"),
    "history.decided_events": Figure("events of the log with decisions", "events"),
    "history.sealed_events": Figure("events of the log that is verified", "events"),
}

PEERS = {
    "musterroll": "Musterroll",
    "pgqueuer": "PgQueuer",
    "procrastinate": "Procrastinate",
    "dbos": "DBOS",
    "taskiq": "taskiq on Redis",
    "restate": "Restate",
}
PEER_FIGURES = {
    "submit_1": "submit/s, 1",
    "submit_32": "32 in flight",
    "submit_bulk": "bulk",
    "tasks_one": "end to end/s, singly",
    "tasks_bulk": "bulk",
    "pickup_p50": "pick-up p50 ms",
    "pickup_p99": "p99 ms",
    "status": "status/s",
}
PEER_TITLES = {
    "submit_1": "submit, 1",
    "submit_32": "submit, 32",
    "submit_bulk": "submit, bulk",
    "tasks_one": "tasks singly",
    "tasks_bulk": "tasks in bulk",
    "pickup_p50": "pick-up p50",
    "pickup_p99": "pick-up p99",
    "status": "status",
}
#: Bulk figures of those that have no bulk call are those of single calls, one after another.
NO_BULK = frozenset({"dbos", "taskiq", "restate"})

GOALS = (
    Goal(figure="append_256", bound=25_000),
    Goal(figure="append_256", bound=20.0, against="library_save"),
    Goal(figure="append_1", bound=0.6, against="pgbench_1"),
    Goal(figure="musterroll.submit_32", bound=1.0, against="starlette_insert"),
    Goal(figure="musterroll.submit_32", bound=2.0, against="restate.submit_32"),
    Goal(figure="musterroll.submit_bulk", bound=20_000),
    Goal(figure="musterroll.tasks_bulk", bound=5_000),
    Goal(figure="musterroll.tasks_bulk", bound=0.9, against="pgqueuer.tasks_bulk"),
    Goal(figure="musterroll.tasks_bulk", bound=6.0, against="procrastinate.tasks_bulk"),
    Goal(figure="musterroll.tasks_bulk", bound=6.0, against="dbos.tasks_one"),
    Goal(figure="musterroll.tasks_bulk", bound=3.0, against="restate.tasks_one"),
    Goal(figure="musterroll.tasks_one", bound=1_700),
    Goal(figure="musterroll.tasks_one", bound=1.0, against="pgqueuer.tasks_one"),
    Goal(figure="musterroll.pickup_p50", bound=5, at_most=True),
    Goal(figure="musterroll.pickup_p99", bound=15, at_most=True),
    Goal(figure="musterroll.status", bound=8_000),
    Goal(figure="musterroll.status_p99", bound=15, at_most=True),
    Goal(figure="replay_all", bound=60_000),
    Goal(figure="replay_task_board", bound=100_000),
    Goal(figure="replay_agent_roster", bound=100_000),
    Goal(figure="replay_activity_feed", bound=100_000),
    Goal(figure="lag_tasks_p99", bound=500, at_most=True),
    Goal(figure="lag_submit_p99", bound=500, at_most=True),
    Goal(figure="aggregate_load_p50", bound=2, at_most=True),
    *(
        Goal(
            figure=f"live.musterroll.burst_{count}",
            bound=bound,
            against=f"live.{side}.burst_{count}",
        )
        for side, count, bound in (
            ("asyncio_batch", 1_000, 0.7),
            ("asyncio_batch", 5_000, 0.9),
            ("starlette", 1_000, 5.0),
            ("starlette", 5_000, 5.0),
            ("uwebsockets", 5_000, 1.0),
        )
    ),
    Goal(
        figure="live.musterroll.single_5000", bound=0.75, against="live.asyncio_write.single_5000"
    ),
    Goal(figure="live.delivery_100_p50", bound=3, at_most=True),
    Goal(figure="live.delivery_100_p99", bound=10, at_most=True),
    Goal(figure="live.delivery_1000_p50", bound=7, at_most=True),
    Goal(figure="live.delivery_1000_p99", bound=15, at_most=True),
    Goal(figure="live.idle_kib", bound=30, at_most=True),
    Goal(figure="live.replay", bound=50_000),
    Goal(figure="live.storm_seconds", bound=4, at_most=True),
    Goal(figure="growth_append", bound=0.9),
    Goal(figure="growth_dispatch", bound=0.9),
    Goal(figure="growth_status", bound=0.9),
    Goal(figure="history.frame_p99", bound=2_000, at_most=True),
    Goal(figure="history.why_http_p99", bound=50, at_most=True),
    Goal(figure="history.what_if_seconds", bound=30, at_most=True),
    Goal(figure="history.sealing_cost_percent", bound=2, at_most=True),
    Goal(figure="history.verify_events", bound=300_000),
)


def described(figure: str) -> Figure:
    """A figure by its name, the peers' as well."""
    known = {**LIMITS, **OURS, **GROWTH, **LIVE, **HISTORY}
    if figure in known:
        return known[figure]
    peer, _, measured = figure.partition(".")
    if peer == "live":
        side, _, measured = measured.partition(".")
        title = f"{LIVE_SIDES[side]}, {LIVE_TITLES[measured]}"
        return Figure(title, "share" if measured == "busy" else "/s", http=side == "musterroll")
    unit = "ms" if measured.startswith("pickup") else "/s"
    title = f"{PEERS[peer]}, {PEER_TITLES[measured]}"
    return Figure(title, unit, http=peer == "restate")
