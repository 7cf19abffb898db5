"""A subscriber over the WebSocket, for tests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.interfaces.service import PASSWORD, Service

FRAME_SECONDS_MAX = 10
PATH = "/ws/v1/events"
Frame = dict[str, Any]


def token_of(client: httpx.Client) -> str:
    """The token that a client bears."""
    return client.headers["Authorization"].removeprefix("Bearer ")


class Subscriber:
    """One connection; `token` None leaves it to the test to sign in."""

    connection: ClientConnection

    def __init__(
        self, service: Service, token: str | None, *, query: str = "", **options: Any
    ) -> None:
        url = service.url.replace("http", "ws", 1) + PATH + query
        options = {"proxy": None, "compression": None, "max_size": None} | options
        self._connecting = connect(url, **options)
        self._token = token
        self.hello: Frame = {}

    def __enter__(self) -> Self:
        self.connection = self._connecting.__enter__()
        if self._token is not None:
            self.hello = self.ask("hello", type="auth", token=self._token)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connecting.__exit__(kind, error, trace)

    def say(self, **message: Any) -> None:
        """Send a message."""
        self.connection.send(json.dumps(message))

    def ask(self, answer: str, **message: Any) -> Frame:
        """Send a message, and return the next frame, which has to be of a type."""
        self.say(**message)
        frame = self.next()
        assert frame["type"] == answer, frame
        return frame

    def subscribe(self, *channels: str, **message: Any) -> list[Frame]:
        """Subscribe, and return what came until history had ended, that included."""
        self.say(type="subscribe", channels=channels, **message)
        frames = self.until(lambda frame: frame["type"] == "caught_up")
        assert frames[0]["type"] == "subscribed", frames[0]
        return frames[1:]

    def next(self) -> Frame:
        """The next frame."""
        frame: Frame = json.loads(self.connection.recv(FRAME_SECONDS_MAX))
        return frame

    def until(self, last: Callable[[Frame], bool]) -> list[Frame]:
        """Frames up to one, that included."""
        frames = [self.next()]
        while not last(frames[-1]):
            frames.append(self.next())
        return frames

    def events(self, count: int) -> list[Frame]:
        """The next events, which have to come one after another."""
        frames = [self.next() for _ in range(count)]
        assert {frame["type"] for frame in frames} <= {"event"}, frames
        return [frame["event"] for frame in frames]

    def pong(self) -> list[Frame]:
        """Everything that comes until a ping is answered, without the answer: proof of silence."""
        mark = uuid4().hex
        self.say(type="ping", id=mark)
        return self.until(lambda frame: frame.get("id") == mark)[:-1]

    def close_code(self) -> int:
        """The code with which the service closes, after whatever it still says."""
        with pytest.raises(ConnectionClosed) as closed:
            self.until(lambda _: False)
        assert closed.value.rcvd is not None, "it was cut, not closed"
        return closed.value.rcvd.code


@contextmanager
def a_tenant(service: Service, admin: httpx.Client) -> Iterator[httpx.Client]:
    """Somebody who may everything in a tenant of their own, where nothing has happened yet."""
    name = uuid4().hex
    user = {"username": name, "password": PASSWORD, "tenant": name, "scopes": ["admin"]}
    admin.post("/v1/users", json=user).raise_for_status()
    with service.client(name) as client:
        yield client


@contextmanager
def busy(client: httpx.Client) -> Iterator[None]:
    """Somebody submits tasks all the time."""
    stop = threading.Event()

    def write() -> None:
        with httpx.Client(base_url=client.base_url, headers=client.headers) as own:
            while not stop.is_set():
                tasks = [{"kind": "review"}] * 7
                own.post("/v1/tasks/batch", json={"tasks": tasks}).raise_for_status()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def submitted(client: httpx.Client, **task: Any) -> str:
    """The id of a new task."""
    answer = client.post("/v1/tasks", json={"kind": "review"} | task).raise_for_status()
    return str(answer.json()["task_id"])


def cursors(events: list[Frame]) -> list[str]:
    """Where they stand."""
    return [event["id"] for event in events]
