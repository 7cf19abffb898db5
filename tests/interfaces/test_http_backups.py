"""Backups over HTTP: ordered, followed, verified, drilled, planned, let go."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Database, fresh_database
from tests.interfaces.live import a_tenant, submitted
from tests.interfaces.service import PASSWORD, Service

NOBODY = "00000000-0000-7000-8000-000000000000"
SECONDS_MAX = 30


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    """Takes no backup by itself."""
    with Service(database, tmp_path, backup_seconds=0) as service:
        yield service


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Takes no backup by itself."""
    folder = tmp_path_factory.mktemp("service")
    with (
        fresh_database() as database,
        Service(database, folder, backup_seconds=0) as service,
    ):
        yield service


@pytest.fixture(scope="module")
def backup(shared_admin: httpx.Client) -> dict[str, Any]:
    """One that is verified."""
    submitted(shared_admin)
    return taken(shared_admin, type="full")


def taken(client: httpx.Client, **body: Any) -> dict[str, Any]:
    receipt = client.post("/v1/backups", json=body).raise_for_status().json()
    return settled(client, f"/v1/backups/{receipt['backup_id']}")


def settled(client: httpx.Client, path: str) -> dict[str, Any]:
    answer = client.get(path, params={"wait": str(SECONDS_MAX)}).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def done(client: httpx.Client, path: str, body: Any = None) -> dict[str, Any]:
    begun = client.post(path, json=body)
    assert begun.status_code == 202, begun.text
    return settled(client, begun.headers["Location"])


def test_a_backup_is_ordered_taken_and_verified(shared_admin: httpx.Client) -> None:
    submitted(shared_admin)

    answer = shared_admin.post("/v1/backups", json={"type": "full"})
    receipt = answer.json()
    found = settled(shared_admin, answer.headers["Location"])

    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/backups/{receipt['backup_id']}"
    assert (found["status"], found["type"], found["level"]) == ("verified", "full", 2)
    assert found["requested_by"] == "user/admin"
    assert found["events"] == found["new_events"] >= 2
    assert found["position"] >= found["events"]
    assert 0 < found["new_bytes"] <= found["bytes"]
    assert (found["error"], found["progress"]) == (None, 1.0)


def test_an_incremental_backup_adds_what_is_new(
    shared_admin: httpx.Client, backup: dict[str, Any]
) -> None:
    submitted(shared_admin)

    found = taken(shared_admin)

    assert (found["status"], found["type"]) == ("verified", "incremental")
    assert found["events"] > backup["events"]
    assert found["new_events"] < found["events"]


def test_a_repeated_order_is_one_backup(shared_admin: httpx.Client) -> None:
    key = {"Idempotency-Key": uuid4().hex}

    first = shared_admin.post("/v1/backups", json={"type": "full"}, headers=key)
    again = shared_admin.post("/v1/backups", json={"type": "full"}, headers=key)
    other = shared_admin.post("/v1/backups", json={"type": "synthetic"}, headers=key)
    settled(shared_admin, first.headers["Location"])

    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert other.json()["code"] == "idempotency_key_reused"


def test_backups_are_listed_newest_first_page_by_page(
    shared_admin: httpx.Client, backup: dict[str, Any]
) -> None:
    newest = taken(shared_admin)

    first = shared_admin.get("/v1/backups", params={"limit": "1", "status": "verified"}).json()
    cursor = {"limit": "200", "cursor": first["next_cursor"]}
    rest = shared_admin.get("/v1/backups", params=cursor).json()

    assert [one["id"] for one in first["items"]] == [newest["id"]]
    assert backup["id"] in [one["id"] for one in rest["items"]]
    assert rest["next_cursor"] is None
    assert shared_admin.get("/v1/backups", params={"status": "failed"}).json()["items"] == []


def test_what_was_ordered_is_seen_by_who_ordered_it(shared_admin: httpx.Client) -> None:
    receipt = shared_admin.post("/v1/backups", json={}).json()
    seen = {"Musterroll-Seen": receipt["cursor"]}

    listed = shared_admin.get("/v1/backups", headers=seen, params={"limit": "1"}).json()["items"]
    settled(shared_admin, f"/v1/backups/{receipt['backup_id']}")
    former = shared_admin.get("/v1/backups", params={"seen": "99:1"})

    assert listed[0]["id"] == receipt["backup_id"]
    assert (former.status_code, former.json()["code"]) == (410, "epoch_ended")


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_backup_is_verified_at_every_level(
    shared_admin: httpx.Client, backup: dict[str, Any], level: int
) -> None:
    job = done(shared_admin, f"/v1/backups/{backup['id']}/verify", {"level": level})

    assert (job["state"], job["kind"], job["backup_id"]) == ("done", "verify", backup["id"])
    assert job["result"]["level"] == level
    assert job["progress"] == 1.0


