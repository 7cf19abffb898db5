import asyncio
import base64
import logging
import threading
import time

import orjson
import pytest

from musterroll import Task, Worker
from musterroll._worker.enlist import agent_of
from musterroll._worker.vitals import Vitals, watch_loop
from musterroll.errors import Invalid, Unavailable


def count(task: Task) -> int:
    return len(task.input)


def test_a_handler_stays_a_function() -> None:
    worker = Worker(name="counter")

    handler = worker.task("count")(count)

    assert handler(Task(kind="count", input="four")) == 4
    assert worker.handlers == {"count": count}


def test_a_kind_has_one_handler() -> None:
    worker = Worker(name="counter")
    worker.task("count")(count)

    with pytest.raises(ValueError, match="'count' has a handler already"):
        worker.task("count")(count)


def test_a_worker_without_a_handler_does_not_begin() -> None:
    with pytest.raises(Invalid, match="worker idle has no handler"):
        asyncio.run(Worker("http://127.0.0.1:9", name="idle").serve())


def test_a_worker_that_finds_no_service_says_so_at_once(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MUSTERROLL_URL", "MUSTERROLL_CLIENT_ID", "MUSTERROLL_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUSTERROLL_DATA_DIR", str(tmp_path))
    worker = Worker(name="counter")
    worker.task("count")(count)

    with pytest.raises(Unavailable, match="`muster up`"):
        worker.run()


def test_a_worker_waits_for_its_service_and_can_be_stopped_meanwhile() -> None:
    worker = Worker(name="counter").connect_to("http://127.0.0.1:9", token="t.t.t")
    worker.task("count")(count)

    async def scenario() -> None:
        serving = asyncio.create_task(worker.serve())
        await asyncio.sleep(0)
        assert not serving.done()
        threading.Thread(target=worker.stop).start()
        await asyncio.wait_for(serving, 5)

    asyncio.run(scenario())


def test_a_worker_that_was_stopped_before_it_began_ends_at_once() -> None:
    worker = Worker("http://127.0.0.1:9", name="counter", client_id="c", client_secret="s")
    worker.task("count")(count)
    worker.stop()

    asyncio.run(worker.serve())


def a_token(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()
    return f"header.{payload}.signature"


def test_a_token_tells_whose_agent_it_is() -> None:
    assert agent_of(a_token(agent_id="a1")) == "a1"
    assert agent_of(a_token(sub="ann")) is None
    assert agent_of("no token at all") is None
    assert agent_of("a.%%%.c") is None


def test_readings_are_percentages() -> None:
    vitals = Vitals()
    reading = vitals.read()

    assert reading.memory is None or 0 <= reading.memory <= 100
    assert reading.cpu is None or 0 <= reading.cpu <= 100


def test_a_handler_that_blocks_the_loop_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        watching = asyncio.create_task(watch_loop(look_seconds=0.01, blocked_seconds=0.02))
        await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251  what a handler should not do
        while not caplog.messages:  # noqa: ASYNC110  a log has no event to wait for
            await asyncio.sleep(0.001)
        watching.cancel()

    with caplog.at_level(logging.WARNING, logger="musterroll"):
        asyncio.run(asyncio.wait_for(scenario(), 5))

    assert "the event loop was blocked for 0.1 s" in caplog.text
