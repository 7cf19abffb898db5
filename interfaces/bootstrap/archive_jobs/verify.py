"""Verifies an archive: `{"store_id", "archive_id", "sha256" (of its manifest, or null), "level"}`,
and perhaps `"whole"`: false, when what it continues
was verified before. Without a level, that of the settings."""

from typing import Any
from uuid import UUID

from application.archives.chain import Catalogue
from application.archives.ports import Told
from infrastructure.archives.encryption import DataKeys
from infrastructure.archives.verifying import Verified, verify_archive
from infrastructure.seals.signer import signed
from interfaces.bootstrap.archive_jobs.context import JobContext


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """`{"level", "events", "files", "bytes", "root", "reason"}`; `reason` says why the level is
    lower than what was asked for, else null.

    Raises BadArchive for the first fault, BadIdentity, RepositoryUnavailable, OSError.
    """
    store_id = UUID(request["store_id"])
    repository = context.repository(store_id)
    catalogue = Catalogue(repository, store_id, signed, context.trusted_keys)
    found = verify_archive(
        repository,
        catalogue,
        catalogue.one(UUID(request["archive_id"]), sha256=request["sha256"]),
        context.settings.backup_verify_level if request["level"] is None else request["level"],
        DataKeys(repository, context.settings.backup_identity_file),
        told,
        whole=request.get("whole", True),
        effort=context.effort,
    )
    return members_of(found)


def members_of(found: Verified) -> dict[str, Any]:
    """As JSON."""
    return {
        "level": found.level,
        "events": found.events,
        "files": found.files,
        "bytes": found.size,
        "root": found.root.hex(),
        "reason": found.reason,
    }
