"""Stores of which archives are kept somewhere, and which of them is meant."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from application.archives.chain import Catalogue
from application.archives.format import time_text
from application.archives.ports import Repository
from domain.errors import Invalid, NotFound
from infrastructure.archives.stores import described, open_repository, store_ids
from infrastructure.seals.signer import signed
from infrastructure.settings import Settings


class StoreUnclear(Invalid):
    """Which store is meant has to be said. `stores` are those of which there are archives: their
    `members`."""

    code = "store_unclear"

    def __init__(self, what: str, stores: list[dict[str, Any]]) -> None:
        super().__init__(f"{what}: say which with --store-id.", stores=stores)
        self.stores = stores


class NothingKept(NotFound):
    """There are archives of no store where they were looked for."""

    code = "nothing_kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptStore:
    """The archives of one store. `trusted`: only those count that were signed by whom this machine
    trusts; otherwise nobody can tell here who signed."""

    store_id: UUID
    repository: Repository
    catalogue: Catalogue
    trusted: bool

    def members(self) -> dict[str, Any]:
        """`{"store_id", "archives", "bytes", "taken_at", "position"}`, whoever signed; the last two
        are of the newest archive, or null. Raises BadArchive, RepositoryUnavailable."""
        manifests = Catalogue(self.repository, self.store_id, signed, None).manifests()
        sizes = {file.name: file.size for one in manifests for file in one.manifest.files}
        newest = manifests[-1].manifest if manifests else None
        return {
            "store_id": str(self.store_id),
            "archives": len(manifests),
            "bytes": sum(sizes.values()),
            "taken_at": newest and time_text(newest.taken_at),
            "position": newest and newest.last,
        }


def kept_stores(settings: Settings, trusted: Collection[str] | None) -> Iterator[KeptStore]:
    """Those of which there are archives where the settings say; `trusted` are the keys that may
    have signed them, None: any. Raises BadRepositoryUrl, RepositoryUnavailable."""
    for store_id in store_ids(settings):
        repository = open_repository(settings, store_id)
        yield KeptStore(
            store_id=store_id,
            repository=repository,
            catalogue=Catalogue(repository, store_id, signed, trusted),
            trusted=trusted is not None,
        )


def meant(settings: Settings, stores: Sequence[KeptStore], store_id: UUID | None) -> KeptStore:
    """The store that is named; else the only one that holds an archive of a trusted key; else the
    only one. Raises NothingKept, StoreUnclear, BadArchive, RepositoryUnavailable."""
    if not stores:
        raise NothingKept(f"There are no archives there: {described(settings)}.")
    if store_id is not None:
        named = [store for store in stores if store.store_id == store_id]
    else:
        named = [store for store in stores if store.trusted and store.catalogue.newest()]
        named = named or list(stores)
    if len(named) == 1:
        return named[0]
    what = f"There are archives of {len(stores)} stores there"
    if store_id is not None:
        what = f"There are no archives of {store_id} there, but of {len(stores)} other stores"
    raise StoreUnclear(what, [store.members() for store in stores])
