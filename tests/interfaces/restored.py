"""Backups and restores through the service, with what tests say most often of them."""

import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx

SECONDS_MAX = 60.0


def backed_up(client: httpx.Client, kind: str = "full") -> str:
    """The id of a new archive, verified."""
    made = post(client, "/v1/backups", {"type": kind})
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        found = client.get(f"/v1/backups/{made['backup_id']}", params={"wait": 5}).json()
        if found["status"] != "running" and found["status"] != "stored":
            assert found["status"] == "verified", found
            return str(found["id"])
        assert time.monotonic() < deadline, found


def restored(client: httpx.Client, archive_id: str, **body: Any) -> dict[str, Any]:
    """The plan of a restore, once the service is in the new epoch."""
    epoch = store_of(client)["epoch"]
    answer = post(client, f"/v1/backups/{archive_id}/restore", body)
    in_epoch_after(client, epoch, answer["job"])
    plan: dict[str, Any] = answer["plan"]
    return plan


def undone(client: httpx.Client) -> None:
    """Once the store that the last restore put aside serves again."""
    epoch = store_of(client)["epoch"]
    in_epoch_after(client, epoch, post(client, "/v1/backups/undo-restore", None))


def in_epoch_after(
    client: httpx.Client, epoch: int, job: dict[str, Any], *, ready: bool = True
) -> None:
    """Wait for the next epoch, through whatever the switch does to connections."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        # The switch cuts off connections; asked again, the service of the next epoch answers.
        with suppress(httpx.TransportError):
            found = client.get("/v1/store")
            if (
                found.status_code == 200
                and found.json()["epoch"] > epoch
                and (not ready or client.get("/readyz").status_code == 200)
            ):
                return
            if found.status_code == 200:
                state = client.get(f"/v1/backups/jobs/{job['job_id']}")
                assert state.status_code != 200 or state.json()["state"] != "failed", state.text
        time.sleep(0.05)
    raise AssertionError(f"epoch {epoch} did not end")


def store_of(client: httpx.Client) -> dict[str, Any]:
    """The store as it stands."""
    found: dict[str, Any] = client.get("/v1/store").raise_for_status().json()
    return found


def post(client: httpx.Client, path: str, body: Any) -> dict[str, Any]:
    """The answer to a command, which may not be refused."""
    answer = client.post(path, json=body, headers={"Idempotency-Key": str(uuid4())})
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found
