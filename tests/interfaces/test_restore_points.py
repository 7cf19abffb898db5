"""Goal: whatever the position, what is restored is what stood there, bit for bit, and what was
shown then. Method: a history with recorded digests, restored aside to positions of chance."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
import pytest

from infrastructure.archives.folding import MODELS
from infrastructure.archives.next_store import NEXT, NextStore, restoring
from infrastructure.archives.restoring import Built, build
from infrastructure.postgres.pool import make_pool, session_of
from infrastructure.postgres.read_model_store import PostgresReadModelStore
from infrastructure.postgres.row_copy import rows_of
from infrastructure.postgres.seals import copy_statement
from interfaces.bootstrap.archive_jobs.plan import source_in
from tests.conftest import Database
from tests.interfaces.restore_jobs import context_of, request_of, told
from tests.interfaces.restored import backed_up, post
from tests.interfaces.service import Service

POINTS = int(os.environ.get("MUSTERROLL_RESTORE_POINTS", "4"))
"""scripts/restore_points.py takes 200."""


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    with Service(database, tmp_path, backup_seconds=0, seal_seconds=0.05) as service:
        yield service


def test_any_position_is_restored_as_it_was(
    service: Service, database: Database, rng: Random
) -> None:
    with service.client() as client:
        shown = lived(client, database, rng)
        request = request_of(service, backed_up(client))
        points = [*shown, *(rng.randrange(1, max(shown)) for _ in range(POINTS))]

        for position in points:
            built = built_at(context_of(service, database), request, position, urls(database))
            same_rows = rows(database, NEXT, position) == rows(database, "musterroll", position)

            assert same_rows, position
            assert built.cut.size == len(rows(database, NEXT, position))
            assert shown.get(position, digests(database, NEXT)) == digests(database, NEXT)


def lived(client: httpx.Client, database: Database, rng: Random) -> dict[int, dict[str, str]]:
    """A history, and what its read models were at some positions of it."""
    shown = {}
    for _ in range(2 + POINTS // 10):
        for _ in range(rng.randrange(3, 12)):
            task = post(client, "/v1/tasks", {"kind": "review", "labels": {"n": str(rng.random())}})
            if rng.random() < 0.3:
                post(client, f"/v1/tasks/{task['task_id']}/cancel", {})
        position = caught_up(client)
        shown[position] = digests(database, "musterroll")
    return shown


def caught_up(client: httpx.Client) -> int:
    """Where the log ends, once everything shows it."""
    while True:
        checks = client.get("/readyz").json()["checks"]
        if not any(check.get("lag_events") for n, check in checks.items() if n != "seals"):
            cursor: str = client.get("/v1/store").json()["cursor"]
            return int(cursor.partition(":")[2])


def built_at(context: Any, request: dict[str, Any], position: int, both: tuple[str, str]) -> Built:
    source = source_in(context, request)
    with restoring(both[0]) as connection:
        return build(
            NextStore(connection),
            source,
            source.cut(position=position),
            urls=both,
            tables=None,
            effort=context.effort,
            told=told,
        )


def urls(database: Database) -> tuple[str, str]:
    return database.owner_url, database.url


def rows(database: Database, schema: str, until: int) -> Sequence[bytes]:
    statement = copy_statement(after=None, until=until).replace(
        b"FROM musterroll.events", f"FROM {schema}.events".encode()
    )
    with psycopg.connect(database.owner_url) as owner:
        return [bytes(row) for row in rows_of(owner, statement)]


def digests(database: Database, schema: str) -> dict[str, str]:
    session = session_of(schema=schema)
    with make_pool(database.owner_url, connections_max=2, session=session) as pool:
        return {shape.table: PostgresReadModelStore(pool, shape).digest() for _, shape in MODELS}
