"""What a fault test breaks."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.postgres.embedded import EmbeddedPostgres

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    """A durable server of the test's own, to kill and start again."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    postgres = EmbeddedPostgres(folder / "postgres")
    postgres.start()
    yield postgres
    postgres.stop()
    shutil.rmtree(folder)
