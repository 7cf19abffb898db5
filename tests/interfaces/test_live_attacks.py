"""Live events: those who mean harm, and what the others feel of it."""

import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from interfaces.http.live import protocol
from tests.interfaces.live import PATH, Subscriber, token_of
from tests.interfaces.service import Service
from tests.system.service import ServiceProcess

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE = f"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{KEY}"
ANSWER_SECONDS_MAX = 10
PING, TEXT, CONTINUATION = 0x89, 0x01, 0x00


@pytest.fixture(scope="module")
def service(shared_service: Service) -> Service:
    return shared_service


@pytest.fixture(scope="module")
def admin(shared_admin: httpx.Client) -> httpx.Client:
    return shared_admin


def opened(url: str, head: str | None = None) -> socket.socket:
    """A socket, after a handshake or something like it."""
    connection = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    connection.settimeout(ANSWER_SECONDS_MAX)
    connection.sendall((head or f"GET {PATH} HTTP/1.1\r\n{UPGRADE}\r\n").encode())
    return connection


def until_closed(connection: socket.socket) -> bytes:
    """Everything that still comes."""
    found = b""
    while data := connection.recv(65_536):
        found += data
    return found


def masked(opcode: int, payload: bytes = b"") -> bytes:
    """A frame of a client, with a mask that changes nothing."""
    return struct.pack("!BB", opcode, 0x80 | len(payload)) + b"\0\0\0\0" + payload


@pytest.mark.parametrize(
    "head",
    [
        f"GET {PATH} HTTP/1.1\r\n{UPGRADE}Content-Length: 2\r\n\r\n{{}}",
        f"GET {PATH} HTTP/1.1\r\n{UPGRADE}" + "x: y\r\n" * 130 + "\r\n",
        f"GET {PATH} HTTP/1.1\r\n{UPGRADE}x: {'y' * 9_000}\r\n\r\n",
        f"GET {PATH}?x={'y' * 9_000} HTTP/1.1\r\n{UPGRADE}\r\n",
        f"POST /v1/tasks HTTP/1.1\r\n{UPGRADE}Content-Length: 2\r\n\r\n{{}}",
    ],
    ids=["body", "many headers", "long header", "long query", "another path"],
)
def test_a_head_that_is_no_handshake_is_answered_and_let_go(service: Service, head: str) -> None:
    with opened(service.url, head) as connection:
        answer = until_closed(connection)

    assert answer.startswith(b"HTTP/1.1 4"), answer


def test_a_flood_of_pings_holds_nobody_up(service: Service, admin: httpx.Client) -> None:
    """Read in small pieces, so many a second: it is the flood that waits."""
    stop = threading.Event()

    def flood() -> None:
        with opened(service.url) as connection:
            connection.settimeout(0.2)
            while not stop.is_set():
                try:
                    connection.send(masked(PING) * 10_000)
                except TimeoutError:
                    continue
                except OSError:
                    return

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        frames = [0]
        former = 0
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert admin.get("/healthz").status_code == 200
            frames.append(frames_read(service))
        former = max(frames)
    finally:
        stop.set()
        flooding.join()

    # At most three seconds of it, and what one piece holds beyond.
    assert 0 < former <= 3 * protocol.FRAMES_A_SECOND_MAX + protocol.PIECE_BYTES


def frames_read(service: Service) -> int:
    """The most frames that any connection was read of within its last second."""
    connections = list(service._server.server_state.connections)
    return max([0, *(getattr(one, "_frames_read", 0) for one in connections)])


def test_a_message_of_endless_fragments_ends_the_connection(
    service: Service, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "FRAGMENTS_MAX", 50)
    with opened(service.url) as connection:
        assert connection.recv(1_000).startswith(b"HTTP/1.1 101")
        connection.sendall(masked(TEXT, b"{") + masked(CONTINUATION) * 100)
        found = until_closed(connection)

    assert struct.pack("!H", 1009) in found


def test_so_many_subscriptions_may_wait_for_their_history(
    service: Service, admin: httpx.Client
) -> None:
    for _ in range(5):
        tasks = [{"kind": "x", "input": "y" * 5_000}] * 100
        admin.post("/v1/tasks/batch", json={"tasks": tasks}).raise_for_status()

    with Subscriber(service, token_of(admin)) as subscriber:
        for n in range(90):
            subscriber.say(type="subscribe", channels=["tasks"], after="start", id=str(n))
        answered: list[str] = []
        refused = 0
        while len(answered) + refused < 90:
            frame = subscriber.next()
            if frame["type"] == "caught_up":
                answered.append(frame["id"])
            elif frame["type"] == "error":
                assert frame["code"] == "limit"
                refused += 1

    assert answered
    assert answered == sorted(answered, key=int)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path / "data") as process:
        yield process


def test_the_service_stops_in_order_whatever_its_connections_are_up_to(
    process: ServiceProcess,
) -> None:
    """Half a handshake, and one who has said goodbye and reads nothing."""
    half = opened(process.url, f"GET {PATH} HTTP/1.1\r\nHost: x\r\n")
    strange = opened(process.url, f"GET {PATH} HTTP/1.1\r\n{UPGRADE}" + "x: y\r\n" * 130 + "\r\n")
    leaving = opened(process.url)
    leaving.recv(1)
    leaving.sendall(masked(0x88, struct.pack("!H", 1000)))
    staying = opened(process.url)
    staying.recv(1)

    os.kill(process.pid, signal.SIGTERM)
    told = until_closed(staying)
    ended = process.stop()

    assert ended == 0, process.output
    assert struct.pack("!H", 1012) in told
    assert "unexpected" not in process.output
    for connection in (half, strange, leaving, staying):
        connection.close()
