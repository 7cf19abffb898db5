"""The server on a raw socket: who is listened to, for how long, and how it stops."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from interfaces.http.server import AddressInUse, UnsafeAddress, bind
from tests.conftest import fresh_database
from tests.interfaces.service import PASSWORD

ROOT = Path(__file__).parents[2]
PROGRAM = """
from infrastructure.settings import Settings
from interfaces.bootstrap import build
from interfaces.http import bodies, protocol
from interfaces.http.server import serve

protocol.HEAD_SECONDS_MAX = bodies.BODY_SECONDS_MAX = 1.0
serve(build(Settings()), on_ready=lambda url: print(url, flush=True))
print("stopped", flush=True)
"""


@dataclass
class Server:
    """A server process, with short patience."""

    process: "subprocess.Popen[str]"
    url: str
    folder: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def token(self) -> str:
        form = {"grant_type": "password", "username": "admin", "password": PASSWORD}
        return str(httpx.post(f"{self.url}/v1/oauth/token", data=form).json()["access_token"])

    def say(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """Send the parts over one connection, and read until the server closes it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            received = b""
            with suppress(ConnectionResetError, BrokenPipeError):
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause)
            with suppress(ConnectionResetError):
                while chunk := connection.recv(65_536):
                    received += chunk
            return received


def start(folder: Path, database_url: str, owner_url: str, **settings: str) -> Server:
    environment = os.environ | {
        "MUSTERROLL_DATABASE_URL": database_url,
        "MUSTERROLL_DATABASE_OWNER_URL": owner_url,
        "MUSTERROLL_DATA_DIR": str(folder),
        "MUSTERROLL_ADMIN_PASSWORD": PASSWORD,
        "MUSTERROLL_PORT": "0",
        "PYTHONPATH": str(ROOT),
        **settings,
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    if not url:
        process.communicate(timeout=30)
    assert url, (folder / "log").read_text()
    return Server(process, url, folder)


def stop(server: Server) -> str:
    """Everything that it printed while it stopped."""
    server.process.send_signal(signal.SIGTERM)
    printed, _ = server.process.communicate(timeout=30)
    return printed


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with fresh_database() as database:
        server = start(folder, database.url, database.owner_url)
        yield server
        stop(server)


# Where it listens.


def test_an_address_in_use_is_named() -> None:
    with bind("127.0.0.1", 0, behind_proxy=False) as listener:
        listener.listen()
        port = listener.getsockname()[1]

        with pytest.raises(AddressInUse, match=f"127.0.0.1:{port}"):
            bind("127.0.0.1", port, behind_proxy=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104
def test_an_address_that_others_reach_needs_a_proxy(host: str) -> None:
    with pytest.raises(UnsafeAddress, match="--behind-proxy"):
        bind(host, 0, behind_proxy=False)

    bind(host, 0, behind_proxy=True).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_this_machines_own_addresses_need_none(host: str) -> None:
    bind(host, 0, behind_proxy=False).close()


def test_programs_find_it_by_its_file(server: Server) -> None:
    path = server.folder / "service.json"

    assert json.loads(path.read_text()) == {
        "url": server.url,
        "username": "admin",
        "password_file": None,
        "pid": server.process.pid,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# What it puts up with.


def test_a_head_that_stalls_is_cut_off(server: Server) -> None:
    began = time.monotonic()

    answer = server.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 0.8 < time.monotonic() - began < 5


def test_a_head_that_trickles_is_cut_off(server: Server) -> None:
    began = time.monotonic()

    server.say(*[b"G"] + [b"ET /healthz HTTP/1.1\r\n"] + [b"X"] * 20, pause=0.1)

    assert time.monotonic() - began < 5


def test_a_connection_that_says_nothing_is_closed(server: Server) -> None:
    began = time.monotonic()

    assert server.say() == b""
    assert 0.8 < time.monotonic() - began < 5


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nX-Large: " + b"a" * 200_000,
        b"GET /" + b"a" * 200_000,
        b"GET /healthz HTTP/1.1\r\n" + b"X-Many: a\r\n" * 20_000,
    ],
)
def test_a_head_that_is_too_large_is_cut_off(server: Server, head: bytes) -> None:
    answer = server.say(head)

    assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""


def test_a_body_that_stalls_is_cut_off(server: Server) -> None:
    head = (
        f"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token()}\r\n"
        "Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{"
    )
    began = time.monotonic()

    answer = server.say(head.encode())

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer
    assert 0.8 < time.monotonic() - began < 5


def test_a_large_body_of_nobody_is_not_waited_for(server: Server) -> None:
    head = b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n"

    answer = server.say(head)

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "request_",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        (
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n Folded: y\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET /health\x00z HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_ends(
    server: Server, request_: bytes
) -> None:
    answer = server.say(request_ + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
    assert b"/smuggled" not in answer


def test_the_service_goes_on_after_all_that(server: Server) -> None:
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}


def test_the_log_holds_no_query_and_no_header(server: Server) -> None:
    headers = {"Authorization": "Bearer hunter2"}
    httpx.get(f"{server.url}/v1/tasks/hunter3?token=hunter4", headers=headers)
    httpx.get(f"{server.url}/hunter5", headers=headers)

    routes: list[str] = []
    deadline = time.monotonic() + 20
    while routes[-2:] != ["/v1/tasks/{task_id}", "unmatched"]:
        # A line follows on its answer.
        assert time.monotonic() < deadline, routes[-2:]
        log = (server.folder / "log").read_text()
        routes = [json.loads(line).get("route") for line in log.splitlines()]
    assert "hunter" not in log
    assert server.token()[:20] not in log
    assert PASSWORD not in log


# How it stops.


def test_it_stops_at_a_signal_and_ends_long_polls(tmp_path: Path) -> None:
    with fresh_database() as database:
        server = start(tmp_path, database.url, database.owner_url)
        bearer = f"Authorization: Bearer {server.token()}\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as waiting:
            head = f"GET /v1/events?wait=30 HTTP/1.1\r\nHost: x\r\n{bearer}\r\n"
            waiting.sendall(head.encode())
            time.sleep(0.3)

            began = time.monotonic()
            printed = stop(server)
            answer = waiting.recv(65_536)

    assert printed == "stopped\n"
    assert server.process.returncode == 0
    assert time.monotonic() - began < 8
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"stopping"' in answer
    assert not (tmp_path / "service.json").exists()


def test_what_kept_it_from_starting_is_raised(tmp_path: Path) -> None:
    with fresh_database() as database:
        key = tmp_path / "signing-key.pem"
        key.write_text("no key")
        key.chmod(0o600)

        with pytest.raises(AssertionError, match="UnsafeKey"):
            start(tmp_path, database.url, database.owner_url)

    assert not (tmp_path / "service.json").exists()
