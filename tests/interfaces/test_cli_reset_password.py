"""`muster user reset-password`: the way in for whoever has the machine and the database, and lost
the last administrator's password."""

import os
from pathlib import Path

import httpx
import orjson
import pytest
from pydantic import SecretStr

from infrastructure.postgres.embedded import EmbeddedPostgres
from infrastructure.settings import Settings
from interfaces.bootstrap.empty_machine import restore_into_empty
from interfaces.cli.main import run
from tests.conftest import Database, fresh_database
from tests.interfaces.muster import Said
from tests.interfaces.restore_jobs import told
from tests.interfaces.restored import backed_up
from tests.interfaces.service import PASSWORD, Service

CHOSEN = "quite another password"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MUSTERROLL_") and not name.startswith("MUSTERROLL_TEST_"):
            monkeypatch.delenv(name)


def reset(
    capsys: pytest.CaptureFixture[str], folder: Path, database: Database | None, *words: str
) -> Said:
    there = ["--database-url", database.url] if database else []
    code = run(["user", "reset-password", *words, "--data-dir", str(folder), *there])
    out, err = capsys.readouterr()
    return Said(code, out, err)


def signs_in(service: Service, password: str, *, username: str = "admin") -> bool:
    form = {"grant_type": "password", "username": username, "password": password}
    return httpx.post(f"{service.url}/v1/oauth/token", data=form).status_code == 200


def test_the_administrator_of_a_restored_store_gets_in_again(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    former, new = tmp_path / "former", tmp_path / "new"
    former.mkdir()
    with Service(database, former, backup_seconds=0) as service, service.client() as client:
        backed_up(client)
    new.mkdir()
    (new / "seal-key.pem").write_bytes((former / "seal-key.pem").read_bytes())
    (new / "seal-key.pem").chmod(0o600)
    with fresh_database() as other:
        one_role = Database(name=other.name, url=other.owner_url, owner_url=other.owner_url)
        settings = Settings(
            data_dir=new,
            backup_store=str(former / "backups"),
            database_url=SecretStr(other.owner_url),
        )
        restore_into_empty(settings, archive_id=None, store_id=None, trusted=(), told=told)

        said = reset(capsys, new, one_role, "admin")

        kept = new / "admin-password"
        with Service(one_role, new, backup_seconds=0) as service:
            assert signs_in(service, kept.read_text().strip())
            assert not signs_in(service, PASSWORD)
    assert said.code == 0, said.err
    assert str(kept) in said.out
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_chosen_password_ends_the_former_one_its_tokens_and_its_file(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "admin-password").write_text("what nobody signs in with\n")
    (tmp_path / "chosen").write_text(f"{CHOSEN}\n")
    with Service(database, tmp_path, backup_seconds=0) as service, service.client() as client:
        bearer = client.headers["Authorization"]

    said = reset(capsys, tmp_path, database, "admin", "--password-file", str(tmp_path / "chosen"))

    assert said.code == 0, said.err
    with Service(database, tmp_path, backup_seconds=0) as service:
        old = httpx.get(f"{service.url}/v1/users", headers={"Authorization": bearer})
        assert old.status_code == 401
        assert signs_in(service, CHOSEN)
        assert not signs_in(service, PASSWORD)
    assert not (tmp_path / "admin-password").exists()
    assert CHOSEN not in said.out


def test_beside_a_service_and_for_nobody_it_changes_nothing(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Service(database, tmp_path, backup_seconds=0) as service:
        beside = reset(capsys, tmp_path, database, "admin")
        assert signs_in(service, PASSWORD)

    nobody = reset(capsys, tmp_path, database, "nobody")
    (tmp_path / "short").write_text("short\n")
    short = reset(capsys, tmp_path, database, "admin", "--password-file", str(tmp_path / "short"))

    assert (beside.code, nobody.code, short.code) == (1, 5, 1)
    assert "stop it first" in beside.err
    assert "Nobody signs in as 'nobody'" in nobody.err
    assert "at least 8 characters" in short.err
    assert not (tmp_path / "admin-password").exists()


def test_the_administrator_s_may_come_from_the_environment_and_others_are_shown_once(
    database: Database,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Service(database, tmp_path, backup_seconds=0) as service, service.client() as client:
        client.post(
            "/v1/users", json={"username": "ann", "scopes": ["tasks:read"]}
        ).raise_for_status()
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("MUSTERROLL_ADMIN_PASSWORD", CHOSEN)

    empty = reset(capsys, tmp_path, database, "admin", "--password-file", str(tmp_path / "empty"))
    admin = reset(capsys, tmp_path, database, "admin")
    ann = reset(capsys, tmp_path, database, "ann", "--json")

    made = orjson.loads(ann.out)["password"]
    with Service(database, tmp_path, backup_seconds=0) as service:
        assert signs_in(service, CHOSEN)
        assert signs_in(service, made, username="ann")
        assert not signs_in(service, CHOSEN, username="ann")
    assert (empty.code, admin.code, ann.code) == (2, 0, 0)
    assert CHOSEN not in admin.out + ann.out
    assert not (tmp_path / "admin-password").exists()


def test_where_there_is_no_store_none_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"

    said = reset(capsys, nowhere, None, "admin")

    assert said.code == 5
    assert f"no store in {nowhere}" in said.err
    assert not nowhere.exists()


def test_the_database_in_the_data_folder_is_started_for_it_unless_another_runs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_another = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    of_another.start()

    try:
        beside = reset(capsys, tmp_path, None, "admin")
    finally:
        of_another.stop()
    alone = reset(capsys, tmp_path, None, "admin")

    assert (beside.code, alone.code) == (1, 5)
    assert "stop it first" in beside.err
    assert "no store in this database" in alone.err
