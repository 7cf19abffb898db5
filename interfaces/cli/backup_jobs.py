"""What is done with backups and takes longer than a request: asked for, followed, told."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from interfaces.cli.backup_words import Row, stage_in_words
from interfaces.cli.failures import NOT_FOUND, Failure

if TYPE_CHECKING:
    from musterroll import Client

PATH = "/v1/backups"
LATEST = "latest"
LOOK_SECONDS = 0.5
OTHERS_SECONDS_MAX = 30.0

Told = Callable[[str, float], None]


class NoBackup(Failure):
    """There is none, or none of that kind."""

    exit_code = NOT_FOUND


class NotAtLevel(Failure):
    """What could be read is as it was signed, and the rest could not be read."""

    def __init__(self, level: int, reason: str) -> None:
        super().__init__(f"not at level {level}: {_REASONS.get(reason, reason)}.")


_REASONS = {
    "key_missing": "it is encrypted, and no private key for it is here (`backup_identity_file`)",
}


class JobFailed(Failure):
    """A job came to nothing."""


def path_of(backup_id: str, what: str = "") -> str:
    """Where a backup is served."""
    return f"{PATH}/{backup_id}{what}"


def named(client: "Client", backup_id: str) -> str:
    """The id of a backup; `latest` is the newest that is verified. Raises NoBackup."""
    if backup_id != LATEST:
        return str(id_of(backup_id))
    newest = client.request("GET", PATH, params={"status": "verified", "limit": 1})["items"]
    if not newest:
        raise NoBackup("no backup is verified yet; `muster backup create` takes one.")
    return str(newest[0]["id"])


def id_of(backup_id: str) -> UUID:
    """Raises NoBackup for what is no id."""
    try:
        return UUID(backup_id)
    except ValueError:
        raise NoBackup(f"{backup_id!r} is not the id of a backup.") from None


def begin(
    client: "Client", path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Row:
    """Ask for a job, and wait for a while where another one is under way: after a full backup, the
    service lets others go."""
    from musterroll.errors import Conflict  # noqa: PLC0415 - its HTTP client takes a while

    deadline = time.monotonic() + OTHERS_SECONDS_MAX
    while True:
        try:
            begun: Row = client.request("POST", path, json=body, headers=headers)
        except Conflict as busy:
            if busy.code != "archive_job_running" or time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS)
        else:
            return begun


def follow(client: "Client", job: Row, tell: Told) -> Row:
    """How a job ended. Raises what the SDK raises."""
    while job["state"] == "running":
        tell(stage_in_words(job["stage"]), job["progress"])
        job = look(client, f"{PATH}/jobs/{job['job_id']}")
    return job


def look(client: "Client", path: str) -> Row:
    """Something that goes on, at its end or a moment later."""
    params = {"wait": LOOK_SECONDS}
    found: Row = client.request("GET", path, params=params, wait_seconds=LOOK_SECONDS)
    return found


def require_done(job: Row) -> Row:
    """What a job came to. Raises JobFailed, with what else is known."""
    if job["state"] == "done":
        return dict(job["result"] or {})
    error = job["error"] or {}
    raise JobFailed(f"it failed: {error.get('message', 'nobody knows why')} ({error.get('code')}).")