def test_a_repeated_job_is_one_job(shared_admin: httpx.Client, backup: dict[str, Any]) -> None:
    key, path = {"Idempotency-Key": uuid4().hex}, f"/v1/backups/{backup['id']}/verify"

    first = shared_admin.post(path, json={"level": 3}, headers=key)
    again = shared_admin.post(path, json={"level": 3}, headers=key)
    settled(shared_admin, first.headers["Location"])

    assert again.json() == first.json()
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")


def test_one_job_at_a_time(shared_admin: httpx.Client, backup: dict[str, Any]) -> None:
    path = f"/v1/backups/{backup['id']}/verify"

    first = shared_admin.post(path)
    refused = shared_admin.post(path)
    settled(shared_admin, first.headers["Location"])

    assert (refused.status_code, refused.json()["code"]) == (409, "archive_job_running")
    assert refused.json()["job_id"] == first.json()["job_id"]


def test_a_damaged_backup_is_told_with_its_file(service: Service, admin: httpx.Client) -> None:
    submitted(admin)
    found = taken(admin, type="full")
    store = service.process.settings.data_dir / "backups"
    damage(next(store.rglob("segments/events-*.seg")))

    job = done(admin, f"/v1/backups/{found['id']}/verify", {"level": 1})
    after = admin.get(f"/v1/backups/{found['id']}").json()
    refused = admin.post(f"/v1/backups/{found['id']}/restore", json={"dry_run": True})

    assert (job["state"], job["error"]["code"]) == ("failed", "bad_archive")
    assert job["error"]["fault"] == "file_damaged"
    assert job["error"]["file"].startswith("segments/events-")
    assert (after["status"], after["error"]["code"]) == ("failed", "file_damaged")
    assert (refused.status_code, refused.json()["code"]) == (409, "archive_not_ready")


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)


def test_a_restore_is_planned_without_doing_anything(
    shared_admin: httpx.Client, backup: dict[str, Any]
) -> None:
    for _ in range(3):
        submitted(shared_admin)
    path = f"/v1/backups/{backup['id']}/restore"
    store = shared_admin.get("/v1/store").json()

    whole = shared_admin.post(path, json={"dry_run": True})
    part = shared_admin.post(path, json={"dry_run": True, "to_position": backup["position"] - 1})
    by_time = shared_admin.post(path, json={"dry_run": True, "to_time": backup["time"]})
    first = part.json()["plan"]["lost"]
    copied = shared_admin.post(path, json={"dry_run": True, "to_time": first["first_at"]})

    plan = whole.json()["plan"]
    assert (whole.status_code, whole.json()["job"]) == (200, None)
    assert (plan["position"], plan["events"]) == (backup["position"], backup["events"])
    assert (plan["from_epoch"], plan["to_epoch"]) == (store["epoch"], store["epoch"] + 1)
    assert plan["lost"]["events"] >= 3
    assert part.json()["plan"]["position"] < plan["position"]
    assert by_time.json()["plan"]["position"] == plan["position"]
    assert copied.json()["plan"]["position"] >= int(first["first"].partition(":")[2])
    assert shared_admin.get("/v1/store").json()["epoch"] == store["epoch"]


def test_an_end_that_a_backup_does_not_hold_is_refused_with_the_nearest(
    shared_admin: httpx.Client, backup: dict[str, Any]
) -> None:
    path = f"/v1/backups/{backup['id']}/restore"

    beyond = shared_admin.post(path, json={"dry_run": True, "to_position": 10**17})
    before = shared_admin.post(path, json={"dry_run": True, "to_time": "1999-01-01T00:00:00Z"})

    assert (beyond.status_code, beyond.json()["code"]) == (422, "beyond_archive")
    assert (before.status_code, before.json()["code"]) == (422, "before_history")
    for refused, position in ((beyond, backup["position"]), (before, 1)):
        nearest = {"dry_run": True, "to_position": refused.json()["nearest"]}
        plan = shared_admin.post(path, json=nearest).raise_for_status().json()["plan"]
        assert plan["position"] == position


def test_who_saw_another_epoch_restores_and_undoes_nothing(
    shared_admin: httpx.Client, backup: dict[str, Any]
) -> None:
    headers = {"If-Match": '"7"'}

    restored = shared_admin.post(f"/v1/backups/{backup['id']}/restore", json={}, headers=headers)
    undone = shared_admin.post("/v1/backups/undo-restore", headers=headers)

    for answer in (restored, undone):
        assert (answer.status_code, answer.json()["code"]) == (412, "version_mismatch")


