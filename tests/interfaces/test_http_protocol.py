"""What surrounds requests on a raw socket: trailers, bytes that nobody asked for, heads that others
would read differently, and the addresses that a proxy tells.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import httpx
import pytest

from application.accounts.sign_in import FAILURES_OF_NAME_MAX
from tests.conftest import fresh_database
from tests.interfaces.service import PASSWORD
from tests.interfaces.test_http_server import Server, start, stop

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
TASK = b'c\r\n{"kind":"a"}\r\n0\r\n'
FLOOD_BYTES_MAX = 64 * 1024 * 1024
"""Far more than the buffers of two sockets hold."""
ATTEMPTS = FAILURES_OF_NAME_MAX + 5
ENDED_SECONDS_MAX = 5.0
"""The server's patience is 1 s here, except for connections that are idle."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with fresh_database() as database:
        server = start(folder, database.url, database.owner_url, MUSTERROLL_BEHIND_PROXY="true")
        yield server
        stop(server)


@dataclass
class Conversation:
    """One connection, on which what was sent is known to have been answered."""

    connection: socket.socket

    def ask(self, request: bytes) -> bytes:
        """The head of the answer; its body, which has a length, is read too."""
        self.connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._received()
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._received()
        return head

    def rest(self) -> bytes:
        """All that comes until the server ends the connection. Raises TimeoutError."""
        received = b""
        with suppress(ConnectionResetError):
            while chunk := self.connection.recv(65_536):
                received += chunk
        return received

    def flood(self, more: bytes) -> None:
        """Raises ConnectionError once the server has ended the connection."""
        for _ in range(FLOOD_BYTES_MAX // len(more)):
            self.connection.sendall(more)

    def drip(self, more: bytes) -> None:
        """Raises ConnectionError once the server has ended the connection."""
        self.connection.settimeout(0.05)
        end = time.monotonic() + ENDED_SECONDS_MAX
        while time.monotonic() < end:
            self.connection.sendall(more)
            with suppress(TimeoutError):
                self.connection.recv(1)

    def _received(self) -> bytes:
        chunk = self.connection.recv(65_536)
        assert chunk, "the server ended the connection"
        return chunk


@pytest.fixture
def conversation(server: Server) -> Iterator[Conversation]:
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, timeout=ENDED_SECONDS_MAX) as connection:
        yield Conversation(connection)


# Trailers.


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"0\r\n", b"a: " + b"x" * 8_000 + b"\r\n"),
        (b"0\r\na: ", b"x" * 8_000),
        (b"0\r\n", b"a" * 8_000),
        (b"1;a=", b"x" * 8_000),
    ],
    ids=["fields", "a value", "a name", "a chunk extension"],
)
@pytest.mark.parametrize("state", ["answered", "refused", "waited for"])
def test_trailers_without_end_end_the_connection(
    server: Server, conversation: Conversation, state: str, begin: bytes, more: bytes
) -> None:
    authorization = b"Authorization: Bearer " + server.token().encode() + b"\r\n"
    heads = {
        "answered": GET + CHUNKED,
        "refused": POST + CHUNKED,
        "waited for": POST + authorization + CHUNKED + b'c\r\n{"kind":"a"}\r\n',
    }
    conversation.connection.sendall(heads[state] + begin)

    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        conversation.flood(more)


