"""Requests that were kept by the version before, with a plain digest, are repeated as ever."""

import hashlib
from typing import Any

import httpx
import orjson
import psycopg
import pytest

from tests.conftest import Database

TASK = {"kind": "review", "input": {"b": 1, "a": 2}}
CLIENT = {"name": "ci", "scopes": ["tasks:read"]}
WEBHOOK = {"url": "https://example.org/hook", "channels": ["tasks"]}


def as_the_former_version_kept_it(database: Database, path: str, body: dict[str, Any]) -> None:
    text = orjson.dumps(["POST", path, None, body], option=orjson.OPT_SORT_KEYS)
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("SET search_path = musterroll")
        connection.execute("ALTER TABLE requests DISABLE TRIGGER USER")
        changed = connection.execute(
            "UPDATE requests SET fingerprint = %s", (hashlib.sha256(text).digest(),)
        )
        connection.execute("ALTER TABLE requests ENABLE TRIGGER USER")
        assert changed.rowcount == 1


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/v1/tasks", TASK, {"kind": "x"}),
        ("/v1/clients", CLIENT, {"name": "x"}),
        ("/v1/webhooks", WEBHOOK, {"channels": ["agents"]}),
    ],
)
def test_a_request_that_is_repeated_after_the_upgrade_is_the_same(
    database: Database, admin: httpx.Client, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    key = {"Idempotency-Key": "k"}
    first = admin.post(path, json=body, headers=key).raise_for_status()
    as_the_former_version_kept_it(database, path, body)

    again = admin.post(path, json=body, headers=key)
    another = admin.post(path, json=body | other, headers=key)

    assert again.status_code == first.status_code
    assert again.headers["Idempotency-Replayed"] == "true"
    assert another.json()["code"] == "idempotency_key_reused"


def test_no_plain_digest_is_kept(database: Database, admin: httpx.Client) -> None:
    admin.post("/v1/tasks", json=TASK, headers={"Idempotency-Key": "k"}).raise_for_status()
    text = orjson.dumps(["POST", "/v1/tasks", None, TASK], option=orjson.OPT_SORT_KEYS)

    with psycopg.connect(database.owner_url) as connection:
        [(kept,)] = connection.execute("SELECT fingerprint FROM musterroll.requests").fetchall()

    assert bytes(kept) != hashlib.sha256(text).digest()
