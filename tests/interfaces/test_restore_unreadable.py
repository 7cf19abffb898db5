"""Goal: whoever restores an encrypted archive without its key is told so before anything is
promised or begun, by whatever way he asks."""

import time
from pathlib import Path
from typing import Any

import httpx
import pyrage  # type: ignore[import-untyped]
import pytest

from application.archives.faults import BadArchive
from infrastructure.settings import Settings
from interfaces.bootstrap.empty_machine import restore_into_empty
from tests.conftest import Database
from tests.interfaces.muster import Muster
from tests.interfaces.restore_jobs import told
from tests.interfaces.restored import SECONDS_MAX, post
from tests.interfaces.service import Service


def test_no_plan_is_made_of_what_nobody_here_can_decrypt(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with encrypting(database, tmp_path) as service, service.client() as client:
        archive = stored(client)

        path = f"/v1/backups/{archive}/restore"
        refused = client.post(path, json={"dry_run": True})
        said = Muster(service, monkeypatch, capsys)("backup", "restore", archive, "--dry-run")

    assert (refused.status_code, refused.json()["code"]) == (409, "bad_archive")
    assert refused.json()["fault"] == "key_missing"
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "encrypted, and backup_identity_file is not set" in said.err


def test_a_plan_is_made_for_whoever_has_the_key(database: Database, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    file = tmp_path / "identity"
    file.write_text(str(identity))
    with (
        encrypting(database, tmp_path, identity, backup_identity_file=file) as service,
        service.client() as client,
    ):
        archive = stored(client)

        planned = client.post(f"/v1/backups/{archive}/restore", json={"dry_run": True})

    assert planned.status_code == 200
    assert planned.json()["plan"]["archive_id"] == archive


@pytest.mark.parametrize("identity", [None, "that of somebody else"])
def test_an_empty_machine_without_the_key_stays_empty(
    database: Database, tmp_path: Path, identity: str | None
) -> None:
    with encrypting(database, tmp_path / "former") as service, service.client() as client:
        stored(client)
        key_id = service.process._seals.signer.key_id
    file = tmp_path / "identity"
    file.write_text(str(pyrage.x25519.Identity.generate()))
    settings = Settings(
        data_dir=tmp_path / "new",
        backup_store=str(tmp_path / "former" / "backups"),
        backup_identity_file=file if identity else None,
    )

    with pytest.raises(BadArchive, match="backup_identity_file") as refused:
        restore_into_empty(settings, archive_id=None, store_id=None, trusted=[key_id], told=told)

    assert refused.value.fault == "key_missing"
    assert not settings.data_dir.exists()


def encrypting(
    database: Database,
    folder: Path,
    identity: "pyrage.x25519.Identity | None" = None,
    **settings: Any,
) -> Service:
    """A service whose archives the holder of an identity can read, by default nobody here."""
    recipient = (identity or pyrage.x25519.Identity.generate()).to_public()
    folder.mkdir(exist_ok=True)
    return Service(
        database,
        folder,
        backup_seconds=0,
        backup_recipients=[str(recipient)],
        **settings,
    )


def stored(client: httpx.Client) -> str:
    """The id of a full archive of one task, whether or not anybody here can verify it."""
    post(client, "/v1/tasks", {"kind": "review"})
    path = f"/v1/backups/{post(client, '/v1/backups', {'type': 'full'})['backup_id']}"
    deadline = time.monotonic() + SECONDS_MAX
    while (found := client.get(path, params={"wait": 1}).json())["status"] == "running":
        assert time.monotonic() < deadline, found
    return str(found["id"])
