"""Tells which archives hold a file: `{"store_id", "archive_id", "file"}`; without a file, which
go on from that archive."""

from typing import Any
from uuid import UUID

from application.archives.chain import Catalogue
from application.archives.format import HISTORY
from application.archives.ports import Told
from infrastructure.seals.signer import signed
from interfaces.bootstrap.archive_jobs.context import JobContext


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """`{"archives": [{"archive_id", "owns"}]}`, of those whose manifest reads: whether the file is
    one of its own, or one of those that it goes on from. Raises RepositoryUnavailable."""
    told("look", 0, 0)
    store_id = UUID(request["store_id"])
    repository = context.repository(store_id)
    catalogue = Catalogue(repository, store_id, signed, context.trusted_keys)
    continued: dict[str, str | None] = {}
    archive_ids: dict[str, UUID] = {}
    owners: set[str] = set()
    # It may be a manifest that does not read, and is named all the same.
    bad: set[str] = set() if request["file"] is None else {request["file"]}
    for file in catalogue.manifests():
        manifest = file.manifest
        continued[file.name] = None if manifest.continues is None else manifest.continues.name
        archive_ids[file.name] = manifest.archive_id
        held = [entry.content for entry in manifest.files if entry.name == request["file"]]
        is_asked = request["file"] is None and request["archive_id"] == str(manifest.archive_id)
        if held or is_asked or file.name == request["file"]:
            owners.add(file.name)
            # What is a table is in every archive anew, and who goes on does without.
            if not held or held[0] in HISTORY:
                bad.add(file.name)
    found = [name for name in continued if name in owners or _is_made_of(name, bad, continued)]
    return {
        "archives": [
            {"archive_id": str(archive_ids[name]), "owns": name in owners} for name in found
        ]
    }


def _is_made_of(name: str, bad: set[str], continued: dict[str, str | None]) -> bool:
    """Whether it is one of the bad, or any that it is made of."""
    seen: set[str] = set()
    at: str | None = name
    while at is not None and at not in seen:
        if at in bad:
            return True
        seen.add(at)
        at = continued.get(at)
    return False
