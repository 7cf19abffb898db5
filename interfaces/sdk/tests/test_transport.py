"""The two transports, on real sockets."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from musterroll import AsyncClient, Client, _transport
from musterroll._request import Request, as_it_is
from musterroll._transport import proxy_for, target_of
from musterroll.errors import Invalid, Unavailable

Start = Callable[..., Any]
Submit = Callable[..., str]
RECEIPT = b'{"task_id": "a", "version": 1, "cursor": "1:1"}'
ACCEPTED = {"status": 202, "chunks": [RECEIPT], "headers": {"content-type": "application/json"}}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def plainly(url: str, **options: Any) -> str:
    """Submit a task; its id."""
    with Client(url, token="t", **{"retry_seconds": 0, **options}) as client:
        return client.tasks.submit("count").id


def on_a_loop(url: str, **options: Any) -> str:
    """As `plainly`."""

    async def submit() -> str:
        async with AsyncClient(url, token="t", **{"retry_seconds": 0, **options}) as client:
            return (await client.tasks.submit("count")).id

    return asyncio.run(submit())


BOTH = pytest.mark.parametrize("submit", [plainly, on_a_loop])


@pytest.mark.parametrize(
    ("path", "parameters", "target"),
    [
        ("/v1/tasks", {}, "/v1/tasks"),
        ("v1/tasks", {}, "/v1/tasks"),
        ("/v1/tasks/a%2Fb", {}, "/v1/tasks/a%2Fb"),
        ("/v1/tasks?limit=1", {"cursor": "x"}, "/v1/tasks?limit=1&cursor=x"),
        ("/v1/a b\r\nHost: x#y", {}, "/v1/a%20b%0D%0AHost:%20x%23y"),
        ("/v1/ä", {"label": ["a:b", "c&d"]}, "/v1/%C3%A4?label=a%3Ab&label=c%26d"),
        (
            "/v1/x",
            {"yes": True, "no": False, "n": 3, "none": None},
            "/v1/x?yes=true&no=false&n=3&none=",
        ),
    ],
)
def test_a_target_is_fit_for_the_first_line(
    path: str, parameters: dict[str, Any], target: str
) -> None:
    asked = Request(method="GET", path=path, parse=as_it_is, query=parameters)

    assert target_of(asked) == target


@BOTH
def test_what_is_asked_and_answered_arrives(submit: Submit, foreign: Start) -> None:
    service = foreign(ACCEPTED)

    assert submit(f"{service.url}/below") == "a"

    (asked,) = service.asked
    assert (asked.path, asked.json) == ("/below/v1/tasks", {"kind": "count", "input": None})
    assert asked.headers["authorization"] == "Bearer t"
    assert asked.headers["user-agent"].startswith("musterroll-python/")
    assert asked.headers["content-type"] == "application/json"


@BOTH
def test_a_service_that_stays_silent_is_not_waited_for(submit: Submit, foreign: Start) -> None:
    service = foreign({"hang": True})

    with pytest.raises(Unavailable, match="no answer from http://"):
        submit(service.url, timeout_seconds=0.1)


@BOTH
def test_a_lost_answer_is_asked_for_again_under_the_same_key(
    submit: Submit, foreign: Start
) -> None:
    broken = {"chunks": [b"{"], "headers": {"content-length": "40"}}
    service = foreign(broken, ACCEPTED)

    assert submit(service.url, retry_seconds=10) == "a"

    first, second = service.asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_a_header_that_would_be_two_is_not_sent(foreign: Start) -> None:
    service = foreign(ACCEPTED)

    async def ask() -> None:
        async with AsyncClient(service.url, token="t") as client:
            await client.request("POST", "/v1/x", headers={"X": "a\r\nY: b"})

    with Client(service.url, token="t") as client, pytest.raises(Invalid, match="cannot be sent"):
        client.request("POST", "/v1/x", headers={"X": "a\r\nY: b"})
    with pytest.raises(Invalid, match="cannot be sent"):
        asyncio.run(ask())
    assert service.asked == []


def test_threads_share_the_connections_of_a_client(foreign: Start) -> None:
    service = foreign(ACCEPTED)

    with Client(service.url, token="t") as client:
        threads = [threading.Thread(target=client.tasks.submit, args=("count",)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    assert len(service.asked) == 20


def test_a_client_that_was_closed_opens_again(foreign: Start) -> None:
    client = Client(foreign(ACCEPTED).url, token="t")

    for _ in range(2):
        assert client.tasks.submit("count").id == "a"
        client.close()


# Proxies


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "http://far.test", None),
        ({"http_proxy": "http://p:1"}, "http://far.test", "http://p:1"),
        ({"http_proxy": "http://p:1"}, "https://far.test", None),
        ({"all_proxy": "p:1"}, "https://far.test", "http://p:1"),
        ({"https_proxy": "http://p:1", "no_proxy": ".test"}, "https://far.test", None),
        ({"https_proxy": "http://p:1", "no_proxy": "*"}, "https://far.test", None),
        ({"http_proxy": "http://p:1"}, "http://127.0.0.1:8000", None),
    ],
)
def test_a_proxy_is_taken_from_the_environment(
    variables: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert proxy_for(url) == proxy


@BOTH
def test_a_proxy_that_does_not_speak_http_is_told_of(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "socks5://p:1")

    with pytest.raises(Invalid, match="does not speak HTTP"):
        submit("http://far.test")


@BOTH
def test_a_service_is_asked_through_its_proxy(
    submit: Submit, foreign: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = foreign(ACCEPTED)
    monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//me:p%40ss@"))

    assert submit("http://far.test/below") == "a"

    (asked,) = proxy.asked
    assert asked.path == "http://far.test/below/v1/tasks"
    assert asked.headers["host"] == "far.test"
    assert asked.headers["proxy-authorization"] == "Basic bWU6cEBzcw=="


# TLS


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """`trusted(path)` makes a certificate authority one that the system trusts."""

    def trust(certificate: Path) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        _transport.tls.cache_clear()

    yield trust
    _transport.tls.cache_clear()


def certificate_in(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "musterroll test")])
    place = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(place, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "both.pem"
    path.write_bytes(secret + made.public_bytes(pem))
    return path


@BOTH
def test_tls_is_spoken_with_whom_the_system_trusts_only(
    submit: Submit, foreign: Start, trusted: Callable[[Path], None], tmp_path: Path
) -> None:
    certificate = certificate_in(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    service = foreign(ACCEPTED, tls=context)

    with pytest.raises(Unavailable, match="certificate verify failed"):
        submit(service.url)
    trusted(certificate)

    assert submit(service.url) == "a"
