"""Goal: wherever a switch is killed, a whole store serves: before its COMMIT the old one, after it
the new. Method: a restore in a process that kills itself behind the n-th statement of its switch,
beside a service that goes on working; for some n, or with MUSTERROLL_KILL_EVERYWHERE=1 for every n.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg

from infrastructure.archives.next_store import NEXT
from tests.conftest import Database
from tests.interfaces.restore_jobs import context_of, request_of
from tests.interfaces.restored import backed_up, in_epoch_after, post, store_of
from tests.interfaces.service import Service

KILLS = 3
EVERYWHERE = "MUSTERROLL_KILL_EVERYWHERE" in os.environ
SWITCHER = """
import json, os, signal, sys

import psycopg

from application.archives.jobs import JobUnderWay
from interfaces.bootstrap.archive_jobs import restore
from interfaces.bootstrap.archive_jobs.context import JobContext

job = json.loads(sys.argv[1])
switching, executed, execute = False, 0, psycopg.Connection.execute


def counted(connection, *arguments, **options):
    global executed
    found = execute(connection, *arguments, **options)
    # How often it looks whether others are gone, is theirs to say.
    executed += switching and "backend_start" not in str(arguments[0])
    if executed == job["kill_behind"] and switching:
        os.kill(os.getpid(), signal.SIGKILL)
    return found


def told(stage, done, total):
    global switching
    switching = stage == "switch"


psycopg.Connection.execute = counted
while not executed:
    try:
        restore.run(JobContext(job["context"]), job["request"], told)
    except JobUnderWay:
        pass  # The service drops what the one before left.
print(executed)
"""
STATEMENTS = 36
"""Of a switch that goes through at once."""


def test_a_switch_that_is_killed_leaves_the_old_store_or_the_new_one(
    database: Database, tmp_path: Path, rng: Random
) -> None:
    every = range(1, STATEMENTS + 1)
    with (
        Service(database, tmp_path, backup_seconds=0) as service,
        service.client() as client,
    ):
        kept = post(client, "/v1/tasks", {"kind": "review"})
        archive = backed_up(client)
        job = {
            "context": context_of(service, database)._told,
            "request": request_of(service, archive),
        }
        for place in every if EVERYWHERE else [*rng.sample(every, KILLS), STATEMENTS]:
            assert executed_in(job, kill_behind=place) is None, place
            lost = post(patient(client), "/v1/tasks", {"kind": "review"})
            assert lost["cursor"].startswith("1:")

        executed = executed_in(job, kill_behind=0)
        in_epoch_after(client, 1, {"job_id": archive})

        assert executed is not None
        assert executed >= STATEMENTS
        assert store_of(client)["epoch"] == 2
        assert client.get(f"/v1/tasks/{kept['task_id']}").status_code == 200
        assert client.get(f"/v1/tasks/{lost['task_id']}").status_code == 404
    with psycopg.connect(database.owner_url) as owner:
        schemas = owner.execute("SELECT to_regnamespace(%s) IS NULL", (NEXT,)).fetchone()
        assert schemas == (True,)


def executed_in(job: dict[str, Any], *, kill_behind: int) -> int | None:
    """How many statements it took to the end; None: it was killed."""
    told = json.dumps({**job, "kill_behind": kill_behind}, default=str)
    ended = subprocess.run(
        [sys.executable, "-c", SWITCHER, told],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        check=False,
    )
    assert ended.returncode in {0, -9}, ended
    return int(ended.stdout) if ended.returncode == 0 else None


def patient(client: httpx.Client) -> httpx.Client:
    """Once the service has its connections again."""
    while client.get("/readyz").status_code != 200:
        pass
    return client
