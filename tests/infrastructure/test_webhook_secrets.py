"""Secrets of webhooks, sealed."""

import base64
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.ids import uuid7
from application.webhooks.signing import new_secret
from application.webhooks.webhook import UnreadableSecret
from infrastructure.webhooks.secret_box import SigningKeySecretBox
from tests.conftest import Database
from tests.given import ALICE, BOB
from tests.interfaces.service import Service


def a_box() -> SigningKeySecretBox:
    return SigningKeySecretBox(Ed25519PrivateKey.generate())


def test_what_is_sealed_is_opened_with_the_same_key() -> None:
    key, secret = Ed25519PrivateKey.generate(), new_secret()

    sealed = SigningKeySecretBox(key).seal(ALICE, secret)

    assert SigningKeySecretBox(key).open(ALICE, sealed) == secret
    assert secret not in sealed


def test_no_two_seals_are_alike() -> None:
    box = a_box()

    assert box.seal(ALICE, b"secret") != box.seal(ALICE, b"secret")


def test_what_was_spoilt_cannot_be_read() -> None:
    box = a_box()
    sealed = box.seal(ALICE, new_secret())

    for spoilt in (b"", sealed[:20], sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(UnreadableSecret):
            box.open(ALICE, spoilt)


def test_another_key_reads_nothing_and_no_secret_moves_to_another_webhook() -> None:
    box = a_box()
    sealed = box.seal(ALICE, new_secret())

    with pytest.raises(UnreadableSecret):
        a_box().open(ALICE, sealed)
    with pytest.raises(UnreadableSecret):
        box.open(BOB, sealed)


def test_the_database_holds_no_secret_in_clear(database: Database, tmp_path: Path) -> None:
    with Service(database, tmp_path) as service, service.client() as admin:
        body = {"url": "https://example.org/", "channels": ["tasks"]}
        key = {"Idempotency-Key": str(uuid7())}
        made = admin.post("/v1/webhooks", json=body, headers=key).raise_for_status().json()

    with psycopg.connect(database.owner_url) as owner:
        rows = owner.execute("SELECT secret FROM musterroll.webhooks").fetchall()
        whole = [
            str(row)
            for table in ("webhooks", "requests", "events")
            for row in owner.execute(f"SELECT t::text FROM musterroll.{table} t").fetchall()
        ]

    secret = base64.b64decode(made["secret"].removeprefix("whsec_"))
    assert secret not in bytes(rows[0][0])
    assert not any(made["secret"][6:] in row or secret.hex() in row for row in whole)
