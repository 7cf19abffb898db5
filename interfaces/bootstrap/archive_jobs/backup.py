"""Takes one archive and verifies it: `{"archive_id", "type", "newest": {"archive_id", "sha256"} or
null, "verified": [id], "store_id", "ordered_at": position, "topics", "release"}`."""

from contextlib import ExitStack
from typing import Any
from uuid import UUID

from application.archives.chain import Catalogue
from application.archives.faults import UNREADABLE_HERE, BadArchive
from application.archives.format import time_text
from application.archives.ports import JobFailed, Repository, Told
from domain.errors import ControlPlaneError
from infrastructure.archives.collecting import snapshot_of
from infrastructure.archives.encryption import DataKeys
from infrastructure.archives.holding import writing
from infrastructure.archives.taking import Order, Taken, Taking
from infrastructure.seals.signer import signed
from interfaces.bootstrap.archive_jobs.context import JobContext


def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
    """`{"type", "because", "facts", "verified": {"level", "events"} or null, "fault": {"code",
    "message", "unsound", "file"} or null}`: stored in any case, and verified or not.

    Raises JobFailed, ControlPlaneError, UnsafeKey, OSError.
    """
    told("context", 0, 0)
    store_id = UUID(request["store_id"])
    repository = context.repository(store_id)
    catalogue = Catalogue(repository, store_id, signed, context.trusted_keys)
    keys = DataKeys(repository, context.settings.backup_identity_file)
    order = _order_from(request)
    taking = Taking(repository, catalogue, context.signer(), told)
    assert context.database_url is not None, "there is a store, or nobody would back it up"
    with writing(context.database_url):
        taken = taking.resumed(order)
        if taken is None:
            _require_present(context.database_url, request["ordered_at"])
            taken = _take(context, taking, order, keys)
    told("verify", 0, 0)
    verified, fault = _verified(
        context, repository, taken, catalogue=catalogue, keys=keys, told=told
    )
    return {
        "type": taken.chain.newest.type,
        "because": taken.because,
        "facts": facts_of(taken),
        "verified": verified,
        "fault": fault,
    }


def _require_present(url: str, ordered_at: int) -> None:
    """An order of an epoch that has ended is not taken up: an archive of that id, with what stood
    in the log then, may lie where it was taken. Raises JobFailed, DatabaseUnavailable."""
    with snapshot_of(url) as snapshot:
        if ordered_at < snapshot.begins():
            message = "The store was restored since it was asked for."
            raise JobFailed("restored_since", message)


def _order_from(request: dict[str, Any]) -> Order:
    newest = request["newest"]
    return Order(
        archive_id=UUID(request["archive_id"]),
        type=request["type"],
        newest=newest and (UUID(newest["archive_id"]), newest["sha256"]),
        topics=request["topics"],
        release=request["release"],
        verified=frozenset(UUID(one) for one in request["verified"]),
    )


def _take(context: JobContext, taking: Taking, order: Order, keys: DataKeys) -> Taken:
    if order.type == "synthetic":
        return taking.merge(order)
    assert context.database_url is not None, "there is a store, or nobody would back it up"
    recipients = context.settings.backup_recipients
    key = keys.make(recipients) if recipients else None
    with ExitStack() as opened:
        snapshot = opened.enter_context(snapshot_of(context.database_url))
        return taking.take(order, snapshot, key)


def facts_of(taken: Taken) -> dict[str, Any]:
    """The members of `domain.archive.ArchiveFacts`, as JSON has them."""
    manifest, files = taken.chain.newest, taken.files
    merged = manifest.type == "synthetic"
    return {
        "manifest": taken.file.name,
        "sha256": taken.file.sha256,
        "epoch": manifest.epoch,
        "last": manifest.last,
        "last_at": time_text(
            max((f.last_at for f in files if f.last_at is not None), default=manifest.taken_at)
        ),
        "size": manifest.size,
        "root": manifest.root.hex(),
        "new_events": 0 if merged else manifest.size - manifest.base,
        "segments": len(files),
        "bytes": sum(file.size for file in files),
        "new_bytes": 0 if merged else sum(file.size for file in manifest.files),
    }


def _verified(
    context: JobContext,
    repository: Repository,
    taken: Taken,
    *,
    catalogue: Catalogue,
    keys: DataKeys,
    told: Told,
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    from infrastructure.archives.verifying import verify_archive  # noqa: PLC0415

    level = context.settings.backup_verify_level
    try:
        found = verify_archive(repository, catalogue, taken.file, level, keys, told, whole=False)
    except BadArchive as error:
        unsound = error.fault not in UNREADABLE_HERE
        fault = {"code": error.fault, "message": error.message, "file": error.file}
        return None, {**fault, "unsound": unsound}
    except ControlPlaneError as error:
        fault = {"code": error.code, "message": error.message, "file": None}
        return None, {**fault, "unsound": False}
    return {"level": found.level, "events": found.events}, None
