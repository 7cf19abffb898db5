"""Goal: a restore takes the place of the store that was meant and of no other, with one role or
two, and what comes to nothing leaves nothing. Method: a service, and jobs beside it in this
process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from application.archives.jobs import JobUnderWay
from application.archives.ports import JobFailed
from application.archives.restored import Beginning
from infrastructure.archives.next_store import NEXT, restoring
from infrastructure.archives.switching import Change, Switch
from infrastructure.mapper import CatalogueMapper
from infrastructure.postgres.pool import EPOCH_ENDED, session_of
from interfaces.bootstrap.archive_jobs import drop_former, restore, undo
from interfaces.bootstrap.archive_jobs.drill import scratch_database
from tests.conftest import Database
from tests.interfaces.restore_jobs import ORDER, context_of, request_of, told
from tests.interfaces.restored import backed_up, post, restored, store_of, undone
from tests.interfaces.service import Service
from tests.interfaces.test_backup_keeper import until
from tests.interfaces.test_restore_points import built_at, urls


@pytest.fixture
def one_role(database: Database) -> Database:
    """Where the owner is the application too."""
    return Database(name=database.name, url=database.owner_url, owner_url=database.owner_url)


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    with Service(database, tmp_path, backup_seconds=0) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


class Ended(Exception):
    """The job is told to end."""


# One role.


def test_an_owner_who_is_the_application_too_restores_and_undoes(
    one_role: Database, tmp_path: Path
) -> None:
    with Service(one_role, tmp_path, backup_seconds=0) as service, service.client() as client:
        kept = submitted(client)
        archive = backed_up(client)
        lost = submitted(client)

        restored(client, archive)
        without = client.get(f"/v1/tasks/{lost['task_id']}").status_code
        undone(client)

        assert without == 404
        for task in (kept, lost):
            assert client.get(f"/v1/tasks/{task['task_id']}").status_code == 200
        assert store_of(client)["epoch"] == 3


def test_a_switch_keeps_its_right_to_restore_though_it_ends_everybody_of_its_role(
    one_role: Database, tmp_path: Path
) -> None:
    with Service(one_role, tmp_path, backup_seconds=0) as service, service.client() as client:
        submitted(client)
        change = built(service, one_role, client)
        with restoring(one_role.owner_url) as connection:
            switch_of(service, one_role, connection).run(change)

            with pytest.raises(JobUnderWay), restoring(one_role.owner_url):
                raise AssertionError("nobody else restores meanwhile")


# The store that was meant.


@pytest.mark.parametrize("job", [restore, undo])
def test_what_was_wanted_in_an_epoch_that_has_ended_is_not_done(
    service: Service, client: httpx.Client, database: Database, job: Any
) -> None:
    submitted(client)
    archive = backed_up(client)
    context, request = context_of(service, database), request_of(service, archive)
    restored(client, archive)
    since = submitted(client)

    with pytest.raises(JobFailed) as failed:
        job.run(context, request, told)

    assert (failed.value.code, failed.value.facts) == ("epoch_ended", {"epoch": 1, "current": 2})
    assert client.get(f"/v1/tasks/{since['task_id']}").status_code == 200


def test_a_switch_looks_at_the_epoch_again_under_its_locks(
    service: Service, client: httpx.Client, database: Database
) -> None:
    submitted(client)
    change = built(service, database, client, live_epoch=7)

    with restoring(database.owner_url) as connection, pytest.raises(JobFailed) as failed:
        switch_of(service, database, connection).run(change)

    assert failed.value.code == "epoch_ended"
    assert submitted(client)["cursor"].startswith("1:")


@pytest.mark.parametrize(
    "touched",
    [
        "DELETE FROM {next}.events WHERE position = (SELECT max(position) FROM {next}.events)",
        "DELETE FROM {next}.events WHERE position = (SELECT min(position) FROM {next}.events)",
        "UPDATE {next}.seals SET root = sha256(root)",
        "UPDATE {next}.store SET store_id = gen_random_uuid()",
    ],
)
def test_a_switch_takes_nothing_but_what_was_built(
    service: Service, client: httpx.Client, database: Database, touched: str
) -> None:
    submitted(client)
    until(
        lambda: client.get("/readyz").json()["checks"]["seals"],
        lambda seals: seals["lag_events"] == 0,
    )
    submitted(client)
    change = built(service, database, client, position=2)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        for table in ("events", "seals"):
            owner.execute(f"ALTER TABLE {NEXT}.{table} DISABLE TRIGGER append_only")
        owner.execute(touched.format(next=NEXT))

    with restoring(database.owner_url) as connection, pytest.raises(JobFailed) as failed:
        switch_of(service, database, connection).run(change)

    assert failed.value.code == "store_changed"
    assert submitted(client)["cursor"].startswith("1:")


@pytest.mark.parametrize("store", ["DELETE FROM musterroll.store", "UPDATE musterroll.store SET"])
def test_a_session_of_an_epoch_is_refused_where_the_store_has_none(
    database: Database, store: str
) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        if store.startswith("UPDATE"):
            owner.execute("ALTER TABLE musterroll.store ALTER epoch DROP NOT NULL")
            store = f"{store} epoch = NULL"
        owner.execute(store)

    with (
        psycopg.connect(database.url, autocommit=True) as connection,
        pytest.raises(psycopg.Error) as refused,
    ):
        connection.execute(session_of(epoch=1))

    assert refused.value.sqlstate == EPOCH_ENDED


# What is left.


def test_a_restore_that_fails_before_its_switch_leaves_nothing(
    service: Service, client: httpx.Client, database: Database
) -> None:
    submitted(client)
    context, request = context_of(service, database), request_of(service, backed_up(client))

    def ended(stage: str, done: int, total: int) -> None:
        if stage == "switch":
            raise Ended

    with pytest.raises(Ended):
        restore.run(context, request, ended)

    assert NEXT not in schemas(database)


def test_what_a_killed_restore_left_is_dropped_though_no_store_was_put_aside(
    database: Database, tmp_path: Path
) -> None:
    with Service(database, tmp_path, backup_seconds=0) as service, service.client() as client:
        submitted(client)
        built(service, database, client)
    assert NEXT in schemas(database)

    with Service(database, tmp_path, backup_seconds=0):
        until(lambda: schemas(database), lambda found: NEXT not in found)

    assert schemas(database) == {"musterroll"}


def test_a_store_that_was_put_aside_goes_after_its_days_and_not_before(
    service: Service, client: httpx.Client, database: Database
) -> None:
    submitted(client)
    restored(client, backed_up(client))
    context = context_of(service, database)

    young = drop_former.run(context, {}, told)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(
            "DO $$ BEGIN EXECUTE format('COMMENT ON SCHEMA musterroll_epoch_1 IS %L', 'put aside "
            "at ' || to_char(now() - interval '7 days', 'YYYY-MM-DD\"T\"HH24:MI:SSTZH:TZM')); "
            "END $$"
        )
    old = drop_former.run(context, {}, told)

    assert (young, old) == ({"dropped": []}, {"dropped": [1]})
    assert schemas(database) == {"musterroll"}


# Drills.


def test_a_drill_leaves_the_database_of_another_that_has_only_just_begun(
    database: Database,
) -> None:
    with scratch_database(*urls(database)) as first, scratch_database(*urls(database)):
        psycopg.connect(first[0]).close()


def test_a_database_that_cannot_be_dropped_hides_nothing_and_goes_with_the_next_drill(
    database: Database,
) -> None:
    with scratch_database(*urls(database)) as scratch:
        held = psycopg.connect(scratch[0])
        name = held.info.dbname
    left = drills(database)
    held.close()
    until(lambda: in_it(database, name), lambda sessions: sessions == 0)

    with scratch_database(*urls(database)):
        pass

    assert name in left
    assert name not in drills(database)


def built(
    service: Service,
    database: Database,
    client: httpx.Client,
    *,
    position: int = 1,
    live_epoch: int = 1,
) -> Change:
    """A store that is ready to be switched to, and left there."""
    request = request_of(service, backed_up(client))
    made = built_at(context_of(service, database), request, position, urls(database))
    return Change(
        schema=NEXT,
        store_id=service.process.store_id,
        position=made.cut.position,
        size=made.tree.size,
        root=made.tree.root,
        contents=made.contents,
        issued=made.cut.position,
        epoch=1,
        archive_id=None,
        manifest_sha256=None,
        undone=False,
        live_epoch=live_epoch,
    )


def switch_of(service: Service, database: Database, connection: Any) -> Switch:
    signer = context_of(service, database).signer()
    beginning = Beginning(order=ORDER, signer=signer, encode=CatalogueMapper().encode, tasks=())
    return Switch(connection, database.url, beginning)


def submitted(client: httpx.Client) -> dict[str, Any]:
    return post(client, "/v1/tasks", {"kind": "review"})


def schemas(database: Database) -> set[str]:
    named = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'musterroll%'"
    return {row[0] for row in asked(database, named)}


def drills(database: Database) -> set[str]:
    named = "SELECT datname FROM pg_database WHERE datname LIKE 'musterroll_drill_%'"
    return {row[0] for row in asked(database, named)}


def in_it(database: Database, name: str) -> int:
    found = asked(database, f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'")
    return int(found[0][0])


def asked(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.owner_url) as owner:
        return owner.execute(statement).fetchall()
