"""Live events as the SDK reads them: every one once and in order, whatever comes in between."""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from application.live import room
from musterroll import AsyncClient, Client, MusterrollError, Task, Worker
from musterroll.errors import Forbidden, NotFound, Resync, Unauthorized
from musterroll.models import Event, NewTask, Output, TaskStatus
from musterroll.workers import command_worker
from tests.conftest import Database
from tests.interfaces.service import PASSWORD, Service
from tests.system.sdk_line import Line
from tests.system.service import ServiceProcess

PATIENCE_SECONDS = 60
CHANNELS = ["tasks", "agents"]
ADMIN: dict[str, Any] = {"username": "admin", "password": PASSWORD}
CUTS = 20


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    with Service(database, tmp_path, heartbeat_seconds=0.2) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url, **ADMIN) as client:
        yield client


def until(holds: Callable[[], Any]) -> None:
    """Ask again and again: there is no event for what another thread knows."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


class Watcher:
    """Reads events in a thread of its own, with either client, until it is told to stop."""

    def __init__(self, url: str, credentials: dict[str, Any], *, on_a_loop: bool) -> None:
        self.events: list[Event] = []
        self.error: MusterrollError | None = None
        self.begun = threading.Event()
        self._url = url
        self._credentials = credentials
        self._stopping = threading.Event()
        read = self._read_on_a_loop if on_a_loop else self._read
        self._thread = threading.Thread(target=read)
        self._thread.start()

    @property
    def cursors(self) -> list[str]:
        return [event.id for event in self.events]

    def stop(self) -> None:
        self._stopping.set()
        self.end()

    def end(self) -> None:
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "it goes on"

    def _read(self) -> None:
        try:
            with (
                Client(self._url, **self._credentials) as client,
                client.events(CHANNELS, after="start") as events,
            ):
                self.begun.set()
                stopper = threading.Thread(target=self._close_when_told, args=(events,))
                stopper.start()
                try:
                    self.events.extend(events)
                finally:
                    self._stopping.set()
                    stopper.join()
        except MusterrollError as error:
            self.error = error

    def _close_when_told(self, events: Any) -> None:
        self._stopping.wait()
        events.close()

    def _read_on_a_loop(self) -> None:
        try:
            asyncio.run(self._listen())
        except MusterrollError as error:
            self.error = error

    async def _listen(self) -> None:
        async with (
            AsyncClient(self._url, **self._credentials) as client,
            client.events(CHANNELS, after="start") as events,
        ):
            self.begun.set()
            while not self._stopping.is_set():
                try:
                    self.events.append(await asyncio.wait_for(anext(events), 0.1))
                except TimeoutError:
                    continue


@contextmanager
def watching(url: str, credentials: dict[str, Any]) -> Iterator[list[Watcher]]:
    """Both clients, as they read the whole log."""
    watchers = [Watcher(url, credentials, on_a_loop=on_a_loop) for on_a_loop in (True, False)]
    try:
        yield watchers
    finally:
        for watcher in watchers:
            watcher.stop()


@contextmanager
def submitting(client: Client) -> Iterator[None]:
    """Tasks, one after the other, as long as the block lasts."""
    stop = threading.Event()

    def submit() -> None:
        while not stop.is_set():
            client.tasks.submit("count")

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def until_more(watchers: list[Watcher], count: int = 20) -> None:
    """Each of them has seen so many more."""
    wanted = [(watcher, len(watcher.events) + count) for watcher in watchers]
    until(lambda: all(len(watcher.events) >= length for watcher, length in wanted))


def assert_all_saw_the_log(watchers: list[Watcher], client: Client) -> None:
    last = client.tasks.submit("last").cursor
    until(lambda: all(last in watcher.cursors[-3:] for watcher in watchers))
    logged = [event for event in client.log() if event.type.startswith(("task.", "agent."))]

    for watcher in watchers:
        assert watcher.events == logged[: len(watcher.events)]
        assert watcher.cursors[-1] == logged[-1].id


def test_every_event_comes_once_though_the_service_is_killed_and_started_again(
    tmp_path: Path,
) -> None:
    with ServiceProcess(tmp_path / "data") as service:
        password = (service.data_dir / "admin-password").read_text(encoding="utf-8").strip()
        admin: dict[str, Any] = {"username": "admin", "password": password}
        with Client(service.url, **admin) as client, watching(service.url, admin) as watchers:
            with submitting(client):
                for _ in range(3):
                    until_more(watchers)
                    service.kill()
                    service.start()
            assert_all_saw_the_log(watchers, client)


def test_every_event_comes_once_though_the_line_is_cut_again_and_again(
    service: Service, client: Client, rng: random.Random
) -> None:
    with Line(service.url) as line, watching(line.url, ADMIN) as watchers:
        with submitting(client):
            for _ in range(CUTS):
                time.sleep(rng.uniform(0.0, 0.1))
                line.cut()
                line.mend()
        assert_all_saw_the_log(watchers, client)


def test_a_token_that_ends_in_between_is_not_noticed(database: Database, tmp_path: Path) -> None:
    with (
        Service(database, tmp_path, token_seconds=10) as service,
        Client(service.url, **ADMIN) as client,
        watching(service.url, ADMIN) as watchers,
    ):
        ready = Watcher(service.url, {"token": client.token()}, on_a_loop=True)
        first = client.tasks.submit("first")
        until(lambda: all(first.cursor in watcher.cursors for watcher in [ready, *watchers]))
        # A ready token cannot be renewed: its end is the sign that those of the others ended.
        ready.end()
        assert_all_saw_the_log(watchers, client)

    assert isinstance(ready.error, Unauthorized)


def test_a_reader_that_falls_behind_is_sent_away_and_still_misses_nothing(
    service: Service,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(room, "STALLED_SECONDS", 0.3)
    big = "x" * 200_000
    outcomes = client.tasks.submit_many(NewTask(kind="count", input=big) for _ in range(120))

    async def read() -> list[str]:
        async with AsyncClient(service.url, **ADMIN) as slow:
            events = slow.events("tasks", after="start", follow=False)
            found = [(await anext(events)).id]
            await asyncio.sleep(2)
            return found + [event.id async for event in events]

    with caplog.at_level(logging.DEBUG, logger="musterroll"):
        assert asyncio.run(read()) == [outcome.cursor for outcome in outcomes]
    assert "4008" in caplog.text


@pytest.mark.parametrize(
    ("after", "reason"), [("99:1", "epoch_ended"), ("1:99999999", "cursor_ahead")]
)
def test_a_cursor_that_names_no_place_is_told_of_with_where_the_log_ends(
    after: str, reason: str, service: Service, client: Client
) -> None:
    task = client.tasks.submit("count")

    async def read() -> None:
        async with AsyncClient(service.url, **ADMIN) as other:
            await anext(other.events("tasks", after=after))

    with pytest.raises(Resync) as caught:
        asyncio.run(read())
    assert (caught.value.reason, caught.value.cursor) == (reason, task.cursor)
    with pytest.raises(Resync) as caught:
        next(client.events("tasks", after=after))
    assert caught.value.reason == reason


@pytest.mark.parametrize("on_a_loop", [True, False])
def test_what_one_may_not_see_is_told_of(on_a_loop: bool, service: Service, client: Client) -> None:
    program = client.clients.create("reader", scopes=["tasks:read"])
    own: dict[str, Any] = {
        "client_id": program.client_id,
        "client_secret": str(program.client_secret),
    }
    nobody = "tasks.01234567-0123-7123-8123-0123456789ab"

    def first(channel: str) -> Event:
        if not on_a_loop:
            with Client(service.url, **own) as plain:
                return next(plain.events(channel))

        async def read() -> Event:
            async with AsyncClient(service.url, **own) as other:
                return await anext(other.events(channel))

        return asyncio.run(read())

    with pytest.raises(Forbidden):
        first("agents")
    with pytest.raises(NotFound):
        first(nobody)
    with pytest.raises(MusterrollError) as caught:
        first("taskz")
    assert caught.value.code == "bad_channel"


def test_events_are_filtered_by_type_and_label(service: Service, client: Client) -> None:
    plain = client.tasks.submit("count")
    mine = client.tasks.submit("count", labels={"team": "a", "env": "b"})
    client.tasks.cancel(plain.id)
    client.tasks.cancel(mine.id)

    wanted: dict[str, Any] = {"after": "start", "types": ["task.cancelled"], "follow": False}
    labelled = client.events("tasks", labels={"team": "a"}, **wanted)

    assert [event.subject for event in labelled] == [f"task/{mine.id}"]
    assert len(list(client.events(f"tasks.{plain.id}", **wanted))) == 1
    assert labelled.cursor == client.tasks.counts().cursor


# Watching a task


def test_a_task_is_watched_to_its_end_though_the_line_is_cut(
    service: Service, client: Client
) -> None:
    seen: list[TaskStatus] = []
    with Line(service.url) as line, Client(line.url, **ADMIN, retry_seconds=0) as other:
        task = client.tasks.submit("count", approval=True)
        watch = other.watch(task.id)
        seen.append(next(watch))
        line.cut()
        thread = threading.Thread(target=lambda: seen.extend(watch))
        thread.start()
        client.tasks.approve(task.id)
        line.mend()
        until(lambda: seen[-1].status == "queued")
        line.cut()
        client.tasks.cancel(task.id, reason="enough")
        line.mend()
        thread.join(PATIENCE_SECONDS)

    assert [status.status for status in seen] == ["awaiting_approval", "queued", "cancelled"]


# Output


@contextmanager
def at_work(worker: Worker) -> Iterator[None]:
    thread = threading.Thread(target=lambda: asyncio.run(worker.serve()))
    thread.start()
    try:
        yield
    finally:
        worker.stop(hurry=True)
        thread.join(PATIENCE_SECONDS)


def said_by_task(client: Client, kind: str, listening: threading.Event) -> tuple[str, list[Output]]:
    """Submit a task, and listen to it to its end with both clients; each hears the same."""
    task = client.tasks.submit(kind)
    heard: list[Output] = []

    async def hear() -> None:
        async with (
            AsyncClient(client.url, **ADMIN) as other,
            other.output(task.id) as output,
        ):
            begun.set()
            heard.extend([piece async for piece in output])

    begun = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(hear()))
    thread.start()
    with client.output(task.id) as output:
        assert begun.wait(PATIENCE_SECONDS)
        listening.set()
        pieces = list(output)
    thread.join(PATIENCE_SECONDS)
    assert "".join(piece.text for piece in heard) == "".join(piece.text for piece in pieces)
    assert {piece.task_id for piece in pieces} == {task.id}
    return "".join(piece.text for piece in pieces), pieces


def test_what_handlers_of_both_sorts_write_is_heard_to_the_end(
    service: Service, client: Client
) -> None:
    worker = Worker(service.url, name="writer", slots=2, **ADMIN)
    listening = {"plain": threading.Event(), "async": threading.Event()}
    words = [f"word {n}\n" for n in range(200)]

    @worker.task("plain")
    def plain(task: Task) -> None:
        assert listening["plain"].wait(PATIENCE_SECONDS)
        for word in words:
            task.output(word)

    @worker.task("async")
    async def in_loop(task: Task) -> None:
        await asyncio.to_thread(listening["async"].wait, PATIENCE_SECONDS)
        for word in words:
            await task.output(word)

    with at_work(worker):
        for kind, event in listening.items():
            text, pieces = said_by_task(client, kind, event)
            assert text == "".join(words)
            assert [piece.sequence for piece in pieces] == sorted(p.sequence for p in pieces)


def test_what_a_program_writes_to_stderr_is_heard(
    service: Service, client: Client, tmp_path: Path
) -> None:
    go_on = tmp_path / "go on"
    program = f"""
import pathlib, sys, time
while not pathlib.Path({str(go_on)!r}).exists():
    time.sleep(0.01)
print("reading", file=sys.stderr, flush=True)
print("writing", file=sys.stderr)
print(7)
"""
    worker = command_worker(
        service.url, name="w", kind="count", argv=["python3", "-c", program], **ADMIN
    )

    class Listening(threading.Event):
        def set(self) -> None:
            go_on.touch()

    with at_work(worker):
        text, _ = said_by_task(client, "count", Listening())

    assert text == "reading\nwriting\n"


def test_output_of_a_task_that_has_ended_is_nothing_and_of_none_an_error(
    service: Service, client: Client
) -> None:
    task = client.tasks.submit("count")
    client.tasks.cancel(task.id)

    assert list(client.output(task.id)) == []
    with pytest.raises(NotFound):
        next(client.output("01234567-0123-7123-8123-0123456789ab"))
