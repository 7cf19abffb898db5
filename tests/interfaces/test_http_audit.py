"""Over HTTP and on the command line: heads, keys and proofs, and a log that is verified."""

import asyncio
import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import psycopg
import pytest

from application.seals.proof_files import check
from domain.merkle import leaf_hash
from infrastructure.seals.signer import signed
from interfaces.bootstrap.seals import kept_heads
from musterroll import AsyncClient, Client
from musterroll.errors import NotFound
from tests.conftest import Database
from tests.interfaces.muster import Muster
from tests.interfaces.service import PASSWORD, Service

ClientT = TypeVar("ClientT", Client, AsyncClient)
README = Path(__file__).parents[2] / "infrastructure" / "README.md"


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    """One that seals at once."""
    with Service(database, tmp_path, seal_seconds=0.05) as service:
        yield service


@pytest.fixture
def muster(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Muster:
    return Muster(service, monkeypatch, capsys)


def sealed(admin: httpx.Client, count: int = 1) -> list[int]:
    """Submit tasks, and wait until they are sealed; their positions."""
    body = {"tasks": [{"kind": "x", "input": number} for number in range(count)]}
    headers = {"Idempotency-Key": str(uuid4())}
    answer = admin.post("/v1/tasks/batch", json=body, headers=headers).raise_for_status()
    positions = [int(one["cursor"].partition(":")[2]) for one in answer.json()["outcomes"]]
    while newest(admin) < positions[-1]:
        assert admin.get("/readyz").json()["checks"]["seals"]["failing"] is False
    return positions


def newest(admin: httpx.Client) -> int:
    heads = admin.get("/v1/audit/heads", params={"limit": 1}).raise_for_status().json()["items"]
    return heads[0]["position"] if heads else 0


def problem(answer: httpx.Response, status: int, code: str) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == code
    return answer.json()


# HTTP.


def test_heads_come_newest_first_and_page_by_page(admin: httpx.Client) -> None:
    for _ in range(3):
        sealed(admin)

    heads: list[Any] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = admin.get("/v1/audit/heads", params=params).raise_for_status().json()
        heads += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    sizes = [head["size"] for head in heads]
    assert sizes == sorted(sizes, reverse=True)
    assert len(heads) >= 3
    keys = admin.get("/v1/audit/keys").raise_for_status().json()["items"]
    assert {head["key_id"] for head in heads} == {key["key_id"] for key in keys}


def test_an_event_is_proved_by_its_canonical_bytes(admin: httpx.Client) -> None:
    [position] = sealed(admin)

    proof = admin.get("/v1/audit/proof", params={"position": position}).raise_for_status().json()

    event = base64.b64decode(proof["event"])
    assert int.from_bytes(event[5:13], "big") == position
    assert b"task.submitted" in event
    assert proof["head"]["size"] > proof["index"]
    assert len(leaf_hash(event)) == 32


def test_another_tenants_event_is_not_there(service: Service, admin: httpx.Client) -> None:
    [position] = sealed(admin)
    body = {"username": "eve", "password": "correct horse 2", "tenant": "other"}
    body |= {"scopes": ["audit:read"]}  # type: ignore[dict-item]
    admin.post("/v1/users", json=body, headers={"Idempotency-Key": "eve"}).raise_for_status()

    with service.client("eve", "correct horse 2") as eve:
        foreign = eve.get("/v1/audit/proof", params={"position": position})
        missing = eve.get("/v1/audit/proof", params={"position": 10**9})

    told = problem(foreign, 404, "not_found"), problem(missing, 404, "not_found")
    assert told[0]["detail"].replace(str(position), "N") == told[1]["detail"].replace(
        str(10**9), "N"
    )


def test_what_cannot_be_proved_is_refused_with_what_could_be(
    service: Service, admin: httpx.Client
) -> None:
    [position] = sealed(admin)
    size = admin.get("/v1/audit/heads").json()["items"][0]["size"]
    ask = "/v1/audit/proof"

    assert problem(admin.get(ask), 422, "invalid_parameter")
    for params in ({"position": "0"}, {"position": "x"}, {"position": "1:7"}, {"from": "1"}):
        problem(admin.get(ask, params=params), 422, "invalid_parameter")
    both = {"position": position, "from": 1, "to": 2}
    problem(admin.get(ask, params=both), 422, "invalid_parameter")
    ahead = problem(admin.get(ask, params={"from": size, "to": size + 9**9}), 409, "not_sealed_yet")
    assert ahead["nearest"] >= size
    with service.client() as other:
        other.headers.pop("Authorization")
        assert other.get(ask, params={"position": position}).status_code == 401


def test_how_far_the_seals_are_is_told_to_those_who_watch_the_service(
    admin: httpx.Client,
) -> None:
    sealed(admin)

    seals = admin.get("/readyz").raise_for_status().json()["checks"]["seals"]
    assert seals["ok"] is True
    assert seals["failing"] is False
    assert "\nmusterroll_seal_lag_events " in admin.get("/metrics").text


def test_a_database_that_is_not_that_of_the_heads_is_not_sealed_and_still_serves(
    database: Database, tmp_path: Path
) -> None:
    with Service(database, tmp_path, seal_seconds=0.05) as service, service.client() as admin:
        sealed(admin)
    file = tmp_path / "heads.ndjson"
    head = json.loads(file.read_text().splitlines()[-1])
    file.write_text(json.dumps(head | {"size": head["size"] + 1_000}) + "\n")

    with Service(database, tmp_path, seal_seconds=0.05) as service, service.client() as admin:
        while not admin.get("/readyz").json()["checks"]["seals"]["failing"]:
            pass
        found = admin.get("/readyz")
        assert found.status_code == 200
        assert found.json()["checks"]["seals"]["ok"] is False
        assert admin.get("/v1/tasks").status_code == 200


# The command line.


def test_a_log_that_nobody_changed_is_verified_beside_the_service(
    muster: Muster, admin: httpx.Client, database: Database, tmp_path: Path
) -> None:
    sealed(admin, 30)

    said = muster.done("audit", "verify", *where(database, tmp_path), "--json")

    assert said.json["ok"] is True
    assert said.json["sealed"] >= 30
    # What is sealed between the reading of the file and that of the log was not compared.
    assert 0 < said.json["compared"] <= said.json["seals"]


def test_an_event_that_was_changed_is_named_and_fails_the_command(
    muster: Muster, admin: httpx.Client, database: Database, tmp_path: Path
) -> None:
    positions = sealed(admin, 30)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE musterroll.events DISABLE TRIGGER USER")
        owner.execute(
            "UPDATE musterroll.events SET actor = 'user/mallory' WHERE position = %s",
            (positions[7],),
        )

    said = muster("audit", "verify", *where(database, tmp_path))

    assert said.code == 1
    assert said.err == f"muster: The event at position {positions[7]} is not what was sealed.\n"
    told = muster("audit", "verify", *where(database, tmp_path), "--json")
    assert told.code == 1
    assert told.json["fault"]["first"] == told.json["fault"]["last"] == positions[7]


def test_a_log_whose_end_was_cut_off_is_found_by_heads_that_were_kept(
    muster: Muster, admin: httpx.Client, database: Database, tmp_path: Path
) -> None:
    sealed(admin, 20)
    kept = tmp_path / "kept.ndjson"
    kept.write_text(muster.done("audit", "heads", "--json").out)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        for table in ("events", "seals", "seal_nodes"):
            owner.execute(f"ALTER TABLE musterroll.{table} DISABLE TRIGGER USER")
            owner.execute(f"DELETE FROM musterroll.{table}")
    (tmp_path / "heads.ndjson").unlink()

    without = muster("audit", "verify", *where(database, tmp_path))
    said = muster("audit", "verify", *where(database, tmp_path), "--heads", str(kept))

    assert without.code == 0
    assert "No heads were compared" in without.out
    assert said.code == 1
    assert "The log ends with 0 events, and a head of" in said.err


def test_a_proof_is_checked_without_the_service(
    muster: Muster, admin: httpx.Client, tmp_path: Path
) -> None:
    [position] = sealed(admin)
    proof, kept = tmp_path / "proof.json", tmp_path / "heads.ndjson"
    proof.write_text(muster.done("audit", "proof", str(position)).out)

    said = muster.done("audit", "check-proof", str(proof), "--heads", str(kept))
    assert said.out.startswith(f"The event at position {position} is in the log")
    [key] = muster.done("audit", "keys", "--json").rows
    muster.done("audit", "check-proof", str(proof), "--key", key["key_id"])
    assert muster.done("audit", "check-proof", str(proof), "--json").json["vouched"] is False
    assert muster("audit", "check-proof", str(proof), "--key", "ab" * 32).code == 1


def test_the_growth_of_the_log_is_proved_and_checked(
    muster: Muster, admin: httpx.Client, tmp_path: Path
) -> None:
    sealed(admin)
    sealed(admin, 50)
    heads = muster.done("audit", "heads", "--json").rows
    old, new = str(heads[-1]["size"]), str(heads[0]["size"])
    proof = tmp_path / "proof.json"
    proof.write_text(muster.done("audit", "proof", "--from", old, "--to", new).out)

    kept = str(tmp_path / "heads.ndjson")
    said = muster.done("audit", "check-proof", str(proof), "--heads", kept)

    assert said.out.startswith(f"The log of {new} events begins with that of {old}")


def test_whatever_is_changed_in_a_proof_it_proves_nothing_then(
    muster: Muster, admin: httpx.Client, tmp_path: Path
) -> None:
    positions = sealed(admin, 20)
    good = muster.done("audit", "proof", str(positions[3])).json
    file = tmp_path / "proof.json"
    bad: list[Any] = [None, [], {}, "x", {**good, "type": "x"}]
    bad += [{**good, "index": one} for one in (-1, 0, 10**6, "3", None, True)]
    bad += [{**good, "position": positions[4]}, {**good, "event": "%%%"}, {**good, "event": ""}]
    paths: tuple[object, ...] = (None, [], ["zz"], ["ab"], good["path"][1:], ["ab" * 32] * 200)
    bad += [{**good, "path": one} for one in paths]
    bad += [{**good, "keys": one} for one in (None, {}, {good["head"]["key_id"]: "ab" * 32})]
    bad += [{**good, "keys": {good["head"]["key_id"]: "zz"}}]
    bad += [{**good, "head": {**good["head"], name: "1"}} for name in good["head"]]
    bad += [{**good, "head": {**good["head"], "size": good["head"]["size"] + 1}}]
    for one in bad:
        file.write_text(json.dumps(one))

        said = muster("audit", "check-proof", str(file))

        assert said.code == 1, one
        assert said.err.count("\n") == 1
        assert "unexpected" not in said.err, said.err


def test_the_thirty_lines_of_the_documents_check_a_proof(
    muster: Muster, admin: httpx.Client, tmp_path: Path
) -> None:
    positions = sealed(admin, 40)
    program, proof = tmp_path / "check.py", tmp_path / "proof.json"
    [text] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    program.write_text(text)
    assert len([line for line in text.splitlines() if line]) <= 35

    def checked(told: object, *options: str) -> "subprocess.CompletedProcess[str]":
        proof.write_text(json.dumps(told))
        words = [str(program), str(proof), str(tmp_path / "heads.ndjson")]
        words = [sys.executable, *options, *words]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)

    good = muster.done("audit", "proof", str(positions[11])).json
    done = checked(good)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"position {positions[11]} is in the log, sealed 20")
    event = bytearray(base64.b64decode(good["event"]))
    event[-1] ^= 1
    forged = {
        "not in the log": {"event": base64.b64encode(event).decode()},
        # The same way up: only that there is no such leaf tells.
        "no such leaf": {"index": good["index"] + (1 << len(good["path"]))},
        "too short": {"path": good["path"][:-1]},
        "too long": {"path": [*good["path"], "00" * 32]},
        "another key": {"keys": {good["head"]["key_id"]: "ab" * 32}},
    }
    # Python without its assertions must not believe everything.
    for options in ((), ("-O",)):
        for why, members in forged.items():
            done = checked(good | members, *options)

            assert (done.returncode, done.stdout) == (1, ""), why
            assert why in done.stderr
    (tmp_path / "heads.ndjson").write_text("")
    assert "not kept" in checked(good, "-O").stderr


