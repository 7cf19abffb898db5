"""Goal: an import that is killed at any moment is in the log whole, or not at all.

Method: a service takes in export after export while it is killed with SIGKILL; started again, it
has all events of each of them, or none, and takes in what is missing.
"""

import random
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from infrastructure.seals.signer import Ed25519Signer
from infrastructure.security.signing_key import load_or_make
from tests.interfaces.installations import NDJSON, a_made_up_export, lines_of
from tests.system.service import ServiceProcess

KILLS = 2
EXPORTS = 8
TASKS = 150
LOOKED_AT = 25
DELAY_SECONDS_MAX = 0.6


def test_an_import_that_is_killed_is_there_whole_or_not_at_all(
    tmp_path: Path, rng: random.Random
) -> None:
    signer = Ed25519Signer(load_or_make(tmp_path / "elsewhere.pem"))
    with ServiceProcess(tmp_path / "service") as service:
        for _ in range(KILLS):
            exports = [a_made_up_export(signer, TASKS) for _ in range(EXPORTS)]
            killer = threading.Timer(rng.uniform(0.05, DELAY_SECONDS_MAX), service.kill)
            answered = 0
            with service.client() as client:
                killer.start()
                # The kill cuts off one of them, unless it comes after the last.
                with suppress(httpx.HTTPError):
                    for export in exports:
                        taken(client, export, signer)
                        answered += 1
            killer.join()
            service.start()

            with service.client() as client:
                found = [here(client, export) for export in exports]
                assert all(found[:answered]), "what was answered is there"
                assert set(found) <= {True, False}
                repeated = [taken(client, export, signer) for export in exports]
                whole = [2 * TASKS if one else 0 for one in found]
                assert [one["skipped"] for one in repeated] == whole
                assert all(here(client, export) for export in exports)


def taken(client: httpx.Client, export: bytes, signer: Ed25519Signer) -> dict[str, int]:
    answer = client.post(
        f"/v1/events/import?trusted={signer.key_id}",
        content=export,
        headers={"Content-Type": NDJSON},
    )
    found: dict[str, int] = answer.raise_for_status().json()
    return found


def here(client: httpx.Client, export: bytes) -> bool:
    """Whether all of it is in the log, by its first, its last, and some between; a part of it must
    not be."""
    ids = [line["subject"].partition("/")[2] for line in lines_of(export)]
    versions = versions_of(client, [*ids[:: 2 * LOOKED_AT], ids[-1]])
    assert len(set(versions)) == 1, versions
    assert versions[0] in (0, 2)
    return versions[0] == 2


def versions_of(client: httpx.Client, ids: Sequence[str]) -> list[int]:
    answers = (client.get(f"/v1/tasks/{one}/status") for one in ids)
    return [one.json()["version"] if one.status_code == 200 else 0 for one in answers]
