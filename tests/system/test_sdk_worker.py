"""The SDK's worker against a whole service."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from musterroll import Client, MusterrollError, Task, TaskFailed, Worker
from musterroll.errors import Forbidden, Unauthorized
from musterroll.models import NewTask, TaskStatus
from musterroll.workers import command_worker
from tests.conftest import Database
from tests.interfaces.service import PASSWORD, Service
from tests.system.sdk_line import Line

PATIENCE_SECONDS = 30


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    """One that hears of its workers often, and misses them soon."""
    quick: dict[str, Any] = {"heartbeat_seconds": 0.2, "lease_seconds": 3, "offline_seconds": 3}
    with Service(database, tmp_path, **quick) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url, username="admin", password=PASSWORD) as client:
        yield client


def a_worker(service: Service, name: str = "counter", **options: Any) -> Worker:
    credentials = {"username": "admin", "password": PASSWORD}
    return Worker(**{"url": service.url, "name": name, **credentials, **options})


class Run:
    """A worker in a thread, with an event loop of its own."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.error: MusterrollError | None = None
        self._thread = threading.Thread(target=self._run, name="worker")
        self._thread.start()

    def end(self) -> None:
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the worker did not end"

    def _run(self) -> None:
        try:
            asyncio.run(self.worker.serve())
        except MusterrollError as error:
            self.error = error


@contextmanager
def at_work(*workers: Worker) -> Iterator[list[Run]]:
    runs = [Run(worker) for worker in workers]
    try:
        yield runs
    finally:
        for run in runs:
            run.worker.stop(hurry=True)
        for run in runs:
            run.end()


def ended(client: Client, task_id: str) -> TaskStatus:
    return client.tasks.wait(task_id, timeout_seconds=PATIENCE_SECONDS)


