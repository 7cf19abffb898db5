"""Load over HTTP that costs little, or it would measure itself: bytes are made beforehand, and an
answer is looked at only for its status and its length.

Told `{"port", "requests", "connections", "warm_up_seconds", "seconds" or "count", ...}`, it answers
`{"answers", "rate", "began", "ended", "p50_ms", "p99_ms", "ids"}`; times are time.monotonic().
Every connection is kept alive and has one request under way. Any answer other than 2xx, and those
statuses that are told to be `also_good`, is a failure.
"""

import asyncio
import os
import re
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain, count, islice, repeat
from typing import Any

import orjson
import uvloop

from benchmarks.jobs.job import answer
from benchmarks.payload import BATCH_TASKS, KIND, payload
from benchmarks.timing import percentile

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TASK_ID = re.compile(rb'"task_id": *"([0-9a-f-]{36})"')
KEPT_ANSWERS_EVERY = 10


class Refused(Exception):
    """An answer was not 2xx, or had an error in it, or none came."""


class Tally:
    """What came of the requests of one measurement."""

    def __init__(self, requests: Iterator[bytes], ids_max: int) -> None:
        self.requests = requests
        self.took: list[float] = []
        self.ids: list[str] = []
        self.began = time.monotonic()
        self._ids_max = ids_max

    def note(self, seconds: float, body: bytes) -> None:
        """One complete, good answer."""
        self.took.append(seconds)
        if len(self.ids) < self._ids_max and len(self.took) % KEPT_ANSWERS_EVERY == 1:
            self.ids += [found.decode() for found in TASK_ID.findall(body)]

    def result(self) -> dict[str, Any]:
        """As it is answered."""
        ended = time.monotonic()
        milliseconds = [seconds * 1_000 for seconds in self.took] or [0.0]
        return {
            "answers": len(self.took),
            "rate": len(self.took) / (ended - self.began),
            "began": self.began,
            "ended": ended,
            "p50_ms": percentile(milliseconds, 0.5),
            "p99_ms": percentile(milliseconds, 0.99),
            "ids": self.ids[: self._ids_max],
        }


class Connection(asyncio.Protocol):
    """One connection: sends a request when the answer to the last one is complete."""

    def __init__(self, also_good: frozenset[bytes]) -> None:
        self._also_good = also_good
        self._buffer = b""
        self._whole = 0
        self._sent = 0.0
        self._tally: Tally | None = None
        self._done: asyncio.Future[None] | None = None
        self._transport: Any = None

    async def work_off(self, tally: Tally) -> None:
        """Take requests until there are no more. Raises Refused."""
        self._tally = tally
        self._done = asyncio.get_running_loop().create_future()
        self._send_next()
        await self._done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server closed the connection")

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if self._whole == 0 and not self._read_head():
            return
        if len(self._buffer) >= self._whole:
            body, self._buffer, self._whole = self._buffer, b"", 0
            assert self._tally is not None
            if b'"error":{' in body:
                self._fail(body[-300:].decode(errors="replace"))
            else:
                self._tally.note(time.monotonic() - self._sent, body)
                self._send_next()

    def close(self) -> None:
        """End the connection."""
        self._tally = None
        self._transport.abort()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._buffer[:end]
        length = LENGTH.search(head)
        if not (head[9:10] == b"2" or head[9:12] in self._also_good) or length is None:
            self._fail(self._buffer[:600].decode(errors="replace").replace("\r\n", " | "))
            return False
        self._whole = end + 4 + int(length[1])
        return True

    def _send_next(self) -> None:
        assert self._tally is not None
        assert self._done is not None
        request = next(self._tally.requests, None)
        if request is None:
            self._done.set_result(None)
        else:
            self._sent = time.monotonic()
            self._transport.write(request)

    def _fail(self, why: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(Refused(why))


def requests(told: dict[str, Any]) -> Iterator[bytes]:
    """Without end: requests of the kind that is asked for.

    `submit` and `batch` carry an Idempotency-Key of their own each, as the SDK's do.
    """
    head = f"Host: 127.0.0.1:{told['port']}\r\n"
    if "token" in told:
        head += f"Authorization: Bearer {told['token']}\r\n"
    match told["requests"]:
        case "get":
            return repeat(f"GET {told['path']} HTTP/1.1\r\n{head}\r\n".encode())
        case "post":
            return repeat(_post(told["path"], head, orjson.dumps(payload())))
        case "gets":
            return _gets(head, told["paths"])
        case "submit":
            task = {"kind": KIND, "input": payload()}
            return _keyed("/v1/tasks", head, orjson.dumps(task))
        case "batch":
            tasks = [{"kind": KIND, "input": payload()}] * BATCH_TASKS
            return _keyed("/v1/tasks/batch", head, orjson.dumps({"tasks": tasks}))
        case other:
            raise ValueError(other)


def _post(path: str, head: str, body: bytes) -> bytes:
    text = f"POST {path} HTTP/1.1\r\n{head}Content-Type: application/json\r\n"
    return f"{text}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _keyed(path: str, head: str, body: bytes) -> Iterator[bytes]:
    before, after = _post(path, f"{head}Idempotency-Key: KEY\r\n", body).split(b"KEY", 1)
    run = os.urandom(8).hex().encode()
    return (b"%s%s%016x%s" % (before, run, number, after) for number in count())


def _gets(head: str, paths: list[str]) -> Iterator[bytes]:
    assert paths, "there is something to ask for"
    known = [f"GET {path} HTTP/1.1\r\n{head}\r\n".encode() for path in paths]
    return chain.from_iterable(known for _ in count())


def _until(deadline: float, endless: Iterator[bytes]) -> Iterator[bytes]:
    for request in endless:
        if time.monotonic() >= deadline:
            return
        yield request


async def _load(told: dict[str, Any]) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    make = partial(Connection, frozenset(code.encode() for code in told.get("also_good", ())))
    made = [
        await loop.create_connection(make, "127.0.0.1", told["port"])
        for _ in range(told["connections"])
    ]
    connections = [connection for _, connection in made]
    endless = requests(told)

    async def tallied(some: Iterator[bytes]) -> dict[str, Any]:
        tally = Tally(some, told.get("ids_max", 0))
        await asyncio.gather(*(connection.work_off(tally) for connection in connections))
        return tally.result()

    warm_up = await tallied(_until(time.monotonic() + told["warm_up_seconds"], endless))
    if "count" in told:
        result = await tallied(islice(endless, told["count"]))
    else:
        result = await tallied(_until(time.monotonic() + told["seconds"], endless))
    for connection in connections:
        connection.close()
    return {**result, "warm_up_answers": warm_up["answers"]}


def measure(told: dict[str, Any]) -> dict[str, Any]:
    """The whole load."""
    return uvloop.run(_load(told))


if __name__ == "__main__":
    answer(measure)
