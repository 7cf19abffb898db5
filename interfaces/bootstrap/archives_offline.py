"""Archives where they are kept, for whoever has neither a service nor a database."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from uuid import UUID

from application.archives.chain import Catalogue, ManifestFile
from application.archives.faults import BadArchive
from application.archives.ports import Repository, Told
from infrastructure.archives.encryption import DataKeys
from infrastructure.archives.stores import open_repository, store_ids
from infrastructure.archives.verifying import Effort, Verified, verify_archive
from infrastructure.seals.signer import Ed25519Signer, signed
from infrastructure.security import signing_key
from infrastructure.settings import Settings
from interfaces.bootstrap.archive_jobs.context import KEY_FILE_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptStore:
    """The archives of one store. `trusted`: only those count that the key of this machine signed;
    without one nobody can tell here who signed."""

    store_id: UUID
    repository: Repository
    catalogue: Catalogue
    trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineFinding:
    """An archive that is what was written, and at which level that was found."""

    store: KeptStore
    file: ManifestFile
    verified: Verified


def verify_offline(
    settings: Settings, store_url: str | None, archive_id: UUID | None, level: int, told: Told
) -> OfflineFinding:
    """An archive that is kept at a URL (None: where the settings say); without an id, the newest
    that reads.

    Raises BadArchive, BadIdentity, BadRepositoryUrl, RepositoryUnavailable, UnsafeKey, OSError.
    """
    stores = list(kept_stores(settings, store_url))
    store, file = _found(stores, archive_id)
    keys = DataKeys(store.repository, settings.backup_identity_file)
    verified = verify_archive(
        store.repository, store.catalogue, file, level, keys, told, effort=Effort()
    )
    return OfflineFinding(store=store, file=file, verified=verified)


def kept_stores(settings: Settings, store_url: str | None) -> Iterator[KeptStore]:
    """Of which there are archives. Raises BadRepositoryUrl, RepositoryUnavailable, UnsafeKey,
    OSError."""
    there = settings.model_copy(update={"backup_store": store_url}) if store_url else settings
    trusted = _trusted_keys(settings)
    for store_id in store_ids(there):
        repository = open_repository(there, store_id)
        yield KeptStore(
            store_id=store_id,
            repository=repository,
            catalogue=Catalogue(repository, store_id, signed, trusted),
            trusted=trusted is not None,
        )


def _found(stores: list[KeptStore], archive_id: UUID | None) -> tuple[KeptStore, ManifestFile]:
    if archive_id is None:
        if len(stores) > 1:
            raise BadArchive("manifest_missing", f"There are {len(stores)} stores: name an archive")
        for store in stores:
            if (newest := store.catalogue.newest()) is not None:
                return store, newest
            for fault in store.catalogue.broken.values():
                raise fault
        raise BadArchive("manifest_missing", "There is no archive")
    for store in stores:
        try:
            return store, store.catalogue.one(archive_id)
        except BadArchive as fault:
            if fault.fault != "manifest_missing":
                raise
    raise BadArchive("manifest_missing", f"There is no archive {archive_id}")


def _trusted_keys(settings: Settings) -> Collection[str] | None:
    """That of the service in this data folder, if one was ever here."""
    file = settings.seal_key_file or settings.data_dir / KEY_FILE_NAME
    return {Ed25519Signer(signing_key.load_or_make(file)).key_id} if file.exists() else None
