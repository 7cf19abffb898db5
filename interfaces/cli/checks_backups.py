"""Whether what is lost with this machine could be had again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import Invalid
from interfaces.bootstrap.archive_places import archive_folder
from interfaces.cli.backup_words import duration
from interfaces.cli.finding import Finding, fail, ok, warn
from interfaces.cli.output import ago

if TYPE_CHECKING:
    from interfaces.bootstrap import Settings

SUBJECT = "backups"


def check_backups(readiness: Mapping[str, Any]) -> Iterator[Finding]:
    """What the service says of its backups; nothing of one that has none."""
    told = readiness.get("checks", {}).get("backups")
    if told is None:
        return
    last, since = told["last_verified_at"], told["unprotected_seconds"]
    if last is None:
        advice = "wait for the service's own, or take one: muster backup create"
        yield warn(SUBJECT, "none is verified yet", advice)
        return
    newest = f"the last one was verified {ago(last)}"
    if not told["ok"]:
        text = f"{newest}, and events have been in none for {duration(since)}"
        yield warn(SUBJECT, text, "see `muster backup list`, and the service's log")
        return
    rest = f"what came in the last {duration(since)} is in none yet" if since else "all is in it"
    yield ok(SUBJECT, f"{newest}; {rest}")


def check_store(settings: "Settings") -> Finding:
    """Where this machine's own service keeps them."""
    subject = "kept in"
    try:
        folder = archive_folder(settings)
    except Invalid as error:
        return fail(subject, error.message, "correct MUSTERROLL_BACKUP_STORE")
    if folder is None:
        return ok(subject, str(settings.backup_store))
    if _disk(folder) != _disk(settings.data_dir):
        return ok(subject, f"{folder}, on a disk of its own")
    text = f"{folder}, on the disk that the data is on"
    return warn(subject, text, "name another disk, or a bucket: MUSTERROLL_BACKUP_STORE")


def _disk(folder: Path) -> int:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return existing.stat().st_dev
