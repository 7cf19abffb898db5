"""Tells which archives lie in the repository that the log does not know: `{"store_id", "known":
[id], "after"}`, of manifests behind a name."""

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
"""At once: what is told is kept in memory."""


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """`{"found": [{"archive_id", "type", "facts"}], "broken": n, "more"}`: those that read, with
    all that they go on from, how many others there are, and behind which name there are more, or
    null. Raises RepositoryUnavailable."""
    store_id = UUID(request["store_id"])
    repository = context.repository(store_id)
    catalogue = Catalogue(repository, store_id, signed, context.trusted_keys)
    known = frozenset(request["known"])
    strangers = sorted(
        (kept.name, named[5])
        for kept in repository.listed(MANIFESTS)
        if (named := MANIFEST_NAME.fullmatch(kept.name))
        and named[5] not in known
        and kept.name > request["after"]
    )
    found, broken = [], 0
    looked = strangers[:FOUND_MAX]
    for done, (name, archive_id) in enumerate(looked):
        told("look", done, len(strangers))
        try:
            file = catalogue.named(name)
            facts = facts_of(Taken(file=file, chain=catalogue.chain(file)))
        except BadArchive:
            broken += 1
            continue
        found.append({"archive_id": archive_id, "type": file.manifest.type, "facts": facts})
    more = looked[-1][0] if len(strangers) > FOUND_MAX else None
    return {"found": found, "broken": broken, "more": more}
