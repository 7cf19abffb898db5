"""The subscribers of live events: thousands of connections on one core, cheaper than any server.

One epoll loop reads what there is into one buffer and counts events by the mark that each holds
once; nothing is decoded while it is measured. Some connections keep all that they got, to be
compared with the log afterwards. Told one order a line, it answers each; see the methods of Load.
"""

import random
import re
import resource
import select
import time
from collections.abc import Callable
from typing import Any

import orjson

from benchmarks.jobs.job import answer_each
from benchmarks.jobs.live_posts import Posts
from benchmarks.jobs.live_subscriber import Subscriber
from benchmarks.timing import percentile

HOST = "127.0.0.1"
FILES_READY_MAX = 1_024
WAIT_SECONDS_MAX = 120.0
OPEN_FILES = 16_384
SENT = re.compile(rb'"sent_ns":(\d+)[,}]')
SENT_BYTES_MAX = 64
KIND = "live"
CHANCE = random.Random(1)  # noqa: S311 - moments, no secrets

Ready = Callable[[], bool]


class NotInTime(Exception):
    """What was waited for did not come, or more came than was sent."""


class Load:
    """All subscribers of one server, and who makes events happen there."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._subscribers: dict[int, Subscriber] = {}
        self._opening: dict[int, Subscriber] = {}
        self._posts: Posts | None = None
        self._events = 0
        self._ready = 0
        self._wanted_each = 0
        self._address = (HOST, 0)
        self._path = "/"
        self._token: str | None = None

    def obey(self, order: dict[str, Any]) -> Any:
        """One of the public methods, by its name in `do`. Raises NotInTime, Refused, PostFailed."""
        arguments = {name: value for name, value in order.items() if name != "do"}
        return getattr(self, order["do"])(**arguments)

    # Who listens.

    def server(
        self, *, port: int, path: str = "/", token: str | None = None, posts: int = 0
    ) -> None:
        """Whom everything is about; `posts`: over so many connections commands will go."""
        self._address = (HOST, port)
        self._path, self._token = path, token
        if posts:
            assert token is not None
            self._posts = Posts(self._address, token, connections=posts)
            for file in self._posts.files:
                self._epoll.register(file, select.EPOLLIN)

    def connect(
        self, *, count: int, subscribe: dict[str, Any] | None = None, keep: int = 0
    ) -> dict[str, float]:
        """Open connections, all at once, until there are so many; the first `keep` keep all."""
        began = time.monotonic()
        for number in range(len(self._subscribers), count):
            one = Subscriber(self._address, subscribe)
            one.events = self._wanted_each
            if number < keep:
                one.kept = []
            self._opening[one.socket.fileno()] = one
            self._epoll.register(one.socket, select.EPOLLOUT)
        self._until(lambda: self._ready == count)
        return {"seconds": time.monotonic() - began}

    def close(self) -> None:
        """End all connections of subscribers, as a power cut would."""
        for one in self._subscribers.values():
            one.socket.close()
        self._subscribers.clear()
        self._events = self._ready = self._wanted_each = 0

    def storm(self, *, count: int, subscribe: dict[str, Any], behind: int) -> dict[str, Any]:
        """So many reconnect at once, each so many events behind; seconds until all caught up.

        `ids`: what one of them got; `alike`: whether all got the same.
        """
        took = self.connect(count=count, subscribe=subscribe, keep=count)["seconds"]
        self._wanted_each = behind
        self._check()
        return {"seconds": took, **self.kept()}

    def replay(self, *, subscribe: dict[str, Any]) -> dict[str, float]:
        """One subscriber from far behind; events a second until it caught up."""
        took = self.connect(count=1, subscribe=subscribe)["seconds"]
        [one] = self._subscribers.values()
        return {"events": one.events, "rate": one.events / took}

    # What happens.

    def push(self, *, how: str, events: int, each: int) -> dict[str, float]:
        """A floor pushes by itself; deliveries a second from the order to the last of them."""
        first = next(iter(self._subscribers.values()))
        return self._deliver(events, lambda: first.say(f"{how} {events} {each}"))

    def post(self, *, events: int, each: int, in_flight: int) -> dict[str, float]:
        """Tasks submitted, so many a request; deliveries a second from the first request on."""
        posts, bodies = self._posts, _submissions(events, each)
        assert posts is not None
        path = "/v1/tasks/batch" if each > 1 else "/v1/tasks"
        busy = len(posts.files) - in_flight

        def send() -> None:
            while bodies and posts.free > busy:
                posts.send(path, bodies.pop())

        return self._deliver(events, send, send)

    def latency(self, *, seconds: float, a_second: float, text_bytes: int = 0) -> dict[str, float]:
        """Single tasks, nearly evenly spread: from just before a request to each delivery, ms."""
        posts = self._posts
        assert posts is not None
        keeping = {one: one.kept for one in self._subscribers.values()}
        for one in keeping:
            one.kept = []
        began = time.monotonic()
        moments = [
            began + (number + CHANCE.random() / 2) / a_second
            for number in range(int(seconds * a_second))
        ]
        moments.reverse()
        events, text = len(moments), "x" * text_bytes

        def send_what_is_due() -> None:
            while moments and moments[-1] <= time.monotonic() and posts.free:
                moments.pop()
                said = {"sent_ns": time.monotonic_ns(), "text": text}
                posts.send("/v1/tasks", orjson.dumps({"kind": KIND, "input": said}))

        delivered = self._deliver(
            events, send_what_is_due, send_what_is_due, lambda: moments[-1] if moments else None
        )
        took = [ms for one in self._subscribers.values() for ms in _latencies_ms(one)]
        assert len(took) == events * len(self._subscribers), "every event says when it was sent"
        for one, former in keeping.items():
            one.kept = None if former is None else former + (one.kept or [])
        return {
            "p50_ms": percentile(took, 0.5),
            "p99_ms": percentile(took, 0.99),
            "busy": delivered["busy"],
        }

    def kept(self) -> dict[str, Any]:
        """The ids of events that those got who kept them, and whether all got the same.

        `bytes`: how many were read by the one whose ids they are.
        """
        keeping = [one for one in self._subscribers.values() if one.kept is not None]
        lists = [one.ids() for one in keeping]
        size = sum(len(read) for _, read in keeping[0].kept or ())
        for one in keeping:
            one.kept = []
        alike = all(ids == lists[0] for ids in lists)
        return {"ids": lists[0], "alike": alike, "bytes": size}

    def _deliver(
        self,
        events: int,
        begin: Callable[[], None],
        between: Callable[[], None] = lambda: None,
        next_moment: Callable[[], float | None] = lambda: None,
    ) -> dict[str, float]:
        self._wanted_each += events if self._subscribers else 0
        before = self._events
        wanted = before + events * len(self._subscribers)
        began, cpu = time.monotonic(), time.process_time()
        begin()
        self._until(lambda: self._events >= wanted and self._answered(), between, next_moment)
        took = time.monotonic() - began
        busy = (time.process_time() - cpu) / took
        self._check()
        return {"seconds": took, "rate": (wanted - before) / took, "busy": busy}

    # The loop.

    def _until(
        self,
        done: Ready,
        between: Callable[[], None] = lambda: None,
        next_moment: Callable[[], float | None] = lambda: None,
    ) -> None:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not done():
            now = time.monotonic()
            if now > deadline:
                raise NotInTime(self._how_far())
            due = next_moment()
            timeout = 1.0 if due is None else max(0.0, due - now)
            self._take(self._epoll.poll(timeout, FILES_READY_MAX))
            between()

    def _take(self, ready: list[tuple[int, int]]) -> None:
        subscribers = self._subscribers
        events = 0
        for file, _ in ready:
            one = subscribers.get(file)
            if one is None:
                self._take_another(file)
            elif one.ready:
                events += one.take()
            else:
                events += one.take()
                self._ready += one.ready
        self._events += events

    def _take_another(self, file: int) -> None:
        one = self._opening.pop(file, None)
        if one is None:
            assert self._posts is not None
            self._posts.take(file)
            return
        one.ask(self._path, self._token)
        self._epoll.modify(file, select.EPOLLIN)
        self._subscribers[file] = one

    def _answered(self) -> bool:
        return self._posts is None or self._posts.free == len(self._posts.files)

    def _check(self) -> None:
        """Nobody got more, or less, than everybody else."""
        if any(one.events != self._wanted_each for one in self._subscribers.values()):
            raise NotInTime(self._how_far())

    def _how_far(self) -> str:
        got = [one.events for one in self._subscribers.values()]
        least, most = min(got, default=0), max(got, default=0)
        words = f"{self._ready} of {len(got)} connections are ready, {len(self._opening)} opening; "
        return words + f"they got {least} to {most} events of {self._wanted_each}"


def _submissions(events: int, each: int) -> list[bytes]:
    task = {"kind": KIND}
    if each == 1:
        return [orjson.dumps(task)] * events
    sizes = [min(each, events - begun) for begun in range(0, events, each)]
    return [orjson.dumps({"tasks": [task] * size}) for size in reversed(sizes)]


def _latencies_ms(one: Subscriber) -> list[float]:
    took = []
    tail = b""
    for at, read in one.kept or ():
        text = tail + read
        ends = 0
        for found in SENT.finditer(text):
            took.append((at - int(found[1])) / 1e6)
            ends = found.end()
        tail = text[max(ends, len(text) - SENT_BYTES_MAX) :]
    return took


def _allow_many_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))


if __name__ == "__main__":
    _allow_many_open_files()
    answer_each(Load().obey)
