"""Builds a store out of an archive, in a schema that nobody else knows, and proves it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import get_args
from uuid import UUID

from application.archives.chain import Catalogue, Chain, ManifestFile
from application.archives.faults import BadArchive
from application.archives.format import SEGMENT_ROWS_MAX, Table
from application.archives.ports import JobFailed, Repository, Told
from domain.merkle import Tree
from domain.task import Task
from infrastructure.archives.checking import Effort
from infrastructure.archives.cutting import Cut, cut_of
from infrastructure.archives.encryption import DataKeys
from infrastructure.archives.files import Files
from infrastructure.archives.folding import folding
from infrastructure.archives.loading import Loading
from infrastructure.archives.next_store import NextStore, translated
from infrastructure.archives.standing import Standing, contents_of
from infrastructure.postgres.migrate import MigrationFailed
from infrastructure.seals.signer import signed


@dataclass(frozen=True, slots=True)
class Source:
    """An archive of a store, with what it continues."""

    catalogue: Catalogue
    file: ManifestFile
    chain: Chain
    files: Files

    def tables(self) -> Chain:
        """The newest archive whose tables can all be read: what was revoked or erased since this
        one was taken stays so. Raises BadArchive, BadIdentity, RepositoryUnavailable."""
        fault: BadArchive | None = None
        for file in reversed(self.catalogue.manifests()):
            if file.name < self.file.name:
                break
            try:
                chain = self.catalogue.chain(file)
                for content in get_args(Table):
                    for entry in chain.files(content):
                        self.files.segment(entry)
            except BadArchive as error:
                fault = fault or error
            else:
                return chain
        raise fault or BadArchive("manifest_missing", "It went meanwhile", file=self.file.name)

    def cut(self, *, position: int | None = None, time: datetime | None = None) -> Cut:
        """See `cut_of`, which tells what is raised."""
        return cut_of(self.chain, self.files, position=position, time=time)

    def require_readable(self, cut: Cut) -> None:
        """That somebody here has every data key which a restore up to there needs: a file of each
        archive that it is made of is opened. Raises BadArchive, BadIdentity,
        RepositoryUnavailable."""
        for entry in self.chain.files("seal_keys"):
            self.files.opened(entry)
        for file in self.chain.manifests:
            manifest = file.manifest
            there = [one for one in manifest.files_of("events") if one.first <= cut.position]
            # A synthetic archive is made of what others wrote: theirs end where a segment is short.
            merged = manifest.type == "synthetic"
            short = [one for one in there[:-1] if merged and one.count < SEGMENT_ROWS_MAX]
            for entry in [*short, *there[-1:]]:
                self.files.opened(entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A store that holds an archive up to a cut. `different` are the read models that are not what
    the archive says they were, of those that can be compared; `tasks` those that agents held
    there; `contents` what the switch knows the store again by."""

    cut: Cut
    tree: Tree
    contents: Standing
    different: tuple[str, ...]
    tasks: tuple[Task, ...]


def source_of(
    repository: Repository,
    store_id: UUID,
    archive_id: UUID | None,
    *,
    identity_file: Path | None,
    trusted: Collection[str] | None,
) -> Source:
    """An archive, or the newest. Raises BadArchive, RepositoryUnavailable."""
    catalogue = Catalogue(repository, store_id, signed, trusted)
    file = catalogue.newest() if archive_id is None else catalogue.one(archive_id)
    if file is None:
        fault = next(reversed(catalogue.broken.values()), None)
        raise fault or BadArchive("manifest_missing", f"There is no archive of {store_id}")
    files = Files(repository, DataKeys(repository, identity_file), store_id)
    return Source(catalogue, file, catalogue.chain(file), files)


def build(
    store: NextStore,
    source: Source,
    cut: Cut,
    *,
    urls: tuple[str, str],
    tables: Chain | None,
    effort: Effort,
    told: Told,
) -> Built:
    """Into a new schema, in place of what a former attempt left there. `urls` are the owner's and
    the application's; `tables`: with accounts, webhooks and keys of subjects out of that archive.

    Raises JobFailed, BadArchive, BadIdentity, RepositoryUnavailable, DatabaseUnavailable.
    """
    owner_url, application_url = urls
    told("prepare", 0, cut.size)
    try:
        store.make(owner_url, application_url)
    except MigrationFailed as error:
        raise JobFailed("migration_failed", str(error)) from error
    loading = Loading(store, source.chain, source.files, signed, told, effort=effort)
    tree = loading.load(cut, tables=tables)
    with translated():
        contents = contents_of(store.connection, store.schema)
    first = source.chain.manifests[0].manifest
    # Another migration, or another release's projections, may make other rows of the same events.
    alike = (first.migration, first.release) == (store.migration(), version("musterroll-service"))
    with folding(owner_url, store.schema, told) as fold:
        different = fold.fold(cut.position, first.digests if alike else {})
        tasks = fold.leased()
    return Built(
        cut=cut, tree=tree, contents=contents, different=tuple(different), tasks=tuple(tasks)
    )
