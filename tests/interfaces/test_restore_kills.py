"""Goal: wherever a switch is killed, a whole store serves: before its COMMIT the old one, after it
the new. Method: the switch in a process that kills itself behind its n-th statement, beside a
service that goes on working; for some n, or with MUSTERROLL_KILL_EVERYWHERE=1 for every n."""

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
from tests.interfaces.test_restore_points import built_at, urls

KILLS = 3
EVERYWHERE = "MUSTERROLL_KILL_EVERYWHERE" in os.environ
SWITCHER = """
import json, os, signal, sys
from pathlib import Path
from uuid import UUID

import psycopg

from application.archives.restored import Beginning
from infrastructure.archives.next_store import restoring
from infrastructure.archives.switching import Change, Switch
from infrastructure.mapper import CatalogueMapper
from infrastructure.seals.signer import Ed25519Signer
from infrastructure.security import signing_key

told = json.loads(sys.argv[1])
executed, execute = 0, psycopg.Connection.execute


def counted(connection, *arguments, **options):
    global executed
    found = execute(connection, *arguments, **options)
    # How often it looks whether others are gone, is theirs to say.
    executed += "backend_start" not in str(arguments[0])
    if executed == told["kill_behind"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return found


psycopg.Connection.execute = counted
signer = Ed25519Signer(signing_key.load_or_make(Path(told["key"])))
beginning = Beginning(
    actor="user/admin", signer=signer, encode=CatalogueMapper().encode, tasks=()
)
change = Change(
    schema="musterroll_next", store_id=UUID(told["store_id"]), position=told["position"],
    size=told["size"], root=bytes.fromhex(told["root"]), issued=told["position"], epoch=1,
    archive_id=None, manifest_sha256=None, undone=False, live_epoch=1,
)
with restoring(told["owner_url"]) as connection:
    Switch(connection, told["url"], beginning).run(change)
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
        built = built_at(
            context_of(service, database), request_of(service, archive), 1, urls(database)
        )
        change = {
            "store_id": str(service.process.store_id),
            "position": built.cut.position,
            "size": built.tree.size,
            "root": built.tree.root.hex(),
            "key": str(tmp_path / "seal-key.pem"),
            "owner_url": database.owner_url,
            "url": database.url,
        }
        for place in every if EVERYWHERE else [*rng.sample(every, KILLS), STATEMENTS]:
            assert executed_in(change, kill_behind=place) is None, place
            lost = post(patient(client), "/v1/tasks", {"kind": "review"})
            assert lost["cursor"].startswith("1:")

        executed = executed_in(change, kill_behind=0)
        in_epoch_after(client, 1, {"job_id": archive})

        assert executed is not None
        assert executed >= STATEMENTS
        assert store_of(client)["epoch"] == 2
        assert client.get(f"/v1/tasks/{kept['task_id']}").status_code == 200
        assert client.get(f"/v1/tasks/{lost['task_id']}").status_code == 404
    with psycopg.connect(database.owner_url) as owner:
        schemas = owner.execute("SELECT to_regnamespace(%s) IS NULL", (NEXT,)).fetchone()
        assert schemas == (True,)


def executed_in(change: dict[str, Any], *, kill_behind: int) -> int | None:
    """How many statements it took to the end; None: it was killed."""
    told = json.dumps({**change, "kill_behind": kill_behind})
    nobody_restores(change["owner_url"])
    ended = subprocess.run(
        [sys.executable, "-c", SWITCHER, told],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        check=False,
    )
    assert ended.returncode in {0, -9}, ended
    return int(ended.stdout) if ended.returncode == 0 else None


def nobody_restores(owner_url: str) -> None:
    """Once the session of who was killed is gone."""
    with psycopg.connect(owner_url) as owner:
        owner.execute("SELECT pg_advisory_xact_lock(7311005)")


def patient(client: httpx.Client) -> httpx.Client:
    """Once the service has its connections again."""
    while client.get("/readyz").status_code != 200:
        pass
    return client
