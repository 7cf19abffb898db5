"""Archives where they are kept, for whoever has neither a service nor a database."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from application.archives.chain import ManifestFile
from application.archives.faults import BadArchive
from application.archives.ports import Told
from infrastructure.archives.checking import Effort
from infrastructure.archives.encryption import DataKeys
from infrastructure.archives.verifying import Verified, verify_archive
from infrastructure.seals.signer import Ed25519Signer
from infrastructure.security import signing_key
from infrastructure.settings import Settings
from interfaces.bootstrap.archive_jobs.context import KEY_FILE_NAME
from interfaces.bootstrap.kept_stores import KeptStore, kept_stores, meant


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineFinding:
    """An archive that is what was written, and at which level that was found."""

    store: KeptStore
    file: ManifestFile
    verified: Verified


def verify_offline(
    settings: Settings,
    store_url: str | None,
    archive_id: UUID | None,
    level: int,
    told: Told,
    *,
    store_id: UUID | None = None,
) -> OfflineFinding:
    """An archive that is kept at a URL (None: where the settings say); without an id, the newest
    that reads, of the store that is meant.

    Raises NothingKept, StoreUnclear, BadArchive, BadIdentity, BadRepositoryUrl,
    RepositoryUnavailable, UnsafeKey, OSError.
    """
    there = _settings_at(settings, store_url)
    store, file = _found(stores_at(settings, store_url), there, archive_id, store_id)
    keys = DataKeys(store.repository, settings.backup_identity_file)
    effort = Effort(processes=settings.backup_processes)
    verified = verify_archive(
        store.repository, store.catalogue, file, level, keys, told, effort=effort
    )
    return OfflineFinding(store=store, file=file, verified=verified)


def stores_at(settings: Settings, store_url: str | None) -> list[KeptStore]:
    """Of which there are archives there. Where this machine has a key, only what that one signed
    counts. Raises BadRepositoryUrl, RepositoryUnavailable, UnsafeKey, OSError."""
    return list(kept_stores(_settings_at(settings, store_url), _trusted_keys(settings)))


def _settings_at(settings: Settings, store_url: str | None) -> Settings:
    return settings.model_copy(update={"backup_store": store_url}) if store_url else settings


def _found(
    stores: list[KeptStore], there: Settings, archive_id: UUID | None, store_id: UUID | None
) -> tuple[KeptStore, ManifestFile]:
    if archive_id is None or store_id is not None or not stores:
        store = meant(there, stores, store_id)
        return store, store.catalogue.one(archive_id) if archive_id else _newest(store)
    for store in stores:
        try:
            return store, store.catalogue.one(archive_id)
        except BadArchive as fault:
            if fault.fault != "manifest_missing":
                raise
    raise BadArchive("manifest_missing", f"There is no archive {archive_id}")


def _newest(store: KeptStore) -> ManifestFile:
    newest = store.catalogue.newest()
    if newest is not None:
        return newest
    fault = next(iter(store.catalogue.broken.values()), None)
    raise fault or BadArchive("manifest_missing", f"There is no archive of {store.store_id}")


def _trusted_keys(settings: Settings) -> Collection[str] | None:
    """That of the service in this data folder, if one was ever here."""
    file = settings.seal_key_file or settings.data_dir / KEY_FILE_NAME
    return {Ed25519Signer(signing_key.load_or_make(file)).key_id} if file.exists() else None
