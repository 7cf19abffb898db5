"""One export, taken in by several processes at once: each event comes once, whoever was first."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from application.imports import imports
from infrastructure.seals.signer import Ed25519Signer
from infrastructure.security.signing_key import load_or_make
from tests.conftest import Database
from tests.interfaces.installations import NDJSON, a_made_up_export, lines_of
from tests.interfaces.service import Service
from tests.interfaces.test_http_nodes import Standby

ROUNDS = 4
TASKS = 40


@pytest.fixture
def nodes(database: Database, tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    with Service(database, tmp_path) as leading, Standby(database, tmp_path) as standby:
        yield leading, standby


@pytest.mark.parametrize("same_key", [True, False])
def test_what_two_processes_take_in_at_once_comes_once(
    nodes: tuple[Service, Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    same_key: bool,
) -> None:
    monkeypatch.setattr(imports, "IMPORTS_OF_TENANT_MAX", 2)
    signer = Ed25519Signer(load_or_make(tmp_path / "elsewhere.pem"))
    with nodes[0].client() as one, nodes[1].client() as other, ThreadPoolExecutor(4) as pool:
        for _ in range(ROUNDS):
            export, key = a_made_up_export(signer, TASKS), uuid4().hex

            def taken(
                client: httpx.Client, export: bytes = export, key: str = key
            ) -> dict[str, int]:
                headers = {
                    "Content-Type": NDJSON,
                    "Idempotency-Key": key if same_key else uuid4().hex,
                }
                answer = client.post(
                    f"/v1/events/import?trusted={signer.key_id}", content=export, headers=headers
                )
                while answer.status_code == 503:
                    answer = client.post(answer.request.url, content=export, headers=headers)
                answer.raise_for_status()
                found: dict[str, int] = answer.json()
                return found

            answers = list(pool.map(taken, [one, other, one, other]))

            events = 2 * TASKS
            if same_key:
                assert all(answer == answers[0] for answer in answers)
                assert (answers[0]["events"], answers[0]["skipped"]) == (events, 0)
            else:
                assert sorted(answer["events"] for answer in answers) == [0, 0, 0, events]
                assert sorted(answer["skipped"] for answer in answers) == [0, *[events] * 3]
            for line in lines_of(export)[::20]:
                query = {"aggregate_id": line["subject"].partition("/")[2]}
                assert len(one.get("/v1/events", params=query).json()["items"]) == 2
