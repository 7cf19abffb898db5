"""The load generator of live events counts what comes, however it comes, and notices what is wrong.

A server in a thread says exactly what a test wants, in pieces as small as it likes.
"""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.jobs.live_load import Load, NotInTime
from benchmarks.jobs.live_subscriber import Refused, Subscriber
from benchmarks.jobs.live_wire import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    accept,
    an_event,
    client_frame,
    frame,
    frames,
    from_client,
)

HEAD_ENDS = b"\r\n\r\n"
CAUGHT_UP = frame(b'{"type":"caught_up","channels":["tasks"],"cursor":"1:1"}')
EVENT = frame(an_event(700))
SUBSCRIBE = {"channels": ["tasks"]}


@contextmanager
def a_server(*connections: list[bytes]) -> Iterator[tuple[tuple[str, int], list[bytes]]]:
    """Accepts as many connections, one after another, upgrades each and sends its pieces.

    Gives its address, and what each client sent after the handshake.
    """
    heard: list[bytes] = []

    def serve() -> None:
        for pieces in connections:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = b""
            while HEAD_ENDS not in request:
                request += connection.recv(4_096)
            for piece in [accept(request), *pieces]:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            said = b""
            while read := connection.recv(4_096):
                said += read
            heard.append(said)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname(), heard
        thread.join()


def read_to_the_end(one: Subscriber) -> int:
    """How many events came."""
    one.socket.setblocking(True)
    one.ask("/", None)
    events = 0
    try:
        while True:
            events += one.take()
    except Refused:
        one.socket.close()
        return events


def cut_up(stream: bytes, rng: random.Random) -> list[bytes]:
    places = sorted(rng.sample(range(len(stream)), 60))
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


def test_events_are_counted_however_they_are_cut_up(rng: random.Random) -> None:
    pieces = cut_up(CAUGHT_UP + EVENT * 20 + CAUGHT_UP, rng)
    with a_server(pieces) as (address, _):
        one = Subscriber(address, SUBSCRIBE)
        one.kept = []

        events = read_to_the_end(one)

    assert (events, one.events) == (20, 20)
    assert one.ids() == ["1:4711"] * 20
    assert one.ready


def test_a_ping_is_answered_wherever_it_is_cut(rng: random.Random) -> None:
    ping = bytes([PING, 4]) + b"\x89\x00ab"
    stream = CAUGHT_UP + EVENT + ping + EVENT
    cut = len(CAUGHT_UP + EVENT) + rng.randrange(1, len(ping))
    with a_server([stream[:cut], stream[cut:]]) as (address, heard):
        read_to_the_end(Subscriber(address, None))

    assert client_frame(b"\x89\x00ab", PONG) in heard[0]


@pytest.mark.parametrize("sent", [1, 3])
def test_who_got_more_or_less_than_was_sent_is_noticed(sent: int) -> None:
    with a_server([EVENT * sent + CAUGHT_UP]) as ((_, port), _):
        load = Load()
        load.server(port=port)

        with pytest.raises(NotInTime, match=f"got {sent} to {sent} events of 2"):
            load.storm(count=1, subscribe=SUBSCRIBE, behind=2)
        load.close()


def test_a_refusal_is_told() -> None:
    refused = frame(b'{"type":"error","code":"forbidden","message":"No."}')
    with a_server([refused]) as (address, _):
        load = Load()
        load.server(port=address[1])

        with pytest.raises(Refused, match="forbidden"):
            load.connect(count=1, subscribe=SUBSCRIBE)
        load.close()


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_frames_of_every_length_are_read_back(length: int) -> None:
    text = b"x" * length

    assert list(frames(frame(text) + frame(b"y"))) == [
        (TEXT, text, len(frame(text))),
        (TEXT, b"y", len(frame(text)) + 3),
    ]
    assert from_client(client_frame(text) + client_frame(b"", CLOSE)) == ([text.decode()], b"")
    assert list(frames(frame(text)[:-1])) == []
    assert len(frame(an_event(700))) == 700
