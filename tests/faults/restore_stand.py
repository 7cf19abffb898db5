"""A PostgreSQL whose databases lie on a small disk of their own, and stores on it to be restored.

The disk is a tmpfs in a mount namespace that ends with this process: see `in_own_mounts`.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infrastructure.archives.folding import MODELS
from infrastructure.postgres.embedded import EmbeddedPostgres
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.pool import SCHEMA, make_pool, session_of
from infrastructure.postgres.read_model_store import PostgresReadModelStore
from infrastructure.postgres.row_copy import rows_of
from infrastructure.postgres.seals import copy_statement
from tests.conftest import Database
from tests.interfaces.restore_jobs import context_of, request_of
from tests.interfaces.restored import backed_up, post, restored
from tests.interfaces.service import Service

DISK_BYTES = 256 * 1024 * 1024
FILL_BYTES = 1024 * 1024
LEAVE_SECONDS_MAX = 30.0
TASKS = 30
_ENTERED = "MUSTERROLL_OWN_MOUNTS"


def mounts_of_its_own() -> list[str] | None:
    """The words before a command that give it mounts of its own; None where that is refused."""
    words = ["unshare", "--mount"]
    if os.geteuid() != 0:
        words += ["--user", "--map-root-user"]
    try:
        tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    except OSError:
        return None
    return words if tried.returncode == 0 else None


def in_own_mounts(module: str, arguments: list[str]) -> None:
    """Begin this process anew with mounts that nobody else sees. Returns where it has them."""
    if _ENTERED in os.environ:
        return
    words = mounts_of_its_own()
    if words is None:
        sys.exit("A small disk takes `unshare --mount`, which is refused here.")
    command = [*words, sys.executable, "-m", module, *arguments]
    os.execvpe(command[0], command, {**os.environ, _ENTERED: "1"})  # noqa: S606 - no shell is wanted


class SmallDisk:
    """A disk that can be filled to the last byte, and emptied of that again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Nothing more finds room."""
        size = FILL_BYTES
        with self._filler.open("ab", buffering=0) as file:
            while size:
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)
                except OSError:
                    size //= 2

    def empty(self) -> None:
        """There is room again."""
        self._filler.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job on the store of a template, as the archivist is told of it."""

    template: str
    kind: str
    request: dict[str, Any]
    settings: dict[str, Any]


class Stand:
    """The server, its disk, and databases on it. Use `stand`."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres, disk: SmallDisk) -> None:
        self.folder = folder
        self.disk = disk
        self._postgres = postgres

    def database(self, name: str) -> Database:
        """How one is reached."""
        return Database(
            name=name,
            url=make_conninfo(self._postgres.url, dbname=name),
            owner_url=make_conninfo(self._postgres.owner_url, dbname=name),
        )

    def asked(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Of the server, by its owner."""
        with psycopg.connect(self._postgres.owner_url, autocommit=True) as owner:
            cursor = owner.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def copy_of(self, template: str) -> Iterator[Database]:
        """Of a database that nobody is in; dropped at the end."""
        name = f"{template}_copy"
        self.asked(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield self.database(name)
        finally:
            self.asked(f"DROP DATABASE {name} WITH (FORCE)")

    def left_alone(self, name: str) -> bool:
        """Whether everybody goes out of a database by themselves, locks and all."""
        deadline = time.monotonic() + LEAVE_SECONDS_MAX
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        while self.asked(count, name) != [(0,)]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def drills(self) -> list[str]:
        """Databases of drills."""
        named = r"SELECT datname FROM pg_database WHERE datname LIKE 'musterroll\_drill\_%'"
        return [row[0] for row in self.asked(named)]

    def wanted(self) -> dict[str, Wanted]:
        """A restore, a drill and an undoing, with the stores that they are wanted of."""
        self.asked("CREATE DATABASE before")
        before = self.database("before")
        migrate(before.owner_url, before.url)
        found = {}
        with (
            Service(before, self.folder, backup_seconds=0, seal_seconds=0.05) as service,
            service.client() as client,
        ):
            agent = post(client, "/v1/agents", {"name": "a", "capabilities": ["review"]})
            tasks = [{"kind": "review"}] * TASKS
            post(client, "/v1/tasks/batch", {"tasks": tasks})
            with service.machine(agent["client_id"], agent["client_secret"]) as worker:
                lease = {"slots": 1, "wait_seconds": 10}
                post(worker, f"/v1/agents/{agent['agent_id']}/leases", lease)
            archive = backed_up(client)
            post(client, "/v1/tasks", {"kind": "review"})
            request, settings = request_of(service, archive), _settings(service, before)
        for kind in ("restore", "drill"):
            found[kind] = Wanted("before", kind, request, settings)
        self.left_alone("before")
        self.asked("CREATE DATABASE restored TEMPLATE before STRATEGY FILE_COPY")
        again = self.database("restored")
        with (
            Service(again, self.folder, backup_seconds=0) as service,
            service.client() as client,
        ):
            restored(client, archive)
            request, settings = request_of(service, archive), _settings(service, again)
        self.left_alone("restored")
        found["undo"] = Wanted("restored", "undo", request, settings)
        return found


def _settings(service: Service, database: Database) -> dict[str, Any]:
    told: dict[str, Any] = context_of(service, database)._told
    return told


@contextmanager
def stand(folder: Path) -> Iterator[Stand]:
    """In a process that has mounts of its own."""
    disk = SmallDisk(folder / "disk")
    disk.folder.mkdir()
    size = f"size={DISK_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", disk.folder], check=True)
    postgres = EmbeddedPostgres(folder / "postgres", durable=False)
    try:
        postgres.start()
        postgres.stop()
        # Databases alone: what PostgreSQL writes ahead stays where there is room, since without
        # that it ends, and all of its sessions with it.
        base = folder / "postgres" / "cluster" / "base"
        shutil.move(base, disk.folder / "base")
        base.symlink_to(disk.folder / "base")
        postgres = EmbeddedPostgres(folder / "postgres", durable=False)
        postgres.start()
        yield Stand(folder, postgres, disk)
    finally:
        disk.empty()
        postgres.stop()
        subprocess.run(["umount", disk.folder], check=False)


@dataclass(frozen=True, slots=True)
class Store:
    """What a store is: its epoch, the log of its first events, and what its read models are."""

    epoch: int
    log: str
    models: tuple[tuple[str, str], ...]


def store_in(database: Database, schema: str = SCHEMA) -> Store:
    """As it stands, but for what began its epoch, which is of its own time and id."""
    named = sql.Identifier(schema)
    with psycopg.connect(database.owner_url) as owner:
        epoch, began = owner.execute(
            sql.SQL(
                "SELECT epoch, (SELECT max(position) FROM {0}.events WHERE topic = "
                "'store.restored') FROM {0}.store"
            ).format(named)
        ).fetchone() or (0, None)
        until = None if began is None else began - 1
        statement = copy_statement(after=None, until=until).replace(
            b"FROM musterroll.events", f"FROM {schema}.events".encode()
        )
        log = sha256(b"".join(sha256(row).digest() for row in rows_of(owner, statement)))
    with make_pool(
        database.owner_url, connections_max=2, session=session_of(schema=schema)
    ) as pool:
        models = tuple(
            (shape.table, PostgresReadModelStore(pool, shape).digest()) for _, shape in MODELS
        )
    return Store(epoch, log.hexdigest(), models)


def schemas_in(database: Database) -> set[str]:
    """Those of ours."""
    with psycopg.connect(database.owner_url) as owner:
        named = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'musterroll%'"
        return {row[0] for row in owner.execute(named)}
