"""A bucket of archives: locks, versions, and a store that damages, refuses, or is not there."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.archives.faults import ArchiveLocked, BadArchive, RepositoryUnavailable
from application.archives.format import LATEST, segment_name
from application.archives.ports import FileMissing
from infrastructure.archives import s3
from infrastructure.archives.s3 import S3Repository, client_of
from tests.s3_server import S3Server, s3_server

STORE = UUID(int=7)
SEGMENT = segment_name("events", 1, 1, 9, "0a" * 32)
MANIFEST = f"manifests/0000000001-{9:020}-20261123T120000Z-full-{UUID(int=1)}.json"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def key_of(name: str) -> str:
    return f"kept/{STORE}/{name}"


def versions_in(server: S3Server, bucket: str) -> int:
    found = server.client.list_object_versions(Bucket=bucket)
    return len(found.get("Versions", ())) + len(found.get("DeleteMarkers", ()))


# Locks and versions.


def test_what_is_locked_stays_and_says_until_when(server: S3Server) -> None:
    repository = server.repository(STORE, lock_days=30)
    repository.put_if_absent(SEGMENT, b"rows")

    with pytest.raises(ArchiveLocked, match=r"is locked until 20\d\d-"):
        repository.delete(SEGMENT)

    assert repository.get(SEGMENT, bytes_max=100) == b"rows"
    assert [kept.name for kept in repository.listed("segments")] == [SEGMENT]


def test_what_is_replaced_is_not_locked(server: S3Server) -> None:
    repository = server.repository(STORE, lock_days=30)
    repository.replace(LATEST, b"first")
    repository.replace(LATEST, b"second")

    repository.delete(LATEST)

    with pytest.raises(FileMissing):
        repository.get(LATEST, bytes_max=100)


def test_what_is_put_again_is_locked_as_long_as_what_is_new(server: S3Server) -> None:
    bucket = server.bucket(lock=True)
    server.repository(STORE, bucket=bucket, lock_days=2).put_if_absent(SEGMENT, b"rows")
    server.repository(STORE, bucket=bucket).put_if_absent(MANIFEST, b"unlocked")
    longer = server.repository(STORE, bucket=bucket, lock_days=40)

    assert not longer.put_if_absent(SEGMENT, b"rows")
    assert not longer.put_if_absent(MANIFEST, b"unlocked")

    for name in (SEGMENT, MANIFEST):
        found = server.client.head_object(Bucket=bucket, Key=key_of(name))
        assert found["ObjectLockRetainUntilDate"] > datetime.now(UTC) + 39 * DAY
    assert versions_in(server, bucket) == 2


def test_a_lock_is_never_made_shorter(server: S3Server) -> None:
    bucket = server.bucket(lock=True)
    server.repository(STORE, bucket=bucket, lock_days=40).put_if_absent(SEGMENT, b"rows")

    server.repository(STORE, bucket=bucket, lock_days=2).put_if_absent(SEGMENT, b"rows")

    found = server.client.head_object(Bucket=bucket, Key=key_of(SEGMENT))
    assert found["ObjectLockRetainUntilDate"] > datetime.now(UTC) + 39 * DAY


def test_a_legal_hold_is_a_lock(server: S3Server) -> None:
    bucket = server.bucket(lock=True)
    repository = server.repository(STORE, bucket=bucket)
    repository.put_if_absent(SEGMENT, b"rows")
    server.client.put_object_legal_hold(
        Bucket=bucket, Key=key_of(SEGMENT), LegalHold={"Status": "ON"}
    )

    with pytest.raises(ArchiveLocked, match="legal hold"):
        repository.delete(SEGMENT)


def test_a_bucket_that_cannot_lock_is_told_of(server: S3Server) -> None:
    repository = server.repository(STORE, bucket=server.bucket(), lock_days=30)

    with pytest.raises(RepositoryUnavailable):
        repository.put_if_absent(SEGMENT, b"rows")

    assert list(repository.listed("segments")) == []


def test_with_versions_a_file_is_deleted_and_not_only_hidden(server: S3Server) -> None:
    bucket = server.bucket(lock=True)
    repository = server.repository(STORE, bucket=bucket)
    for content in (b"1", b"2", b"3"):
        repository.replace(SEGMENT, content)
    server.client.delete_object(Bucket=bucket, Key=key_of(SEGMENT))
    assert versions_in(server, bucket) == 4

    repository.delete(SEGMENT)

    assert versions_in(server, bucket) == 0


# What a store can do to us.


def test_a_file_that_was_damaged_there_is_told_of(server: S3Server) -> None:
    if not server.is_moto:
        pytest.skip("the insides of another server cannot be reached")
    bucket = server.bucket()
    repository = server.repository(STORE, bucket=bucket)
    repository.put_if_absent(SEGMENT, b"rows")
    # What the server noted of it stays.
    backend_of(bucket).buckets[bucket].keys[key_of(SEGMENT)].value = b"ROWS"

    with pytest.raises(BadArchive) as refused:
        repository.get(SEGMENT, bytes_max=100)

    assert (refused.value.fault, refused.value.file) == ("file_damaged", SEGMENT)


def backend_of(bucket: str) -> Any:
    """Where the server holds it."""
    from moto.s3.models import s3_backends  # noqa: PLC0415

    backends = (one for of_account in s3_backends.values() for one in of_account.values())
    return next(one for one in backends if bucket in one.buckets)


def test_more_than_a_page_is_listed_in_order(server: S3Server) -> None:
    if not server.is_moto:
        pytest.skip("the insides of another server cannot be reached")
    bucket = server.bucket()
    names = [segment_name("events", 1, n, n, f"{n:064x}"[::-1]) for n in range(1, 2_102)]
    for name in reversed(names):
        backend_of(bucket).put_object(bucket, key_of(name), b"")

    listed = server.repository(STORE, bucket=bucket).listed("segments")

    assert [kept.name for kept in listed] == names


def test_strangers_files_are_not_listed(server: S3Server) -> None:
    bucket = server.bucket()
    repository = server.repository(STORE, bucket=bucket)
    for name in ("segments/", "segments/README", f"{SEGMENT}.bak", f"segments/x/{SEGMENT}"):
        server.client.put_object(Bucket=bucket, Key=key_of(name), Body=b"")
    repository.put_if_absent(SEGMENT, b"rows")

    assert [kept.name for kept in repository.listed("segments")] == [SEGMENT]


def test_a_bucket_that_vanished_is_an_error_and_not_an_empty_one(server: S3Server) -> None:
    repository = server.repository(STORE, bucket="there-is-no-such-bucket")
    attempts: list[Callable[[], object]] = [
        lambda: repository.get(SEGMENT, bytes_max=100),
        lambda: list(repository.listed("manifests")),
        lambda: repository.delete(SEGMENT),
    ]
    if server.is_moto:  # SeaweedFS makes the bucket for whoever may make one
        attempts.append(lambda: repository.put_if_absent(SEGMENT, b"rows"))
        attempts.append(lambda: repository.replace(LATEST, b"name"))

    for attempt in attempts:
        with pytest.raises(RepositoryUnavailable, match="there is no such bucket"):
            attempt()


def test_a_service_that_is_not_there_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "REQUESTS_MAX", 1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    repository = S3Repository(client_of(f"http://127.0.0.1:{port}", None), "bucket", "", STORE)

    with pytest.raises(RepositoryUnavailable, match=r"s3://bucket/.*: no connection\."):
        repository.get(SEGMENT, bytes_max=100)


def test_without_credentials_one_is_told_of_them(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", "/nonexistent")
    repository = S3Repository(client_of(server.url, "us-east-1"), "bucket", "", STORE)

    with pytest.raises(RepositoryUnavailable, match="no credentials"):
        repository.put_if_absent(SEGMENT, b"rows")


class Answering:
    """A server on loopback that answers every connection with the same bytes and closes it; each
    time with the next, where there are several."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.asked = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        # It ends with the socket; a client that leaves early is none of its concerns.
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                _take_request(connection)
                self.asked += 1
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                connection.sendall(answer)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _take_request(connection: socket.socket) -> None:
    """With its body. Raises OSError."""
    with connection.makefile("rb") as received:
        length = 0
        while (line := received.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        received.read(length)


def answer(status: str, body: bytes = b"", *, length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def refusal(status: str, code: str) -> bytes:
    text = f"<Error><Code>{code}</Code><Message>what-they-said</Message></Error>"
    return answer(status, text.encode())


@pytest.fixture
def answering(request: pytest.FixtureRequest, server: S3Server) -> Iterator[Answering]:
    answering = Answering(*request.param)
    yield answering
    answering.close()


def repository_at(answering: Answering) -> S3Repository:
    return S3Repository(client_of(answering.url, "us-east-1"), "bucket", "", STORE)


@pytest.mark.parametrize("answering", [[answer("200 OK", b"rows", length=9)]], indirect=True)
def test_a_connection_that_breaks_again_and_again_is_told_of(answering: Answering) -> None:
    with pytest.raises(RepositoryUnavailable):
        repository_at(answering).get(SEGMENT, bytes_max=100)

    assert answering.asked == s3.READS_MAX


@pytest.mark.parametrize(
    "answering", [[answer("200 OK", b"ro", length=4), answer("200 OK", b"rows")]], indirect=True
)
def test_a_file_is_asked_for_again_when_the_connection_breaks(answering: Answering) -> None:
    assert repository_at(answering).get(SEGMENT, bytes_max=100) == b"rows"


@pytest.mark.parametrize("answering", [[answer("200 OK", b"", length=10**12)]], indirect=True)
def test_a_file_that_is_said_to_be_huge_is_not_read(answering: Answering) -> None:
    with pytest.raises(BadArchive, match="file_too_large"):
        repository_at(answering).get(SEGMENT, bytes_max=100)


@pytest.mark.parametrize(
    "answering",
    [[b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(4 * 2**20)]],
    indirect=True,
)
def test_a_file_of_untold_length_is_read_up_to_the_limit(answering: Answering) -> None:
    with pytest.raises(BadArchive, match="file_too_large"):
        repository_at(answering).get(SEGMENT, bytes_max=2**20)


@pytest.mark.parametrize(
    "answering",
    [[refusal("409 Conflict", "ConditionalRequestConflict"), answer("200 OK")]],
    indirect=True,
)
def test_two_that_put_at_once_are_sorted_out(answering: Answering) -> None:
    assert repository_at(answering).put_if_absent(SEGMENT, b"rows")

    assert answering.asked == 2


@pytest.mark.parametrize(
    ("answering", "words"),
    [
        ([refusal("403 Forbidden", "AccessDenied")], "access is denied"),
        ([refusal("403 Forbidden", "InvalidAccessKeyId")], "the access key is unknown"),
        ([refusal("403 Forbidden", "SignatureDoesNotMatch")], "the secret key is wrong"),
        ([refusal("507 Insufficient Storage", "QuotaExceeded")], "is full"),
        ([refusal("501 Not Implemented", "NotImplemented")], r"NotImplemented \(501\)"),
    ],
    indirect=["answering"],
)
def test_a_refusal_is_told_in_one_line_without_what_the_store_said(
    answering: Answering, words: str
) -> None:
    repository = repository_at(answering)

    errors: list[Any] = []
    for attempt in (
        lambda: list(repository.listed("manifests")),
        lambda: repository.delete(SEGMENT),
    ):
        with pytest.raises(Exception, match=words) as refused:
            attempt()
        errors.append(refused.value)

    for error in errors:
        assert error.code in ("repository_unavailable", "repository_full")
        assert "they-said" not in error.message
        assert "\n" not in error.message
