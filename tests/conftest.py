"""One embedded PostgreSQL for the whole run, and a fresh database for each test that asks."""

import os
import random
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from infrastructure.postgres.embedded import EmbeddedPostgres
from infrastructure.postgres.migrate import migrate

TEMPLATE = "musterroll_template"
SEED = "MUSTERROLL_TEST_SEED"
OWNER_URL, APPLICATION_URL = "MUSTERROLL_TEST_OWNER_URL", "MUSTERROLL_TEST_APPLICATION_URL"

_server: EmbeddedPostgres | None = None
_folder: Path | None = None


def pytest_configure(config: pytest.Config) -> None:
    """The first process starts the server; the workers of xdist find it by the environment."""
    global _server, _folder  # noqa: PLW0603 - pytest gives its hooks no other place
    if hasattr(config, "workerinput"):
        return
    os.environ.setdefault(SEED, str(random.SystemRandom().randrange(2**32)))
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    parent = memory if os.access(memory, os.W_OK) else None
    _folder = Path(tempfile.mkdtemp(prefix="musterroll-test-", dir=parent))
    _server = EmbeddedPostgres(_folder / "postgres", durable=False)
    _server.start()
    os.environ[OWNER_URL], os.environ[APPLICATION_URL] = _server.owner_url, _server.url
    with psycopg.connect(_server.owner_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    migrate(
        make_conninfo(_server.owner_url, dbname=TEMPLATE),
        make_conninfo(_server.url, dbname=TEMPLATE),
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    if _server is not None and _folder is not None:
        _server.stop()
        shutil.rmtree(_folder)


def pytest_report_header(config: pytest.Config) -> str:
    """The seed of this run, to run it again: MUSTERROLL_TEST_SEED=... ."""
    return f"seed: {os.environ[SEED]}"


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated, empty database of one test's own."""

    name: str
    url: str
    owner_url: str


@contextmanager
def fresh_database() -> Iterator[Database]:
    """A fresh clone of the template, some 10 ms; dropped at the end."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(os.environ[OWNER_URL], autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
        yield Database(
            name=name,
            url=make_conninfo(os.environ[APPLICATION_URL], dbname=name),
            owner_url=make_conninfo(os.environ[OWNER_URL], dbname=name),
        )
        connection.execute(f"DROP DATABASE {name}")


@pytest.fixture
def database() -> Iterator[Database]:
    """A fresh database."""
    with fresh_database() as database:
        yield database


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Chance that comes again with the seed of the run."""
    return random.Random(f"{os.environ[SEED]}/{request.node.nodeid}")
