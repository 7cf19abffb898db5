"""Posting to targets that others have named: hostile ones, and addresses that are none of ours."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from application.webhooks.ports import PostAnswer, Unreachable
from infrastructure.webhooks.addresses import SystemResolver
from infrastructure.webhooks.posting import HttpPoster

OK = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
BODY = b'{"hello": "there"}'
WHOLE_SECONDS = 0.6
Serve = Callable[["Target", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Target:
    """A TCP server of a test's own, that does what the test says with each connection."""

    def __init__(self, serve: Serve) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0
        self._serve = serve

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            # Whoever posts may hang up: what it makes of that is looked at on its side.
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._serve(self, reader, writer)
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        whole = head + await reader.readexactly(length)
        self.requests.append(whole)
        return whole


@asynccontextmanager
async def a_target(serve: Serve, **options: Any) -> AsyncIterator[Target]:
    target = Target(serve)
    server = await asyncio.start_server(target.meet, "127.0.0.1", 0, **options)
    target.port = server.sockets[0].getsockname()[1]
    try:
        yield target
    finally:
        server.close()


def answering(*chunks: bytes) -> Serve:
    """Says the same to every request on every connection."""

    async def serve(
        target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await target.request(reader)
            for chunk in chunks:
                writer.write(chunk)
            await writer.drain()

    return serve


def without_end(beginning: bytes, chunk: bytes) -> Serve:
    """Begins an answer and never ends it."""

    async def serve(
        target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await target.request(reader)
        writer.write(beginning)
        while True:
            writer.write(chunk)
            await writer.drain()

    return serve


async def never(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the request, and says nothing for as long as somebody listens."""
    await target.request(reader)
    await reader.read()


async def hanging_up(
    target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await target.request(reader)


def table(**addresses: Sequence[str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A resolver that knows a few names."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        found = addresses.get(host.partition(".")[0])
        if found is None:
            raise OSError("no such name")
        return found

    return resolve


@asynccontextmanager
async def a_poster(**options: Any) -> AsyncIterator[HttpPoster]:
    poster = HttpPoster(**({"private": True, "whole_seconds": WHOLE_SECONDS} | options))
    try:
        yield poster
    finally:
        await poster.close()


async def post_to(target: Target, host: str = "127.0.0.1", **options: Any) -> PostAnswer:
    async with a_poster(**options) as poster:
        return await poster.post(f"http://{host}:{target.port}/a?b=%2F", {"x-a": "b"}, BODY)


def posted(serve: Serve, **options: Any) -> tuple[PostAnswer, Target]:
    async def play() -> tuple[PostAnswer, Target]:
        async with a_target(serve) as target:
            return await post_to(target, **options), target

    return asyncio.run(play())


def refusal(serve: Serve, **options: Any) -> tuple[str, Target]:
    async def play() -> tuple[str, Target]:
        async with a_target(serve) as target:
            with pytest.raises(Unreachable) as refused:
                await post_to(target, **options)
            return str(refused.value), target

    return asyncio.run(play())


def test_a_post_comes_as_it_was_given() -> None:
    answer, target = posted(answering(OK))

    head, _, body = target.requests[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert answer == PostAnswer(status=204)
    assert head.startswith(b"POST /a?b=%2F HTTP/1.1\r\n")
    assert body == BODY
    assert b"x-a: b" in lines
    assert b"content-type: application/cloudevents+json" in lines
    assert b"accept-encoding: identity" in lines


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("120", 120, 120),
        ("soon", None, None),
        ("-1", None, None),
        ("9" * 30, None, None),
        ("Mon, 99 Foo 9999 99:99:99 GMT", None, None),
    ],
)
def test_a_retry_after_is_read(value: str, least: float | None, most: float | None) -> None:
    head = f"HTTP/1.1 503 No\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"

    answer, _ = posted(answering(head.encode()))

    assert answer.status == 503
    if least is None or most is None:
        assert answer.retry_after_seconds is None
    else:
        assert answer.retry_after_seconds is not None
        assert least <= answer.retry_after_seconds <= most


def test_a_retry_after_may_be_a_moment() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    head = f"HTTP/1.1 503 No\r\nRetry-After: {moment}\r\nContent-Length: 0\r\n\r\n"

    answer, _ = posted(answering(head.encode()))

    assert answer.retry_after_seconds is not None
    assert 500 <= answer.retry_after_seconds <= 600


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async def play() -> tuple[PostAnswer, Target]:
        async with a_target(answering(OK)) as inside:
            where = f"http://127.0.0.1:{inside.port}/secret"
            head = f"HTTP/1.1 307 There\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n"
            async with a_target(answering(head.encode())) as target:
                return await post_to(target), inside

    answer, inside = asyncio.run(play())

    assert answer.status == 307
    assert inside.connections == 0


def test_who_never_answers_is_left() -> None:
    began = time.monotonic()

    reason, _ = refusal(never)

    assert reason == f"it did not answer within {WHOLE_SECONDS:g} s"
    assert time.monotonic() - began < 10 * WHOLE_SECONDS


def test_an_endless_body_is_not_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer, _ = posted(without_end(head, b"400\r\n" + b"a" * 1024 + b"\r\n"))

    assert answer.status == 200


def test_a_body_that_drips_does_not_undo_the_status() -> None:
    async def dripping(
        target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await target.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\na")
        await reader.read()

    answer, _ = posted(dripping, whole_seconds=10)

    assert answer.status == 200


@pytest.mark.parametrize(
    "serve",
    [
        without_end(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 100),
        without_end(b"HTTP/1.1 200 OK\r\nA: ", b"b" * 1024),
        without_end(b"", b"garbage " * 1024),
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
        answering(b"HTTP/1.1 abc OK\r\n\r\n"),
    ],
)
def test_what_is_no_sound_answer_is_a_failure(serve: Serve) -> None:
    reason, _ = refusal(serve)

    assert reason == "its answer is no HTTP, or its headers are too large"


def test_who_hangs_up_is_asked_once_more() -> None:
    reason, target = refusal(hanging_up)

    assert reason == "it closed the connection without an answer"
    assert target.connections == 2


def test_a_kept_connection_that_has_died_costs_no_attempt() -> None:
    async def once_each(
        target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await target.request(reader)
        writer.write(OK)
        if target.connections == 1:
            # The second request on it gets no answer.
            await target.request(reader)

    async def play() -> Target:
        async with a_target(once_each) as target, a_poster() as poster:
            for _ in range(2):
                await poster.post(f"http://127.0.0.1:{target.port}/", {}, BODY)
            return target

    target = asyncio.run(play())

    assert (target.connections, len(target.requests)) == (2, 3)


def test_where_nobody_listens_is_told() -> None:
    async def play() -> str:
        async with a_target(answering(OK)) as target:
            pass
        with pytest.raises(Unreachable) as refused:
            await post_to(target)
        return str(refused.value)

    assert asyncio.run(play()) == "it cannot be connected to: connection refused"


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> tuple[PostAnswer, Target]:
        async with a_target(answering(OK)) as proxy, a_target(answering(OK)) as target:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            return await post_to(target), proxy

    answer, proxy = asyncio.run(play())

    assert (answer.status, proxy.connections) == (204, 0)


# Names and addresses.


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::1"], ["169.254.169.254"]]
)
def test_a_name_that_leads_inside_is_not_connected_to(addresses: list[str]) -> None:
    resolve = table(inside=addresses)

    reason, target = refusal(answering(OK), host="inside.example", private=False, resolve=resolve)

    assert reason.startswith("its name leads to ")
    assert target.connections == 0


def test_an_address_in_the_url_is_not_connected_to() -> None:
    reason, target = refusal(answering(OK), private=False)

    assert reason == "it is a private address"
    assert target.connections == 0


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.1", "[::ffff:127.0.0.1]", "[fe80::1]"])
def test_not_even_the_setting_lets_some_addresses_be_connected_to(host: str) -> None:
    reason, target = refusal(answering(OK), host=host)

    assert reason == "it is an address that leads nowhere public"
    assert target.connections == 0


def test_a_name_is_asked_once_and_what_was_checked_is_connected_to() -> None:
    """DNS rebinding: the next answer is another one, and is checked as well."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async def play() -> tuple[int, str, Target]:
        close = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        async with a_target(answering(close)) as target, a_poster(resolve=resolve) as poster:
            url = f"http://rebinding.example:{target.port}/"
            first = await poster.post(url, {}, BODY)
            assert asked == ["rebinding.example"]
            with pytest.raises(Unreachable) as refused:
                await poster.post(url, {}, BODY)
            return first.status, str(refused.value), target

    status, reason, target = asyncio.run(play())

    assert status == 204
    assert b"\r\nHost: rebinding.example:" in target.requests[0]
    assert reason == "its name leads to an address that leads nowhere public"
    assert (target.connections, len(asked)) == (1, 2)


def test_a_name_that_is_none_is_told() -> None:
    reason, _ = refusal(answering(OK), host="nobody.example", resolve=table())

    assert reason == "its name cannot be resolved"


def test_a_name_that_nobody_answers_for_ends_in_time() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    reason, _ = refusal(answering(OK), host="a.example", resolve=resolve, connect_seconds=0.1)

    assert reason == "it could not be connected to within 0.1 s"


def test_the_system_resolves_names() -> None:
    async def play() -> list[str]:
        resolver = SystemResolver()
        try:
            return await resolver("localhost", 80)
        finally:
            resolver.close()

    assert {ip_address(text).is_loopback for text in asyncio.run(play())} == {True}


# TLS.


def certificates(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server of this name, and for a client that trusts it."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, SHA256())
    )
    file = folder / f"{name}.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.create_default_context(cadata=certificate.public_bytes(Encoding.PEM).decode())
    return server, client


def posted_by_tls(folder: Path, *, name: str, trusted: bool) -> PostAnswer:
    server, client = certificates(folder, name)

    async def play() -> PostAnswer:
        resolve = table(hook=["127.0.0.1"])
        tls = client if trusted else None
        async with (
            a_target(answering(OK), ssl=server) as target,
            a_poster(resolve=resolve, tls=tls, whole_seconds=10) as poster,
        ):
            return await poster.post(f"https://hook.example:{target.port}/", {}, BODY)

    return asyncio.run(play())


def test_a_certificate_that_is_trusted_is_good(tmp_path: Path) -> None:
    assert posted_by_tls(tmp_path, name="hook.example", trusted=True).status == 204


@pytest.mark.parametrize(("name", "trusted"), [("hook.example", False), ("other.example", True)])
def test_one_that_is_not_or_of_another_name_is_refused(
    tmp_path: Path, name: str, trusted: bool
) -> None:
    with pytest.raises(Unreachable, match="its certificate is not trusted"):
        posted_by_tls(tmp_path, name=name, trusted=trusted)