def test_the_store_is_shown_with_its_epoch(shared_admin: httpx.Client) -> None:
    answer = shared_admin.get("/v1/store")

    found = answer.json()
    assert answer.headers["ETag"] == '"1"'
    assert (found["epoch"], found["restored"], found["former"]) == (1, None, [])
    assert found["cursor"].startswith("1:")


def test_what_was_never_restored_cannot_be_undone(shared_admin: httpx.Client) -> None:
    answer = shared_admin.post("/v1/backups/undo-restore")

    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_undo")


def test_expiry_tells_what_would_go_and_why(
    shared_admin: httpx.Client, backup: dict[str, Any]
) -> None:
    job = done(shared_admin, "/v1/backups/expire", {"dry_run": True})

    result = job["result"]
    assert (job["state"], result["dry_run"], result["archives"]) == ("done", True, [])
    assert backup["id"] in [one["id"] for one in result["kept"]]
    assert all(one["reason"] for one in result["kept"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/backups/{}"),
        ("POST", "/v1/backups/{}/verify"),
        ("POST", "/v1/backups/{}/drill"),
        ("POST", "/v1/backups/{}/restore"),
        ("GET", "/v1/backups/jobs/{}"),
    ],
)
def test_what_is_not_there_is_not_found(shared_admin: httpx.Client, method: str, path: str) -> None:
    body = {"dry_run": True} if path.endswith("restore") else None

    unknown = shared_admin.request(method, path.format(NOBODY), json=body)
    no_id = shared_admin.request(method, path.format("latest"), json=body)

    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert (no_id.status_code, no_id.json()["code"]) == (404, "no_such_path")


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("", {"type": "differential"}),
        ("", {"kind": "full"}),
        (f"/{NOBODY}/verify", {"level": 4}),
        (f"/{NOBODY}/verify", {"level": "2"}),
        (f"/{NOBODY}/restore", {"to_position": 0}),
        (f"/{NOBODY}/restore", {"to_position": 1, "to_time": "2026-11-23T00:00:00Z"}),
        (f"/{NOBODY}/restore", {"to_time": "yesterday"}),
        (f"/{NOBODY}/restore", {"dry_run": "yes"}),
        ("/expire", {"dry_run": None}),
    ],
)
def test_what_makes_no_sense_is_refused(
    shared_admin: httpx.Client, path: str, wrong: dict[str, Any]
) -> None:
    answer = shared_admin.post(f"/v1/backups{path}", json=wrong)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")


def test_a_restore_needs_a_body(shared_admin: httpx.Client, backup: dict[str, Any]) -> None:
    answer = shared_admin.post(f"/v1/backups/{backup['id']}/restore")

    assert answer.status_code in {400, 415}


def test_backups_are_for_the_operator_alone(
    shared_service: Service, shared_admin: httpx.Client, backup: dict[str, Any]
) -> None:
    name = uuid4().hex
    user = {"username": name, "password": PASSWORD, "scopes": ["audit:read", "agents:admin"]}
    shared_admin.post("/v1/users", json=user).raise_for_status()

    with (
        a_tenant(shared_service, shared_admin) as foreign,
        shared_service.client(name) as reader,
    ):
        for client in (foreign, reader):
            refused = [
                client.get("/v1/backups"),
                client.get("/v1/store"),
                client.get(f"/v1/backups/{backup['id']}"),
                client.post("/v1/backups", json={}),
                client.post(f"/v1/backups/{backup['id']}/restore", json={"dry_run": True}),
                client.post("/v1/backups/undo-restore"),
            ]
            assert {answer.status_code for answer in refused} == {403}
            assert {answer.json()["code"] for answer in refused} == {"insufficient_scope"}


def test_every_command_is_in_the_audit_trail(
    shared_admin: httpx.Client, backup: dict[str, Any]
) -> None:
    planned = shared_admin.post(
        f"/v1/backups/{backup['id']}/restore", json={"dry_run": True, "to_position": 1}
    )
    job = done(shared_admin, f"/v1/backups/{backup['id']}/verify", {"level": 0})
    done(shared_admin, "/v1/backups/expire", {"dry_run": True})

    wanted = {"type": "audit.commanded", "limit": "3"}
    entries = shared_admin.get("/v1/audit/trail", params=wanted).json()["items"]

    expired, verified, restored = (entry["data"] for entry in entries)
    assert planned.status_code in {200, 422}
    assert restored["about"]["backup_id"] == backup["id"]
    assert (restored["about"]["dry_run"], restored["about"]["to_position"]) == ("True", "1")
    assert verified["about"] == {"backup_id": backup["id"], "job_id": job["job_id"]}
    assert verified["route"] == "/v1/backups/{backup_id}/verify"
    assert (expired["route"], expired["status"]) == ("/v1/backups/expire", 202)