def until(holds: Callable[[], Any]) -> None:
    """Ask again and again: there is no event for what another process knows."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_handlers_of_both_sorts_do_tasks(service: Service, client: Client) -> None:
    worker = a_worker(service, slots=4)

    @worker.task("plain")
    def plain(task: Task) -> dict[str, Any]:
        task.progress(0.5, "half way")
        return {"input": task.input, "thread": threading.current_thread().name}

    @worker.task("async")
    async def in_loop(task: Task) -> dict[str, Any]:
        await task.progress(0.5, "half way")
        return {"labels": dict(task.labels), "attempt": task.attempt}

    with at_work(worker):
        one = client.tasks.submit("plain", {"n": 1})
        other = client.tasks.submit("async", labels={"a": "b"})
        done = ended(client, one.id)

        assert done.status == "completed"
        assert done.result["input"] == {"n": 1}
        assert ended(client, other.id).result == {"labels": {"a": "b"}, "attempt": 1}
        (agent,) = client.agents.list()
        assert (agent.name, agent.online, agent.slots) == ("counter", True, 4)
        assert agent.capabilities == ("async", "plain")
        assert agent.id == worker.agent_id
        until(lambda: client.agents.get(agent.id).memory is not None)


def test_progress_is_seen_while_the_work_goes_on(service: Service, client: Client) -> None:
    worker = a_worker(service)
    go_on = threading.Event()

    @worker.task("count")
    def count(task: Task) -> str:
        task.progress(0.25, "a quarter")
        assert go_on.wait(PATIENCE_SECONDS)
        return "done"

    with at_work(worker):
        task = client.tasks.submit("count")
        until(lambda: client.tasks.status(task.id).progress == 0.25)
        found = client.tasks.get(task.id)
        go_on.set()

        assert (found.status, found.progress_message) == ("running", "a quarter")
        assert ended(client, task.id).status == "completed"


def test_many_tasks_are_done_once_each(service: Service, client: Client) -> None:
    seen: list[int] = []
    workers = [a_worker(service, name=f"w{n}", slots=8) for n in range(2)]
    for worker in workers:

        @worker.task("count")
        async def count(task: Task) -> int:
            seen.append(task.input)
            return int(task.input) * 2

    outcomes = client.tasks.submit_many(NewTask(kind="count", input=n) for n in range(400))
    with at_work(*workers):
        until(lambda: client.tasks.counts().counts["completed"] == 400)

    assert sorted(seen) == list(range(400))
    assert client.tasks.status(str(outcomes[21].id)).result == 42


def test_a_handler_that_raises_is_tried_again(service: Service, client: Client) -> None:
    worker = a_worker(service)
    attempts: list[int] = []

    @worker.task("flaky")
    def flaky(task: Task) -> str:
        attempts.append(task.attempt)
        if task.attempt == 1:
            raise ConnectionError("no route")
        return "done"

    @worker.task("hopeless")
    async def hopeless(_: Task) -> None:
        raise TaskFailed("no_such_file", "a.txt is not there")

    @worker.task("unwritable")
    def unwritable(_: Task) -> object:
        return object()

    with at_work(worker):
        flaky_task = client.tasks.submit("flaky")
        hopeless_task = client.tasks.submit("hopeless")
        unwritable_task = client.tasks.submit("unwritable")

        failed = ended(client, hopeless_task.id)
        assert (failed.status, failed.attempt) == ("failed", 1)
        assert failed.error is not None
        assert (failed.error.code, failed.error.message) == ("no_such_file", "a.txt is not there")
        unwritten = ended(client, unwritable_task.id).error
        assert unwritten is not None
        assert unwritten.code == "invalid_result"
        assert ended(client, flaky_task.id).status == "completed"
    assert attempts == [1, 2]


def test_a_task_that_takes_too_long_fails(service: Service, client: Client) -> None:
    worker = a_worker(service)

    @worker.task("slow")
    async def slow(_: Task) -> None:
        await asyncio.Event().wait()

    with at_work(worker):
        task = client.tasks.submit("slow", timeout_seconds=1, max_attempts=1)
        failed = ended(client, task.id)

    assert failed.error is not None
    assert failed.error.code == "timeout"


def test_cancellation_reaches_handlers_of_both_sorts(service: Service, client: Client) -> None:
    worker = a_worker(service, slots=2)
    begun = threading.Barrier(3)
    stopped = {"plain": threading.Event(), "async": threading.Event()}

    @worker.task("plain")
    def plain(task: Task) -> None:
        begun.wait()
        while not task.cancelled:
            time.sleep(0.001)
        stopped["plain"].set()

    @worker.task("async")
    async def in_loop(_: Task) -> None:
        await asyncio.to_thread(begun.wait)
        try:
            await asyncio.Event().wait()
        finally:
            stopped["async"].set()

    with at_work(worker):
        tasks = [client.tasks.submit("plain"), client.tasks.submit("async")]
        begun.wait(PATIENCE_SECONDS)
        for task in tasks:
            client.tasks.cancel(task.id)

        assert all(event.wait(PATIENCE_SECONDS) for event in stopped.values())
        assert [ended(client, task.id).status for task in tasks] == ["cancelled"] * 2


def test_a_busy_thread_does_not_starve_the_heartbeats(service: Service, client: Client) -> None:
    worker = a_worker(service)

    @worker.task("busy")
    def busy(_: Task) -> int:
        until_then = time.monotonic() + 4  # longer than a lease
        return sum(1 for _ in iter(lambda: time.monotonic() < until_then, False))

    with at_work(worker):
        done = ended(client, client.tasks.submit("busy").id)

    assert (done.status, done.attempt) == ("completed", 1)


def test_a_stopping_worker_lets_its_task_end_and_takes_no_other(
    service: Service, client: Client
) -> None:
    worker = a_worker(service)
    begun, go_on = threading.Event(), threading.Event()

    @worker.task("count")
    def count(_: Task) -> str:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return "done"

    with at_work(worker) as (run,):
        first, second = client.tasks.submit("count"), client.tasks.submit("count")
        assert begun.wait(PATIENCE_SECONDS)
        worker.stop()
        go_on.set()
        run.end()

    # The read model may be a moment behind what the worker reported last.
    assert ended(client, first.id).status == "completed"
    assert client.tasks.status(second.id).status == "queued"


def test_what_does_not_end_in_time_is_given_back_unharmed(service: Service, client: Client) -> None:
    worker = a_worker(service, grace_seconds=0.05)
    begun = threading.Event()

    @worker.task("count")
    async def count(_: Task) -> None:
        begun.set()
        await asyncio.Event().wait()

    with at_work(worker) as (run,):
        task = client.tasks.submit("count", max_attempts=1)
        assert begun.wait(PATIENCE_SECONDS)
        worker.stop()
        run.end()

    began = [e.type for e in client.log(aggregate_id=task.id)].index("task.started") + 1
    client.tasks.status(task.id, wait_seconds=PATIENCE_SECONDS, after_version=began)
    found = client.tasks.get(task.id)
    assert (found.status, found.failures) == ("queued", 0)


def test_a_worker_works_again_after_a_stop(service: Service, client: Client) -> None:
    worker = a_worker(service)
    worker.task("count")(lambda task: task.input)

    for n in (1, 2):
        with at_work(worker):
            assert ended(client, client.tasks.submit("count", n).id).result == n

    assert len(list(client.agents.list())) == 1


def test_an_agents_own_credentials_are_used_as_they_are(service: Service, client: Client) -> None:
    made = client.agents.register("ready", ["count"], slots=2)
    worker = Worker(
        service.url,
        name="whatever",
        slots=2,
        client_id=made.client_id,
        client_secret=made.client_secret,
    )
    worker.task("count")(lambda task: task.input)

    with at_work(worker):
        assert ended(client, client.tasks.submit("count", 7).id).result == 7
        assert worker.agent_id == made.id

    assert [agent.name for agent in client.agents.list()] == ["ready"]


def test_one_name_has_one_worker_the_latest(service: Service, client: Client) -> None:
    former, latter = a_worker(service, slots=1), a_worker(service, slots=3)
    for worker in (former, latter):
        worker.task("count")(lambda task: task.input)

    with at_work(former) as (run,):
        until(lambda: former.agent_id)
        with at_work(latter):
            run.end()
            assert ended(client, client.tasks.submit("count", 7).id).result == 7
            (agent,) = client.agents.list()

    assert isinstance(run.error, Unauthorized)
    assert "another worker take its name" in str(run.error)
    assert agent.slots == 3


def test_a_worker_of_a_retired_agent_ends(service: Service, client: Client) -> None:
    worker = a_worker(service)
    worker.task("count")(lambda task: task.input)

    with at_work(worker) as (run,):
        until(lambda: worker.agent_id)
        client.agents.retire(str(worker.agent_id))
        run.end()

    assert run.error is not None


def test_a_worker_needs_the_right_to_register(service: Service, client: Client) -> None:
    program = client.clients.create("reader", scopes=["tasks:read"])
    worker = Worker(
        service.url,
        name="counter",
        client_id=program.client_id,
        client_secret=program.client_secret,
    )
    worker.task("count")(lambda task: task.input)

    with pytest.raises(Forbidden):
        worker.run()


def test_a_drained_agent_gets_nothing_until_it_is_resumed(service: Service, client: Client) -> None:
    worker = a_worker(service)
    worker.task("count")(lambda task: task.input)

    with at_work(worker):
        until(lambda: worker.agent_id)
        client.agents.drain(str(worker.agent_id))
        task = client.tasks.submit("count", 7)
        until(lambda: client.tasks.status(task.id).waiting_reason == "agents_draining")
        client.agents.resume(str(worker.agent_id))

        assert ended(client, task.id).result == 7


def test_a_program_does_tasks(service: Service, client: Client) -> None:
    argv = ["python3", "-c", "import json, sys; print(len(json.load(sys.stdin)))"]
    worker = command_worker(
        service.url, name="wc", kind="count", argv=argv, username="admin", password=PASSWORD
    )

    with at_work(worker):
        assert ended(client, client.tasks.submit("count", "four").id).result == 4


def test_a_result_survives_an_outage(
    service: Service, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()
    with Line(service.url) as line, caplog.at_level(logging.INFO, logger="musterroll"):
        worker = a_worker(service, url=line.url)

        @worker.task("count")
        def count(_: Task) -> str:
            begun.set()
            assert go_on.wait(PATIENCE_SECONDS)
            done.set()
            return "kept"

        with at_work(worker):
            task = client.tasks.submit("count")
            assert begun.wait(PATIENCE_SECONDS)
            until(lambda: client.tasks.status(task.id).status == "running")
            line.cut()
            go_on.set()
            assert done.wait(PATIENCE_SECONDS)
            until(lambda: "Results are kept" in caplog.text)
            line.mend()
            found = ended(client, task.id)
            until(lambda: "the service answers again" in caplog.text)

    assert (found.status, found.result, found.attempt) == ("completed", "kept", 1)


def test_a_result_whose_answer_was_lost_is_recorded_once(service: Service, client: Client) -> None:
    begun, go_on = threading.Event(), threading.Event()
    with Line(service.url) as line:
        worker = a_worker(service, url=line.url)

        @worker.task("count")
        def count(_: Task) -> str:
            begun.set()
            assert go_on.wait(PATIENCE_SECONDS)
            return "once"

        with at_work(worker):
            task = client.tasks.submit("count")
            assert begun.wait(PATIENCE_SECONDS)
            until(lambda: client.tasks.status(task.id).status == "running")
            line.lose_answers()
            go_on.set()
            assert line.lost_answer.wait(PATIENCE_SECONDS)
            assert ended(client, task.id).result == "once"
            line.mend()
            again = client.tasks.submit("count")
            assert ended(client, again.id).result == "once"

    types = [event.type for event in client.log(aggregate_id=task.id)]
    assert types.count("task.completed") == 1


def test_a_worker_that_was_cut_off_stops_what_is_no_longer_its_own(
    service: Service, client: Client
) -> None:
    begun, stopped = threading.Event(), threading.Event()
    with Line(service.url) as line:
        cut_off = a_worker(service, name="cut off", url=line.url)

        @cut_off.task("count")
        async def forever(_: Task) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        spare = a_worker(service, name="spare")
        spare.task("count")(lambda _: "by the spare")

        with at_work(cut_off):
            task = client.tasks.submit("count")
            assert begun.wait(PATIENCE_SECONDS)
            line.cut()
            with at_work(spare):
                found = ended(client, task.id)
                line.mend()
                assert stopped.wait(PATIENCE_SECONDS)

    assert found.result == "by the spare"
    assert found.attempt == 2
