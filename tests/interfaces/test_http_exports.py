"""An export is the log, line by line; signed, nobody changes it unseen."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import httpx
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from application.export.manifest import BadExport, check
from infrastructure.seals.signer import signed
from interfaces.http import export_stream
from tests.interfaces.live import a_tenant, submitted
from tests.interfaces.muster import Muster
from tests.interfaces.service import Service

CHANGES = 300
OPENING = ("audit.opened", "audit.read")
"""What the log of a tenant of these tests begins with."""


@pytest.fixture
def tenant(shared_service: Service, shared_admin: httpx.Client) -> Iterator[httpx.Client]:
    with a_tenant(shared_service, shared_admin) as tenant:
        # The audit trail of the tenant begins with its first reading, and not with an export.
        tenant.get("/v1/audit/keys").raise_for_status()
        yield tenant


def exported(client: httpx.Client, **parameters: str) -> bytes:
    return client.get("/v1/events/export", params=parameters).raise_for_status().content


def test_an_export_is_the_log_of_the_tenant(
    tenant: httpx.Client, shared_admin: httpx.Client
) -> None:
    for _ in range(3):
        submitted(tenant)
        submitted(shared_admin)

    lines = exported(tenant).splitlines()

    assert [orjson.loads(line)["type"] for line in lines] == [*OPENING, *["task.submitted"] * 3]
    log = tenant.get("/v1/events", params={"until": orjson.loads(lines[-1])["id"]}).json()["items"]
    assert [orjson.loads(line) for line in lines] == log


def test_an_export_has_both_of_its_ends_in_it(tenant: httpx.Client) -> None:
    ids = [orjson.loads(submitted_line)["id"] for submitted_line in _three(tenant)]
    times = [one["time"] for one in map(orjson.loads, _three(tenant))]

    between = [
        orjson.loads(line)["id"]
        for line in exported(tenant, **{"from": ids[1], "to": ids[2]}).splitlines()
    ]

    assert between == ids[1:3]
    assert len(times) == len(ids)


def _three(tenant: httpx.Client) -> list[bytes]:
    while len(lines := exported(tenant).splitlines()) < 3:
        submitted(tenant)
    return lines[:3]


def test_a_signed_export_is_checked_by_thirty_lines_of_anybodys(tenant: httpx.Client) -> None:
    for _ in range(4):
        submitted(tenant)

    body = exported(tenant, sign="true")

    # As somebody else would do it, without anything of ours.
    *events, last = body.splitlines(keepends=True)
    said = json.loads(last)
    manifest = said["manifest"]
    assert manifest["count"] == len(events) == 4 + len(OPENING)
    assert manifest["sha256"] == hashlib.sha256(b"".join(events)).hexdigest()
    public = bytes.fromhex(said["public_key"])
    assert manifest["key_id"] == hashlib.sha256(public).hexdigest()
    text = "musterroll export, version 1\n" + "".join(f"{n} {v}\n" for n, v in manifest.items())
    key = Ed25519PublicKey.from_public_bytes(public)
    key.verify(bytes.fromhex(said["signature"]), text.encode())
    keys = tenant.get("/v1/audit/keys").json()["items"]
    assert said["public_key"] in {one["public_key"] for one in keys}


def test_no_byte_is_changed_unseen(tenant: httpx.Client, rng: Random) -> None:
    for _ in range(5):
        submitted(tenant)
    body = exported(tenant, sign="true")
    assert check(body.splitlines(keepends=True), signed).count == 5 + len(OPENING)

    for _ in range(CHANGES):
        place, bit = rng.randrange(len(body)), 1 << rng.randrange(8)
        changed = body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]
        with pytest.raises(BadExport):
            check(changed.splitlines(keepends=True), signed)


def test_what_is_cut_doubled_or_swapped_is_found(tenant: httpx.Client) -> None:
    for _ in range(4):
        submitted(tenant)
    lines = exported(tenant, sign="true").splitlines(keepends=True)
    former = exported(tenant, sign="true", to=orjson.loads(lines[1])["id"]).splitlines(
        keepends=True
    )

    for wrong in (
        lines[:-1],
        lines[1:],
        [lines[0], *lines],
        [lines[1], lines[0], *lines[2:]],
        [*lines[:-1], former[-1]],
        [*lines, lines[-1]],
        [],
    ):
        with pytest.raises(BadExport):
            check(wrong, signed)


def test_an_export_signed_by_another_key_is_not_trusted(tenant: httpx.Client) -> None:
    submitted(tenant)
    lines = exported(tenant, sign="true").splitlines(keepends=True)
    key_id = check(lines, signed).key_id

    assert check(lines, signed, trusted=key_id)
    with pytest.raises(BadExport, match="another key"):
        check(lines, signed, trusted="0" * 64)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("from=nonsense", 422, "bad_moment"),
        ("from=v7", 422, "bad_moment"),
        ("to=1:999999999", 422, "cursor_ahead"),
        ("from=1970-01-01T00:00:00Z", 422, "before_history"),
        ("to=2999-01-01T00:00:00Z", 422, "after_history"),
        ("from=2:1", 410, "epoch_ended"),
        ("from=1:3&to=1:1", 422, "bad_stretch"),
        ("begin=1:1", 422, "unknown_parameter"),
        ("sign=perhaps", 422, "invalid_parameter"),
    ],
)
def test_a_stretch_that_cannot_be_is_refused(
    tenant: httpx.Client, query: str, status: int, code: str
) -> None:
    for _ in range(3):
        submitted(tenant)

    answer = tenant.get(f"/v1/events/export?{query}")

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_only_so_many_are_under_way_at_a_time(
    shared_service: Service, tenant: httpx.Client
) -> None:
    fill(tenant)
    with (
        tenant.stream("GET", "/v1/events/export") as first,
        tenant.stream("GET", "/v1/events/export"),
    ):
        other = httpx.get(f"{shared_service.url}/v1/events/export", headers=tenant.headers)
        assert (other.status_code, other.json()["code"]) == (503, "too_many_exports")
        assert sum(1 for _ in first.iter_lines()) >= 60

    assert tenant.get("/v1/events/export").status_code == 200


def test_who_takes_nothing_of_it_is_cut_off(
    shared_service: Service, tenant: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_stream, "TAKEN_SECONDS_MAX", 0.3)
    fill(tenant)

    with tenant.stream("GET", "/v1/events/export", params={"sign": "true"}) as answer:
        lines = answer.iter_lines()
        next(lines)
        # The service gives up meanwhile; that is seen by what is not there.
        tenant_free(shared_service, tenant)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)


def fill(tenant: httpx.Client) -> None:
    """More than fits between a service and a client that does not read."""
    tasks = [{"kind": "x", "input": "y" * 200_000}] * 4
    for _ in range(15):
        tenant.post("/v1/tasks/batch", json={"tasks": tasks}).raise_for_status()


def tenant_free(service: Service, tenant: httpx.Client) -> None:
    """Wait until no export of the tenant is under way."""
    (user,) = tenant.get("/v1/users").json()["items"]
    with service.process.exports.under_way(user["tenant"]):
        while tenant.get("/v1/events/export", params={"to": "1:1"}).status_code == 503:
            pass


def test_the_command_line_exports_and_checks(
    service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    muster = Muster(service, monkeypatch, capsys)
    muster.done("user", "add", "ada", "--scope", "tasks:read")
    file = tmp_path / "export.ndjson"

    muster.done("events", "export", "--sign", "-o", str(file))
    checked = muster.done("events", "check-export", str(file), "--json").json
    key_id = checked["manifest"]["key_id"]
    trusted = muster.done("events", "check-export", str(file), "--key", key_id)
    again = muster("events", "export", "-o", str(file))
    file.write_bytes(file.read_bytes().replace(b"ada", b"eva", 1))
    changed = muster("events", "check-export", str(file))
    missing = muster("events", "check-export", str(tmp_path / "nothing"))

    assert checked["ok"]
    assert "as it was signed" in trusted.out
    assert (again.code, "is there already" in again.err) == (1, True)
    assert (changed.code, changed.err) == (
        1,
        "muster: The events are not those that were signed.\n",
    )
    assert missing.code == 5
    assert list(tmp_path.glob("*.partial")) == []
