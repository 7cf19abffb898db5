"""Goal: what is derived never stands in the way of history, what was revoked stays so, and a plan
tells all that is lost. Method: stores of services, restored by the jobs of the archivist."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from application.archives.chain import Catalogue
from application.commands.archives import RecordDrilled
from infrastructure.archives.restoring import source_of
from infrastructure.archives.stores import open_repository
from infrastructure.seals.signer import signed
from interfaces.bootstrap.archive_jobs import drill, plan, restore
from interfaces.bootstrap.empty_machine import restore_into_empty
from tests.conftest import Database, fresh_database
from tests.given import by
from tests.interfaces.restore_jobs import context_of, request_of, told
from tests.interfaces.restored import backed_up, post, restored, undone
from tests.interfaces.service import Service
from tests.interfaces.test_restore_empty import SUBJECT, settings_of, with_keys

SECRET = "a long enough one"
SECONDS_MAX = 30


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    with Service(database, tmp_path, backup_seconds=0) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


def test_a_read_model_of_another_shape_is_told_of_and_restored_all_the_same(
    service: Service, client: httpx.Client, database: Database
) -> None:
    archive = reshaped(client, database)
    context, request = context_of(service, database), request_of(service, archive)

    drilled = drill.run(context, request, told)
    done = restore.run(context, request, told)

    assert (drilled["equal"], drilled["code"]) == (False, "read_model_differs")
    assert done["different"] == ["task_board"]


def test_read_models_of_another_release_are_not_compared(
    service: Service, client: httpx.Client, database: Database
) -> None:
    archive = retold(service, reshaped(client, database), release="0.0.1")

    drilled = drill.run(context_of(service, database), request_of(service, archive), told)

    assert drilled["equal"], drilled


def test_a_synthetic_archive_is_compared_as_what_it_was_made_of(
    service: Service, client: httpx.Client, database: Database
) -> None:
    reshaped(client, database)
    submitted(client)
    backed_up(client, "incremental")
    archive = backed_up(client, "synthetic")

    drilled = drill.run(context_of(service, database), request_of(service, archive), told)

    assert drilled["code"] == "read_model_differs"


def test_a_drill_by_several_processes_comes_to_the_same(
    service: Service, client: httpx.Client, database: Database
) -> None:
    for _ in range(3):
        submitted(client)
    archive = backed_up(client)
    alone = drill.run(context_of(service, database), request_of(service, archive), told)

    many = context_of(service, database, backup_processes=2)
    together = drill.run(many, request_of(service, archive), told)

    assert many.effort.processes == 2
    assert {**together, "seconds": 0} == {**alone, "seconds": 0}
    assert together["equal"], together


def test_an_old_archive_is_drilled_without_the_accounts_that_retention_took(
    service: Service, client: httpx.Client, database: Database, tmp_path: Path
) -> None:
    submitted(client)
    archive = retold(service, backed_up(client), age=timedelta(days=40))
    for _ in range(3):
        submitted(client)
        backed_up(client)
    for file in (tmp_path / "backups").rglob("segments/accounts-*.seg"):
        file.unlink()

    drilled = drill.run(context_of(service, database), request_of(service, archive), told)

    assert drilled["equal"], drilled


def test_a_plan_counts_from_where_the_two_histories_part(
    service: Service, client: httpx.Client, database: Database
) -> None:
    submitted(client)
    restored(client, backed_up(client))
    submitted(client)
    of_second_epoch = backed_up(client)
    undone(client)
    for _ in range(7):
        submitted(client)
    request = request_of(service, of_second_epoch, to_position=None, to_time=None)

    planned = plan.run(context_of(service, database), request, told)

    kept, living = positions_of(service, of_second_epoch), living_positions(database)
    lost = [position for position in living if position not in kept]
    assert min(lost) < max(kept)
    assert planned["lost"]["events"] == len(lost)
    assert planned["lost"]["after"] == f"3:{max(kept & living)}"


def test_a_plan_takes_the_time_that_the_last_long_drill_here_took(
    service: Service, client: httpx.Client, database: Database
) -> None:
    for _ in range(20):
        submitted(client)
    archive = backed_up(client)
    request = request_of(service, archive, to_position=None, to_time=None)

    estimates = []
    for events in (0, 99_999, 100_000):
        if events:
            drilled_at_one_a_second(service, client, archive, events)
        planned = plan.run(context_of(service, database), request, told)
        estimates.append(planned["estimate_seconds"])

    assert planned["events"] >= 20
    assert estimates == [plan.SECONDS_MIN, plan.SECONDS_MIN, planned["events"]]


def test_an_empty_machine_takes_an_old_history_and_the_newest_accounts(
    database: Database, tmp_path: Path
) -> None:
    former = tmp_path / "former"
    former.mkdir()
    with Service(database, former, backup_seconds=0) as service, service.client() as client:
        bob = {"username": "bob", "password": SECRET, "scopes": ["tasks:read"]}
        made = post(client, "/v1/users", bob)
        post(client, "/v1/tasks", {"kind": "review", "input": "secret", "subject": SUBJECT})
        archive = backed_up(client)
        client.delete(f"/v1/users/{made['user_id']}").raise_for_status()
        post(client, f"/v1/subjects/{SUBJECT}/erase", None)
        newest = backed_up(client)
        issued = max(positions_of(service, newest))
    data_dir = with_keys(former, tmp_path / "new")
    with fresh_database() as other:
        done = restore_into_empty(
            settings_of(data_dir, former, other),
            archive_id=UUID(archive),
            store_id=None,
            trusted=(),
            told=told,
        )
        of_one_role = Database(name=other.name, url=other.owner_url, owner_url=other.owner_url)
        with Service(of_one_role, data_dir, backup_seconds=0) as service:
            form = {"grant_type": "password", "username": "bob", "password": SECRET}
            entered = httpx.post(f"{service.url}/v1/oauth/token", data=form)
            with service.client() as client:
                first = int(submitted(client)["cursor"].partition(":")[2])

    assert entered.status_code == 400
    assert done["epoch"] == 102
    assert first > issued + 1_000_000


def test_digests_do_not_depend_on_how_a_database_shows_dates(
    service: Service, client: httpx.Client, database: Database
) -> None:
    submitted(client)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE \"{database.name}\" SET datestyle = 'German'")
        owner.execute(f"ALTER DATABASE \"{database.name}\" SET bytea_output = 'escape'")
    archive = backed_up(client)

    drilled = drill.run(context_of(service, database), request_of(service, archive), told)

    assert drilled["equal"], drilled


def drilled_at_one_a_second(
    service: Service, client: httpx.Client, archive: str, events: int
) -> None:
    """As a drill records it, and shown in the list of archives."""
    command = RecordDrilled(
        origin=by("process/archives", tenant="default"),
        archive_id=UUID(archive),
        position=events,
        events=events,
        seconds=float(events),
    )
    recording = service.process.commands.execute(command)
    receipt = asyncio.run_coroutine_threadsafe(recording, service.loop).result(SECONDS_MAX)
    seen = {"seen": str(receipt.cursor)}
    client.get(f"/v1/backups/{archive}", params=seen).raise_for_status()


def reshaped(client: httpx.Client, database: Database) -> str:
    """A full archive of a task board with one column more than it has here."""
    submitted(client)
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("ALTER TABLE musterroll.task_board ADD COLUMN another int")
    return backed_up(client)


def retold(
    service: Service, archive: str, *, release: str | None = None, age: timedelta = timedelta()
) -> str:
    """The archive as another release, or an earlier day, would have signed it."""
    catalogue = catalogue_of(service)
    manifest = catalogue.one(UUID(archive)).manifest
    other = replace(
        manifest,
        archive_id=uuid4(),
        release=release or manifest.release,
        taken_at=manifest.taken_at - age,
    )
    repository = open_repository(service.process.settings, service.process.store_id)
    repository.put_if_absent(other.file_name, other.encode(service.process._seals.signer))
    return str(other.archive_id)


def positions_of(service: Service, archive: str) -> set[int]:
    """Of all its events."""
    process = service.process
    repository = open_repository(process.settings, process.store_id)
    source = source_of(
        repository, process.store_id, UUID(archive), identity_file=None, trusted=None
    )
    entries = source.chain.files("events")
    return {p for entry in entries for p in source.files.events(entry).positions}


def living_positions(database: Database) -> set[int]:
    with psycopg.connect(database.owner_url) as owner:
        return {row[0] for row in owner.execute("SELECT position FROM musterroll.events")}


def catalogue_of(service: Service) -> Catalogue:
    store_id = service.process.store_id
    return Catalogue(open_repository(service.process.settings, store_id), store_id, signed, None)


def submitted(client: httpx.Client) -> dict[str, Any]:
    return post(client, "/v1/tasks", {"kind": "review"})