def test_misuse_is_told_in_one_line(muster: Muster, admin: httpx.Client, tmp_path: Path) -> None:
    assert muster("audit", "proof").code == 2
    assert muster("audit", "proof", "--from", "1").code == 2
    assert muster("audit", "check-proof", str(tmp_path / "none")).code == 1
    assert muster("audit", "verify", "--heads", str(tmp_path / "none")).code == 5
    assert muster("audit", "verify", "--data-dir", str(tmp_path / "nowhere")).code == 1
    broken = tmp_path / "broken.ndjson"
    broken.write_text('{"size": 1}\n')
    said = muster("audit", "verify", "--heads", str(broken))
    assert said.code == 1
    assert "line 1" in said.err


def where(database: Database, data_dir: Path) -> list[str]:
    return ["--database-url", database.url, "--data-dir", str(data_dir)]


def test_of_very_many_kept_heads_a_part_and_the_newest_are_looked_at(
    admin: httpx.Client, tmp_path: Path
) -> None:
    for _ in range(4):
        sealed(admin)
    file = tmp_path / "copy.ndjson"
    file.write_bytes((tmp_path / "heads.ndjson").read_bytes())
    every = kept_heads(file)

    some = kept_heads(file, heads_max=2)

    assert len(every) >= 4
    assert len(some) <= 2
    assert some[-1] == every[-1]
    assert {head.size for head in some} < {head.size for head in every}


# The SDK.


def test_both_clients_of_the_sdk_take_heads_keys_and_proofs_away(
    service: Service, admin: httpx.Client
) -> None:
    [position] = sealed(admin)
    sealed(admin)

    def signed_in(kind: type[ClientT]) -> ClientT:
        return kind(service.url, username="admin", password=PASSWORD)

    with signed_in(Client) as client:
        heads = list(client.audit.heads())
        [key] = client.audit.keys()
        proof = client.audit.prove(position)
        growth = client.audit.prove_growth(heads[-1].size, heads[0].size)
        with pytest.raises(NotFound):
            client.audit.prove(10**9)

    async def the_same() -> None:
        async with signed_in(AsyncClient) as client:
            [head] = [head async for head in client.audit.heads(limit=1)]
            assert head.size >= heads[0].size
            assert await client.audit.keys() == [key]
            assert (await client.audit.prove(position))["event"] == proof["event"]
            assert await client.audit.prove_growth(heads[-1].size, heads[0].size) == growth

    asyncio.run(the_same())
    assert {head.key_id for head in heads} == {key["key_id"]}
    assert check(proof, signed).vouched is False
    assert check(growth, signed, trusted=key["key_id"]).vouched is True
