"""Tells which archives lie in the repository that the log does not know: `{"store_id", "known":
[id]}`."""

from typing import Any
from uuid import UUID

from application.archives.chain import Catalogue
from application.archives.faults import BadArchive
from application.archives.format import MANIFEST_NAME, MANIFESTS
from application.archives.ports import Told
from infrastructure.archives.taking import Taken
from infrastructure.seals.signer import signed
from interfaces.bootstrap.archive_jobs.backup import facts_of
from interfaces.bootstrap.archive_jobs.context import JobContext

FOUND_MAX = 1_000
"""The rest is found the next time."""


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """`{"found": [{"archive_id", "type", "facts"}], "broken": n}`: those that read, with all that
    they go on from, and how many others there are. Raises RepositoryUnavailable."""
    store_id = UUID(request["store_id"])
    repository = context.repository(store_id)
    catalogue = Catalogue(repository, store_id, signed, context.trusted_keys)
    strangers = [
        UUID(named[5])
        for kept in repository.listed(MANIFESTS)
        if (named := MANIFEST_NAME.fullmatch(kept.name)) and named[5] not in request["known"]
    ]
    found, broken = [], 0
    for done, archive_id in enumerate(strangers[:FOUND_MAX]):
        told("look", done, len(strangers))
        try:
            file = catalogue.one(archive_id)
            facts = facts_of(Taken(file=file, chain=catalogue.chain(file)))
        except BadArchive:
            broken += 1
            continue
        found.append({"archive_id": str(archive_id), "type": file.manifest.type, "facts": facts})
    return {"found": found, "broken": broken}
