"""Goal: an empty machine becomes the store of an archive, on whatever PostgreSQL, and trusts nobody
whom its operator does not."""

from pathlib import Path
from shutil import copy

import psycopg
import pytest
from pydantic import SecretStr

from application.archives.restores import NotEmpty
from infrastructure.postgres.embedded import EmbeddedPostgres
from infrastructure.seals.signer import Ed25519Signer
from infrastructure.security.signing_key import load_or_make
from infrastructure.settings import Settings
from interfaces.bootstrap.empty_machine import Untrusted, restore_into_empty
from tests.conftest import Database, fresh_database
from tests.interfaces.restore_jobs import told
from tests.interfaces.restored import backed_up, post, store_of
from tests.interfaces.service import Service

SUBJECT = "erased@example.org"


@pytest.fixture
def backed(database: Database, tmp_path: Path) -> tuple[Path, str]:
    """The data folder of an installation that is no more, and a task in its archive; a subject of
    it was erased after the archive was taken."""
    folder = tmp_path / "former"
    folder.mkdir()
    with Service(database, folder, backup_seconds=0) as service, service.client() as client:
        task = post(client, "/v1/tasks", {"kind": "review", "input": "secret", "subject": SUBJECT})
        backed_up(client)
        post(client, f"/v1/subjects/{SUBJECT}/erase", None)
    return folder, task["task_id"]


def settings_of(data_dir: Path, backups: Path, database: Database | None = None) -> Settings:
    url = database and SecretStr(database.owner_url)
    return Settings(data_dir=data_dir, backup_store=str(backups / "backups"), database_url=url)


def with_keys(former: Path, data_dir: Path) -> Path:
    """A data folder into which the operator has put what belongs there."""
    data_dir.mkdir()
    for name in ("seal-key.pem", "signing-key.pem", "erasures.ndjson"):
        copy(former / name, data_dir / name)
    return data_dir


def test_an_archive_becomes_the_store_of_another_database_of_one_role(
    backed: tuple[Path, str], tmp_path: Path
) -> None:
    former, task_id = backed
    data_dir = with_keys(former, tmp_path / "new")
    with fresh_database() as other:
        settings = settings_of(data_dir, former, other)
        restored = restore_into_empty(
            settings, archive_id=None, store_id=None, trusted=(), told=told
        )
        of_one_role = Database(name=other.name, url=other.owner_url, owner_url=other.owner_url)

        with (
            Service(of_one_role, data_dir, backup_seconds=0) as service,
            service.client() as client,
        ):
            shown = client.get(f"/v1/tasks/{task_id}").raise_for_status().json()
            epoch = store_of(client)["epoch"]

        with pytest.raises(NotEmpty):
            restore_into_empty(settings, archive_id=None, store_id=None, trusted=(), told=told)
    assert (restored["epoch"], epoch) == (102, 102)
    assert shown["input"] == "[erased]"


def test_an_archive_that_was_being_taken_then_is_not_taken_again_under_its_id(
    backed: tuple[Path, str], tmp_path: Path
) -> None:
    former, _ = backed
    data_dir = with_keys(former, tmp_path / "new")
    with fresh_database() as other:
        settings = settings_of(data_dir, former, other)
        restore_into_empty(settings, archive_id=None, store_id=None, trusted=(), told=told)
        of_one_role = Database(name=other.name, url=other.owner_url, owner_url=other.owner_url)

        # Its backups go elsewhere, where the one that it came from does not lie.
        with (
            Service(of_one_role, data_dir, backup_seconds=0) as service,
            service.client() as client,
        ):
            [row] = client.get("/v1/backups").raise_for_status().json()["items"]
            path = f"/v1/backups/{row['id']}"
            row = client.get(path, params={"wait": 30}).raise_for_status().json()

    assert (row["status"], row["error"]["code"]) == ("failed", "restored_since")


def test_a_store_that_came_to_life_meanwhile_is_not_touched(
    backed: tuple[Path, str], tmp_path: Path
) -> None:
    former, _ = backed
    with fresh_database() as other:
        settings = settings_of(with_keys(former, tmp_path / "new"), former, other)
        of_one_role = Database(name=other.name, url=other.owner_url, owner_url=other.owner_url)
        began: list[str] = []

        def somebody_else_starts(stage: str, done: int, total: int) -> None:
            if stage == "switch" and not began:
                with (
                    Service(of_one_role, tmp_path / "other", backup_seconds=0) as service,
                    service.client() as client,
                ):
                    began.append(post(client, "/v1/tasks", {"kind": "review"})["task_id"])

        with pytest.raises(NotEmpty):
            restore_into_empty(
                settings, archive_id=None, store_id=None, trusted=(), told=somebody_else_starts
            )

        with psycopg.connect(other.owner_url) as connection:
            found = connection.execute(
                "SELECT count(*), to_regnamespace('musterroll_next') FROM musterroll.events "
                "WHERE aggregate_id = %s",
                began,
            ).fetchone()
    assert found == (1, None)


def test_an_archive_becomes_the_store_of_an_embedded_database(
    backed: tuple[Path, str], tmp_path: Path
) -> None:
    former, task_id = backed
    data_dir = with_keys(former, tmp_path / "new")

    restored = restore_into_empty(
        settings_of(data_dir, former), archive_id=None, store_id=None, trusted=(), told=told
    )

    server = EmbeddedPostgres(data_dir / "postgres")
    server.start()
    try:
        with psycopg.connect(server.url) as connection:
            row = connection.execute(
                "SELECT count(*), bool_or(aggregate_id = %s) FROM musterroll.events", (task_id,)
            ).fetchone()
    finally:
        server.stop()
    assert row is not None
    assert row[0] > restored["events"]
    assert row[1]


def test_nobody_is_trusted_because_he_signed(backed: tuple[Path, str], tmp_path: Path) -> None:
    former, _ = backed
    settings = settings_of(tmp_path / "new", former)

    with pytest.raises(Untrusted) as refusal:
        restore_into_empty(settings, archive_id=None, store_id=None, trusted=(), told=told)

    assert "signed with a key that nobody here knows: " in str(refusal.value)
    assert refusal.value.facts["key_ids"]
    assert not (tmp_path / "new").exists()


def test_what_a_restore_left_that_was_broken_off_serves_the_next_one(
    backed: tuple[Path, str], tmp_path: Path
) -> None:
    former, _ = backed
    settings = settings_of(tmp_path / "new", former)
    key = Ed25519Signer(load_or_make(former / "seal-key.pem")).key_id

    def ctrl_c(stage: str, done: int, total: int) -> None:
        if stage == "fold":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_into_empty(settings, archive_id=None, store_id=None, trusted=[key], told=ctrl_c)
    left = {path.name for path in settings.data_dir.iterdir()}
    restored = restore_into_empty(
        settings, archive_id=None, store_id=None, trusted=[key], told=told
    )

    # No key that would vouch for archives of this machine, of which there are none.
    assert "seal-key.pem" not in left
    assert restored["epoch"] == 102
