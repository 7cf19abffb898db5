"""Makes the store of an empty machine out of an archive, before there is a service."""

from collections.abc import Collection
from pathlib import Path
from uuid import UUID

from application.archives.chain import Catalogue
from application.archives.faults import BadArchive
from application.archives.ports import Repository, Told
from application.seals.head import key_id_of
from domain.errors import Invalid
from infrastructure.archives.checking import Effort
from infrastructure.archives.next_store import NextStore, restoring, translated
from infrastructure.archives.restoring import Source, build, source_of
from infrastructure.archives.switching import refuse_events
from infrastructure.postgres.database import database_of
from infrastructure.seals.signer import Ed25519Signer, signed
from infrastructure.security import signing_key
from infrastructure.settings import Settings
from interfaces.bootstrap.archive_jobs.restore import change_of, switch_of
from interfaces.bootstrap.kept_stores import kept_stores, meant
from interfaces.bootstrap.seals import KEY_FILE_NAME


class Untrusted(Invalid):
    """Nobody here knows the key that signed. `key_ids` are those that were found."""

    code = "untrusted_key"


def restore_into_empty(
    settings: Settings,
    *,
    archive_id: UUID | None,
    store_id: UUID | None,
    trusted: Collection[str],
    told: Told,
) -> dict[str, object]:
    """Load the newest archive, or the one that is named, and make it the store; what was restored,
    as the job `restore` has it. Keys that are trusted are those named, and the seal key in the data
    folder. What cannot be restored is refused before anything is made here; of what fails later
    stays at most an empty PostgreSQL, which the next attempt takes.

    Raises NotEmpty, NothingKept, StoreUnclear, Untrusted, BadArchive, BadIdentity,
    BadRepositoryUrl, RepositoryUnavailable, JobFailed, DatabaseUnavailable,
    EmbeddedPostgresFailed, UnsafeKey, OSError.
    """
    url, owner = settings.database_url, settings.database_owner_url
    key_file = settings.seal_key_file or settings.data_dir / KEY_FILE_NAME
    source = _source(settings, archive_id, store_id, {*trusted, *_own_key(key_file)})
    # What the archive lacks is found before this machine has anything.
    tables, cut = source.tables(), source.cut()
    source.require_readable(cut)
    effort = Effort(processes=settings.backup_processes)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = database_of(
        settings.data_dir,
        url.get_secret_value() if url else None,
        owner.get_secret_value() if owner else None,
    )
    try:
        database.start()
        urls = database.owner_url, database.url
        with restoring(urls[0]) as connection:
            with translated():
                refuse_events(connection)
            store = NextStore(connection)
            with store.thrown_away_unless_done():
                built = build(
                    store, source, cut, urls=urls, tables=tables, effort=effort, told=told
                )
                told("switch", 0, 1)
                change = change_of(store.schema, source, built, live_epoch=None)
                # Made no sooner: a key that a failure left would vouch for archives here.
                signer = Ed25519Signer(signing_key.load_or_make(key_file))
                restored = switch_of(store, urls, signer, None, built).run(change)
    finally:
        database.stop()
    return {"position": restored.at_position, "events": restored.size, "epoch": restored.to_epoch}


def _own_key(key_file: Path) -> list[str]:
    if not key_file.exists():
        return []
    return [Ed25519Signer(signing_key.load_or_make(key_file)).key_id]


def _source(
    settings: Settings, archive_id: UUID | None, store_id: UUID | None, trusted: Collection[str]
) -> Source:
    """Nothing is trusted because it is there. Raises what `restore_into_empty` raises."""
    store = meant(settings, list(kept_stores(settings, trusted)), store_id)
    repository, store_id = store.repository, store.store_id
    identity = settings.backup_identity_file
    try:
        return source_of(repository, store_id, archive_id, identity_file=identity, trusted=trusted)
    except BadArchive as error:
        if error.fault != "untrusted_key":
            raise
    keys = _signers(repository, store_id)
    raise Untrusted(
        f"The archives are signed with a key that nobody here knows: {', '.join(keys)}. Put its "
        f"copy at {settings.data_dir / KEY_FILE_NAME}, or name it with --trust if it is yours.",
        key_ids=keys,
    )


def _signers(repository: Repository, store_id: UUID) -> list[str]:
    """Whose keys signed what is there, for a person to recognize."""
    found = set()

    def noted(public_key: bytes, text: bytes, signature: bytes) -> bool:
        if holds := signed(public_key, text, signature):
            found.add(key_id_of(public_key))
        return holds

    Catalogue(repository, store_id, noted, None).manifests()
    return sorted(found)
