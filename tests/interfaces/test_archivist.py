"""The program that does one job on archives, and how it says what went wrong."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from interfaces.bootstrap.archivist import Teller, outcome_of
from tests.faults.archive_interruptions import fault_at


def test_a_full_disk_of_the_service_is_named(tmp_path: Path) -> None:
    key_file = tmp_path / "seal-key.pem"
    settings = {"backup_store": str(tmp_path / "backups"), "seal_key_file": str(key_file)}
    (tmp_path / "backups").mkdir()
    with (tmp_path / "told").open("wb") as out, fault_at(1, "full"):
        failure = failure_of("backup", settings, Teller(out))

    assert failure["code"] == "disk_full"
    assert failure["message"].startswith("There is no room left on a disk of the service")
    assert not key_file.exists()


def failure_of(kind: str, settings: dict[str, Any], teller: Teller) -> dict[str, Any]:
    """Of a job that no database is asked for."""
    request: dict[str, Any] = {
        "store_id": str(uuid4()),
        "archive_id": str(uuid4()),
        "type": "full",
        "newest": None,
        "verified": [],
        "topics": {},
        "release": "1",
    }
    told: dict[str, Any] = {
        "settings": settings,
        "database_url": None,
        "owner_url": None,
        "trusted_keys": [],
    }
    failure: dict[str, Any] = outcome_of(kind, request, told, teller)["failure"]
    return failure
