"""Archives in a bucket of Amazon S3, or of what speaks as it does. Importing this takes 0.3 s."""

import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from application.archives.faults import (
    ArchiveLocked,
    BadArchive,
    RepositoryFull,
    RepositoryUnavailable,
)
from application.archives.ports import FileMissing, Kept
from infrastructure.archives.names import checked_folder, is_ours, parts

CONNECT_SECONDS, READ_SECONDS = 5, 30
REQUESTS_MAX = 4
"""Of one kind, where the store is busy or the connection breaks."""
CONFLICT_SECONDS = (0.1, 0.2, 0.4, 0.8)
"""Pauses when others put the same name at the same moment."""
READ_BYTES = 2**20
READS_MAX = 3
FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "InsufficientCapacity", "507"}
UNKNOWN_THERE = {"NotImplemented", "MethodNotAllowed", "501", "405"}
LOCK_KEPT = timedelta(days=1)
"""A lock is made longer only when this much is won."""
REASONS = {
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": "access is denied",
    "InvalidAccessKeyId": "the access key is unknown",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "InvalidRequest": "it refuses the request; a lock needs a bucket with object lock",
    "NoCredentialsError": "there are no credentials (AWS_* variables)",
    "EndpointConnectionError": "no connection",
    "ConnectTimeoutError": "no connection in time",
    "ReadTimeoutError": "no answer in time",
    "SSLError": "no trusted TLS connection",
}


def client_of(endpoint: str | None, region: str | None) -> Any:
    """Of boto3; credentials come from AWS_* variables. It may be used by several threads.

    Raises RepositoryUnavailable when what is set can be no service.
    """
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": REQUESTS_MAX, "mode": "standard"},
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint else "auto"},
        # SHA-256 is sent and asked for below; other services know no newer checksum.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return boto3.session.Session().client(
            "s3", endpoint_url=endpoint, region_name=region, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise RepositoryUnavailable(f"This is no S3 service: {_reason(error)}.") from error