def test_a_trailer_is_no_header(server: Server, conversation: Conversation) -> None:
    trailer = b"Authorization: Bearer " + server.token().encode() + b"\r\n"

    answer = conversation.ask(POST + CHUNKED + TASK + trailer + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_trailer_is_no_header_of_the_next_request(
    server: Server, conversation: Conversation
) -> None:
    trailer = b"Authorization: Bearer " + server.token().encode() + b"\r\n"
    conversation.ask(GET + CHUNKED + b"0\r\n" + trailer + b"\r\n")

    answer = conversation.ask(POST + CHUNKED + TASK + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 401 ")


def test_trailers_within_bounds_are_read_over(server: Server, conversation: Conversation) -> None:
    head = POST + b"Authorization: Bearer " + server.token().encode() + b"\r\n"

    for _ in range(2):
        answer = conversation.ask(head + CHUNKED + TASK + b"X-Checksum: 1\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 202 ")


# What comes after an answer.


@pytest.mark.parametrize(
    ("request_", "more"),
    [
        (GET + b"\r\n", b"\r\n"),
        (GET + b"\r\n", b"G"),
        (GET + b"Content-Length: 1000\r\n\r\n", b""),
        (GET + b"Content-Length: 1000\r\n\r\n", b"x"),
        (GET + b"Content-Length: 1\r\n\r\n", b"x"),
        (POST + b"Content-Length: 1000\r\n\r\n", b"x"),
        (GET + CHUNKED, b"0\r\na"),
        (POST + CHUNKED, b"0\r\na"),
    ],
)
def test_a_connection_that_goes_on_with_less_than_a_request_is_ended(
    conversation: Conversation, request_: bytes, more: bytes
) -> None:
    conversation.ask(request_)
    began = time.monotonic()
    conversation.connection.sendall(more)

    answer = conversation.rest()

    assert answer == b"" or (more == b"G" and answer.startswith(b"HTTP/1.1 408 "))
    assert time.monotonic() - began < ENDED_SECONDS_MAX


def test_line_ends_that_go_on_and_on_keep_no_connection(conversation: Conversation) -> None:
    conversation.ask(GET + b"\r\n")

    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        conversation.drip(b"\r\n")


def test_a_body_may_end_after_its_answer(conversation: Conversation) -> None:
    for _ in range(3):
        conversation.ask(GET + b"Content-Length: 3\r\n\r\n{")
        conversation.connection.sendall(b"}\n")

    assert conversation.ask(b"\r\n" + GET + b"\r\n").startswith(b"HTTP/1.1 200 ")


def test_requests_may_follow_without_waiting_but_not_without_end(server: Server) -> None:
    last = GET + b"Connection: close\r\n\r\n"

    few = server.say((GET + b"\r\n") * 99 + last)
    many = server.say((GET + b"\r\n") * 20_000 + last)

    assert few.count(b"HTTP/1.1 200 ") == 100
    assert many.count(b"HTTP/1.1 200 ") < 20_000


# Answers.


def test_an_answer_comes_in_one_piece(conversation: Conversation) -> None:
    conversation.connection.sendall(GET + b"\r\n")

    assert conversation.connection.recv(65_536).endswith(b'\r\n\r\n{"status":"ok"}')


def test_an_answer_without_a_body_is_answered_too(conversation: Conversation) -> None:
    conversation.connection.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    head = conversation.connection.recv(65_536)
    conversation.connection.sendall(b"OPTIONS /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    options = conversation.connection.recv(65_536)

    assert head.startswith(b"HTTP/1.1 200 ")
    assert head.endswith(b"\r\n\r\n")
    assert options.startswith(b"HTTP/1.1 204 ")
    assert conversation.ask(GET + b"\r\n").startswith(b"HTTP/1.1 200 ")


def test_who_asks_before_sending_a_body_is_told_to_go_on(
    server: Server, conversation: Conversation
) -> None:
    form = f"grant_type=password&username=admin&password={PASSWORD}".replace(" ", "+").encode()
    conversation.connection.sendall(
        b"POST /v1/oauth/token HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(form)
    )

    assert conversation.connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert conversation.ask(form).startswith(b"HTTP/1.1 200 ")


# Heads.


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\n",
        GET + b"Host: y\r\n",
        GET + b"host: x\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: x\r\nHost: y\r\n",
        b"GET /healthz HTTP/2.0\r\nHost: x\r\n",
        b"GET /healthz HTTP/0.9\r\nHost: x\r\n",
        b"GET /healthz\r\n",
        GET + b"Transfer-Encoding: gzip, chunked\r\n",
        GET + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_head_that_others_would_read_differently_is_refused(server: Server, head: bytes) -> None:
    body = b"0\r\n\r\n" if b"Transfer-Encoding" in head else b""

    answer = server.say(head + b"\r\n" + body + GET + b"Connection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"bad_http"' in answer
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.0\r\n",
        b"GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n",
        GET + b"Connection: close\r\nTransfer-Encoding: Chunked \r\n",
    ],
)
def test_a_head_of_an_unusual_but_right_kind_is_taken(server: Server, head: bytes) -> None:
    body = b"0\r\n\r\n" if b"Transfer-Encoding" in head else b""

    assert server.say(head + b"\r\n" + body).startswith(b"HTTP/1.1 200 ")


def test_a_refusal_is_not_taken_for_the_answer_to_an_earlier_request(
    server: Server, conversation: Conversation
) -> None:
    waits = f"GET /v1/events?wait=30 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token()}"
    conversation.connection.sendall(waits.encode() + b"\r\n\r\nNONSENSE\r\n\r\n")

    assert conversation.rest() == b""


# The client's address, as the proxy tells it.


def sign_in(server: Server, username: str, *forwarded: str) -> int:
    """With a wrong password."""
    headers = [("X-Forwarded-For", value) for value in forwarded]
    form = {"grant_type": "password", "username": username, "password": "wrong"}
    return httpx.post(f"{server.url}/v1/oauth/token", data=form, headers=headers).status_code


def test_what_a_client_says_of_its_own_address_does_not_count(server: Server) -> None:
    answers = [sign_in(server, "alice", f"9.9.9.{n}, 10.1.2.3") for n in range(ATTEMPTS)]
    in_two_lines = [sign_in(server, "bob", f"9.9.9.{n}", "10.1.2.5") for n in range(ATTEMPTS)]

    assert 429 in answers
    assert 429 in in_two_lines
    assert sign_in(server, "alice", "10.1.2.3,10.1.2.4") == 400


@pytest.mark.parametrize("told", ["", "unknown", "9.9.9.9,", "9.9.9.9, 9.9.9", "9.9.9.9:80"])
def test_what_is_no_address_counts_as_the_proxys(server: Server, told: str) -> None:
    # Neither half would be too many alone.
    half = FAILURES_OF_NAME_MAX - 2
    answers = [sign_in(server, f"carol {told}", *([told] * (n % 2))) for n in range(2 * half)]

    assert 429 in answers
