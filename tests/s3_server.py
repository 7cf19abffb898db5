"""A real S3 server on loopback (moto's), and what we keep in it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from infrastructure.archives.s3 import S3Repository, client_of

ELSEWHERE = "MUSTERROLL_TEST_S3_URL"
"""The endpoint of another server that knows the credentials below (scripts/s3_store.py)."""
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "of-the-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class S3Server:
    """`url` is its endpoint, `client` boto3's, as our own code makes it. `is_moto`: its insides can
    be reached."""

    url: str
    client: Any
    is_moto: bool = True

    def bucket(self, *, lock: bool = False) -> str:
        """A new one, with object lock (and so with versions) when asked for."""
        name = f"bucket-{uuid4().hex}"
        self.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        return name

    def repository(
        self, store_id: UUID, *, bucket: str | None = None, lock_days: int = 0
    ) -> S3Repository:
        """In a bucket of its own, unless one is named."""
        bucket = bucket or self.bucket(lock=lock_days > 0)
        return S3Repository(self.client, bucket, "kept/", store_id, lock_days=lock_days)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Runs in a thread of this process; credentials are in the environment meanwhile."""
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    if elsewhere := os.environ.get(ELSEWHERE):
        yield S3Server(elsewhere, client_of(elsewhere, None), is_moto=False)
        return
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        yield S3Server(url, client_of(url, None))
    finally:
        server.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