class S3Repository:
    """Implements `application.archives.ports.Repository`. `prefix` is empty or ends with `/`.

    The service has to keep `If-None-Match: *`. With `lock_days` what is put if absent is under a
    compliance lock for so long, and what is there already is locked anew. Of a bucket with
    versions, all versions of a file are deleted.
    """

    def __init__(
        self, client: Any, bucket: str, prefix: str, store_id: UUID, *, lock_days: int = 0
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix}{store_id}/"
        self._lock = timedelta(days=lock_days)
        self._has_versions: bool | None = None

    @property
    def url(self) -> str:
        """`s3://bucket/prefix/store id`."""
        return f"s3://{self._bucket}/{self._prefix.rstrip('/')}"

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """False too when the answer to a first try of ours was lost."""
        key = self._key(name)
        with translated(self.url):
            for pause in (*CONFLICT_SECONDS, None):
                lock = self._lock_until()
                try:
                    self._put(key, content, IfNoneMatch="*", **lock)
                except ClientError as error:
                    status = _status(error)
                    if status == 412:
                        self._lock_anew(key, lock)
                        return False
                    if status != 409 or pause is None:
                        raise
                    time.sleep(pause)
                else:
                    break
        return True

    def replace(self, name: str, content: bytes) -> None:
        """Never under a lock."""
        key = self._key(name)
        with translated(self.url):
            self._put(key, content)

    def get(self, name: str, *, bytes_max: int) -> bytes:
        """Compared with the checksum that the store has of it: `file_damaged`. Asked for again
        when the connection breaks."""
        key = self._key(name)
        with translated(self.url):
            for left in reversed(range(READS_MAX)):
                try:
                    return self._get(name, key, bytes_max)
                except (ResponseStreamingError, ReadTimeoutError, IncompleteReadError):
                    if not left:
                        raise
        raise AssertionError("the last try answers or raises")

    def beginning(self, name: str, *, bytes_max: int) -> bytes:
        """By a range, of which the store has no checksum."""
        asked = {
            "Bucket": self._bucket,
            "Key": self._key(name),
            "Range": f"bytes=0-{bytes_max - 1}",
        }
        with translated(self.url):
            try:
                with closing(self._client.get_object(**asked)["Body"]) as body:
                    content: bytes = body.read(bytes_max)
            except ClientError as error:
                if _code(error) == "InvalidRange":
                    return b""
                if _code(error) == "NoSuchKey":
                    raise FileMissing(name) from error
                raise
            except (ResponseStreamingError, ReadTimeoutError, IncompleteReadError) as error:
                raise RepositoryUnavailable(f"{self.url}: {type(error).__name__}.") from error
        return content

    def listed(self, folder: str) -> Iterator[Kept]:
        """A page of 1,000 at a time."""
        prefix = f"{self._prefix}{checked_folder(folder)}/"
        with translated(self.url):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    name = found["Key"][len(self._prefix) :]
                    if is_ours(name):
                        kept_at = found["LastModified"].astimezone(UTC)
                        yield Kept(name=name, size=found["Size"], kept_at=kept_at)

    def delete(self, name: str) -> None:
        """Newest version first: under the longest lock, so that a locked file stays whole."""
        key = self._key(name)
        with translated(self.url):
            for version in self._versions(key):
                try:
                    self._client.delete_object(Bucket=self._bucket, Key=key, **version)
                except ClientError as error:
                    if (until := self._locked_until(key, version)) is None:
                        raise
                    raise ArchiveLocked(f"{name} is locked {until}.") from error

    def _key(self, name: str) -> str:
        parts(name)
        return self._prefix + name

    def _put(self, key: str, content: bytes, **conditions: Any) -> None:
        self._client.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=content,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=b64encode(sha256(content).digest()).decode(),
            **conditions,
        )

    def _get(self, name: str, key: str, bytes_max: int) -> bytes:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if _code(error) == "NoSuchKey":
                raise FileMissing(name) from error
            raise
        with closing(answer["Body"]) as body:
            size, pieces = int(answer.get("ContentLength") or 0), []
            if size <= bytes_max:
                size = 0
                try:
                    while size <= bytes_max and (piece := body.read(READ_BYTES)):
                        pieces.append(piece)
                        size += len(piece)
                except FlexibleChecksumError as error:
                    message = "It has another SHA-256 than when it was kept"
                    raise BadArchive("file_damaged", message, file=name) from error
            if size > bytes_max:
                raise BadArchive("file_too_large", f"It has over {bytes_max} bytes", file=name)
            return b"".join(pieces)

    # Locks and versions.

    def _lock_until(self) -> dict[str, Any]:
        if not self._lock:
            return {}
        until = datetime.now(UTC) + self._lock
        return {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}

    def _lock_anew(self, key: str, lock: dict[str, Any]) -> None:
        """Something new names this file, and is to stay as long as it says."""
        if not lock:
            return
        until = lock["ObjectLockRetainUntilDate"]
        found = self._client.head_object(Bucket=self._bucket, Key=key)
        locked_until = found.get("ObjectLockRetainUntilDate")
        if locked_until is None or locked_until + LOCK_KEPT < until:
            self._client.put_object_retention(
                Bucket=self._bucket,
                Key=key,
                Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until},
                ChecksumAlgorithm="SHA256",
            )

    def _versions(self, key: str) -> list[dict[str, str]]:
        """What to delete: of a bucket without versions the file itself. Markers of a deletion come
        last, since without one an older version would be there again."""
        if self._has_versions is None:
            self._has_versions = self._asked_for_versions()
        if not self._has_versions:
            return [{}]
        versions, markers = [], []
        pages = self._client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self._bucket, Prefix=key):
            versions += [one for one in page.get("Versions", ()) if one["Key"] == key]
            markers += [one for one in page.get("DeleteMarkers", ()) if one["Key"] == key]
        return [{"VersionId": one["VersionId"]} for one in (*versions, *markers)]

    def _asked_for_versions(self) -> bool:
        try:
            answer = self._client.get_bucket_versioning(Bucket=self._bucket)
        except ClientError as error:
            if _code(error) in UNKNOWN_THERE:
                return False
            raise
        return answer.get("Status") in ("Enabled", "Suspended")

    def _locked_until(self, key: str, version: dict[str, str]) -> str | None:
        """Why a version could not be deleted, where a lock is why."""
        try:
            found = self._client.head_object(Bucket=self._bucket, Key=key, **version)
        except ClientError:
            return None
        until = found.get("ObjectLockRetainUntilDate")
        if until is not None and until > datetime.now(UTC):
            return f"until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return "by a legal hold" if found.get("ObjectLockLegalHoldStatus") == "ON" else None


@contextmanager
def translated(url: str) -> Iterator[None]:
    """boto3's errors as ours, with a reason in one line that holds no secret."""
    try:
        yield
    except (BotoCoreError, ClientError, OSError) as error:
        if isinstance(error, ClientError) and _code(error) in FULL:
            raise RepositoryFull(f"{url} is full.") from error
        raise RepositoryUnavailable(f"{url}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        code = _code(error)
        return REASONS.get(code, f"{code[:60]} ({_status(error)})")
    name = type(error).__name__
    return REASONS.get(name, name)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
