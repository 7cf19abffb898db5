"""Live events: how fast they reach thousands of subscribers, of ours, of others, and at most.

A server on one core, its subscribers and PostgreSQL on the other. All sides get frames of the same
size, in bursts of so many events a tick or request, and one by one.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import ours
from benchmarks.children import Child, ChildFailed
from benchmarks.cores import cores, settle, settled_below
from benchmarks.figures import LIVE_CONNECTIONS
from benchmarks.place import Place
from benchmarks.service import Service, a_service

Record = Callable[[str, float], None]

FRAME_BYTES = 700
"""As long as our frame of `task.submitted` is, for a task without input."""
BURST_EVENTS, BURST_REQUESTS = 10, 2
"""Tasks a request to us, and requests under way."""
TICK_EVENTS = BURST_EVENTS * BURST_REQUESTS
"""Events a tick of the others: as many as may come to us while we write the last ones."""
SINGLE_REQUESTS = 1
POST_CONNECTIONS = 8
FILL_EVENTS = 1_000
KEEPING = 5
"""So many connections keep all that they get, to be compared with the log."""
SERVER_SECONDS_MAX = 30.0
ORDER_SECONDS_MAX = 180.0
EVERYTHING = ["tasks", "agents", "collaborations", "system"]
PATH = "/ws/v1/events"


def bounds(place: Place, record: Record) -> None:
    """What asyncio can do: a write an event, and a write a tick."""
    told, effort = {"frame_bytes": FRAME_BYTES}, place.effort
    for how, deliveries in (
        ("write", effort.live_single_deliveries),
        ("batch", effort.live_deliveries),
    ):
        with _a_server(place, place.ours_python, "live_floor", told) as port:
            _others(place, record, f"asyncio_{how}", port, deliveries=deliveries, how=how)


def starlette(place: Place, record: Record) -> None:
    """Stock Starlette on uvicorn, with the WebSocket implementation that uvicorn chooses."""
    told = {"frame_bytes": FRAME_BYTES, "ws": "auto"}
    with _a_server(place, place.ours_python, "live_starlette", told) as port:
        few = place.effort.live_single_deliveries
        _others(place, record, "starlette", port, deliveries=few)


def uwebsockets(place: Place, record: Record) -> None:
    """uWebSockets, by its Python binding."""
    told = {"frame_bytes": FRAME_BYTES}
    with _a_server(place, place.peers_python, "live_socketify", told) as port:
        _others(place, record, "uwebsockets", port, deliveries=place.effort.live_deliveries)


def musterroll(place: Place, record: Record) -> None:
    """Ours: everything is committed, authorized, and can be resumed."""
    with ExitStack() as held:
        held.enter_context(settled_below(place.folder, cores()[1]))
        urls = held.enter_context(place.database())
        with a_service(place, urls) as running, _a_load(place) as load:
            settle(running.pid, cores()[0])
            _Ours(place, record, running, load).deliver()
        # A new process: what thousands of connections left behind is no measure of an idle one.
        with a_service(place, urls) as running, _a_load(place) as load:
            settle(running.pid, cores()[0])
            _Ours(place, record, running, load).keep_and_replay()


LIVE_GROUPS = {
    "live_asyncio": bounds,
    "live_starlette": starlette,
    "live_uwebsockets": uwebsockets,
    "live_musterroll": musterroll,
}


class _Load:
    """The load generator, a process of its own."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.busy = 0.0

    def ask(self, do: str, **arguments: Any) -> Any:
        """One of its orders. Raises ChildFailed."""
        return self._child.ask({"do": do, **arguments}, ORDER_SECONDS_MAX)

    def rate(self, do: str, **arguments: Any) -> float:
        """Deliveries a second. `busy` is the largest share of its core that it ever took."""
        delivered = self.ask(do, **arguments)
        self.busy = max(self.busy, delivered["busy"])
        return float(delivered["rate"])


class _Ours:
    """Our service, from its subscribers' side."""

    def __init__(self, place: Place, record: Record, running: Service, load: _Load) -> None:
        self._effort = place.effort
        self._record = record
        self._running = running
        self._load = load
        with running.client() as client:
            token = client.token()
        port = int(running.url.rpartition(":")[2])
        load.ask("server", port=port, path=PATH, token=token, posts=POST_CONNECTIONS)

    def deliver(self) -> None:
        """Bursts, single events, the way of one, and everybody coming back at once."""
        effort, load = self._effort, self._load
        before = self._mark()
        for name, count in zip(LIVE_CONNECTIONS, effort.live_connections, strict=True):
            load.ask("connect", count=count, subscribe=_everything("now"), keep=KEEPING)
            self._post_burst(BURST_EVENTS, BURST_EVENTS)
            events = _events(effort.live_deliveries, count)
            rate = self._post_burst(events, BURST_EVENTS)
            self._record(f"live.musterroll.burst_{name}", rate)
            if name == LIVE_CONNECTIONS[-1]:
                continue
            took = load.ask("latency", seconds=effort.live_seconds, a_second=effort.live_a_second)
            for figure in ("p50", "p99"):
                self._record(f"live.delivery_{name}_{figure}", took[f"{figure}_ms"])
        events = _events(effort.live_single_deliveries, count)
        rate = load.rate("post", events=events, each=1, in_flight=SINGLE_REQUESTS)
        self._record(f"live.musterroll.single_{name}", rate)
        self._record("live.musterroll.busy", load.busy)
        kept = load.ask("kept")
        self._compare(kept, before)
        self._record("live.frame_bytes", kept["bytes"] / len(kept["ids"]))
        self._storm(count)

    def keep_and_replay(self) -> None:
        """What an idle connection holds, and how fast one subscriber is brought up from far."""
        effort, load = self._effort, self._load
        some, idle = effort.live_idle // 10, effort.live_idle
        load.ask("connect", count=some, subscribe=_everything("now"))
        before = self._running.memory_kib
        load.ask("connect", count=some + idle, subscribe=_everything("now"))
        self._record("live.idle_kib", (self._running.memory_kib - before) / idle)
        load.ask("close")
        load.ask("post", events=effort.live_backlog, each=FILL_EVENTS, in_flight=BURST_REQUESTS)
        replayed = load.ask("replay", subscribe=_everything("start"))
        topics = ours.count_by_topic(self._running.urls)
        logged = sum(n for topic, n in topics.items() if not topic.startswith("audit."))
        if replayed["events"] != logged:
            raise ChildFailed(f"{replayed['events']} events of {logged} were replayed")
        self._record("live.replay", replayed["rate"])

    def _post_burst(self, events: int, each: int) -> float:
        return self._load.rate("post", events=events, each=each, in_flight=BURST_REQUESTS)

    def _storm(self, count: int) -> None:
        load, behind = self._load, self._effort.live_behind
        load.ask("close")
        before = self._mark()
        load.ask("post", events=behind, each=behind, in_flight=1)
        stormed = load.ask("storm", count=count, subscribe=_everything(before), behind=behind)
        self._compare(stormed, before)
        self._record("live.storm_seconds", stormed["seconds"])

    def _mark(self) -> str:
        """A cursor where the log ends: that of one more event."""
        with self._running.client() as client:
            cursor = client.tasks.submit(ours.NOBODYS_KIND).cursor
        assert cursor is not None, "a task that is new has an event"
        return cursor

    def _compare(self, kept: Mapping[str, Any], after: str) -> None:
        """What subscribers kept is what the log holds, in its order. Raises ChildFailed."""
        with self._running.client() as client:
            logged = [e.id for e in client.log(after=after) if not e.type.startswith("audit.")]
        if not kept["alike"] or kept["ids"] != logged:
            got = f"subscribers got {len(kept['ids'])} events, the log has {len(logged)}"
            raise ChildFailed(f"{got}; alike: {kept['alike']}")


def _others(
    place: Place, record: Record, side: str, port: int, *, deliveries: int, how: str = "write"
) -> None:
    effort = place.effort
    with _a_load(place) as load:
        load.ask("server", port=port)
        for name, count in zip(LIVE_CONNECTIONS, effort.live_connections, strict=True):
            load.ask("connect", count=count)
            load.rate("push", how=how, events=TICK_EVENTS, each=TICK_EVENTS)
            events = _events(deliveries, count)
            rate = load.rate("push", how=how, events=events, each=TICK_EVENTS)
            record(f"live.{side}.burst_{name}", rate)
        if how == "write":
            events = _events(effort.live_single_deliveries, count)
            record(f"live.{side}.single_{name}", load.rate("push", how=how, events=events, each=1))
        record(f"live.{side}.busy", load.busy)


def _events(deliveries: int, connections: int) -> int:
    """So many events make about so many deliveries; whole bursts."""
    return max(1, deliveries // connections // TICK_EVENTS) * TICK_EVENTS


def _everything(after: str) -> dict[str, Any]:
    return {"channels": EVERYTHING, "after": after}


@contextmanager
def _a_server(place: Place, python: str, module: str, told: Mapping[str, Any]) -> Iterator[int]:
    """One of the others; the port it listens at."""
    with Child([python, "-m", f"benchmarks.jobs.{module}"], log=place.log) as server:
        settle(server.pid, cores()[0])
        yield server.ask(told, SERVER_SECONDS_MAX)["port"]


@contextmanager
def _a_load(place: Place) -> Iterator[_Load]:
    with Child([place.ours_python, "-m", "benchmarks.jobs.live_load"], log=place.log) as child:
        settle(child.pid, cores()[1])
        yield _Load(child)
