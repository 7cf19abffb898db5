"""Takes an archive: context, collect, package, store. Whatever is interrupted can be done again:
segments that are there already stay, and without a manifest there is no archive."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from application.archives.chain import Catalogue, Chain, ManifestFile
from application.archives.faults import BadArchive
from application.archives.format import CONTENTS, HISTORY, LATEST, ArchiveType
from application.archives.manifest import FileEntry, Manifest, Reference, order_of
from application.archives.ports import JobFailed, Repository, Told
from application.seals.ports import Signer
from domain.merkle import Stretch, Tree
from infrastructure.archives.collecting import Digesting, Snapshot, Standing, translated
from infrastructure.archives.encryption import DataKey
from infrastructure.archives.packaging import Packer
from infrastructure.archives.segment import COLUMNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be taken. `newest` is the archive that it continues, or is made of: its id and
    the SHA-256 of its manifest, as the log has them; None where there is none. It has to be made of
    `verified` ones alone; None: whoever orders vouches for them. `topics` are those that the log
    may hold, with their class versions."""

    archive_id: UUID
    type: ArchiveType
    newest: tuple[UUID, str] | None
    topics: Mapping[str, int]
    release: str
    verified: Collection[UUID] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An archive that is in the repository. `because` says why it is full and not incremental."""

    file: ManifestFile
    chain: Chain
    because: str | None = None

    @property
    def files(self) -> list[FileEntry]:
        """All that it takes to restore it."""
        return [file for content in CONTENTS for file in self.chain.files(content)]


class Taking:
    """Takes one archive of the log in a snapshot. Its methods raise BadArchive,
    RepositoryUnavailable, RepositoryFull and DatabaseUnavailable."""

    def __init__(
        self, repository: Repository, catalogue: Catalogue, signer: Signer, told: Told
    ) -> None:
        self._repository = repository
        self._catalogue = catalogue
        self._signer = signer
        self._told = told

    def resumed(self, order: Order) -> Taken | None:
        """The archive, where a process took it that ended before it could say so."""
        try:
            file = self._catalogue.one(order.archive_id)
        except BadArchive as fault:
            if fault.fault == "manifest_missing":
                return None
            raise
        return Taken(file=file, chain=self._catalogue.chain(file))

    def merge(self, order: Order) -> Taken:
        """A synthetic archive out of the newest one and what it continues: nothing is read but
        manifests. Raises JobFailed: there is no archive."""
        if order.newest is None:
            raise JobFailed("nothing_to_merge", "There is no archive that one could be made of.")
        chain = self._catalogue.chain(self._found(order.newest))
        newest, own, first = chain.manifests[-1], chain.newest, chain.manifests[0].manifest
        # Its digests are those of the first, whose migration and release they are true of.
        alike = (first.migration, first.release) == (own.migration, order.release)
        manifest = Manifest(
            archive_id=order.archive_id,
            type="synthetic",
            store_id=own.store_id,
            epoch=own.epoch,
            taken_at=own.taken_at,
            last=own.last,
            size=own.size,
            peaks=own.peaks,
            issued=own.issued,
            base=0,
            continues=None,
            previous=Reference(newest.name, newest.sha256),
            files=_sorted([file for content in CONTENTS for file in chain.files(content)]),
            topics=own.topics,
            digests=first.digests if alike else {},
            migration=own.migration,
            release=order.release,
        )
        return self._keep(manifest, None)

    def take(self, order: Order, snapshot: Snapshot, key: DataKey | None) -> Taken:
        """A full or incremental archive. Raises JobFailed (`log_differs`): the log is not what was
        sealed, and no archive may cover that up."""
        standing = snapshot.standing()
        before, because = self._before(order, standing)
        if before is None:
            digesting = Digesting(snapshot)
            snapshot.export()
            digesting.start()
        collected = self._collect(snapshot, standing, before, key)
        newest = self._reference(order, before)
        manifest = Manifest(
            archive_id=order.archive_id,
            type="full" if before is None else "incremental",
            store_id=standing.store_id,
            epoch=standing.epoch,
            taken_at=standing.now,
            last=standing.last,
            size=collected.tree.size,
            peaks=_peaks(collected.tree),
            issued=standing.issued,
            base=0 if before is None else before.newest.size,
            continues=None if before is None else newest,
            previous=newest,
            files=_sorted(collected.files),
            topics=order.topics,
            digests=digesting.result() if before is None else {},
            migration=standing.migration,
            release=order.release,
        )
        return self._keep(manifest, because)

    def _before(self, order: Order, standing: Standing) -> tuple[Chain | None, str | None]:
        """What an incremental archive continues, or why it cannot."""
        if order.type == "full":
            return None, None
        if order.newest is None:
            return None, "first_archive"
        try:
            chain = self._catalogue.chain(self._found(order.newest))
        except BadArchive as fault:
            return None, fault.fault
        if order.verified is not None and any(
            file.manifest.archive_id not in order.verified for file in chain.manifests
        ):
            return None, "not_verified"
        manifest = chain.newest
        # Of another epoch it may hold what a restore took back.
        if manifest.epoch != standing.epoch or manifest.last > standing.last:
            return None, "other_epoch"
        return chain, None

    def _found(self, newest: tuple[UUID, str]) -> ManifestFile:
        archive_id, sha256 = newest
        return self._catalogue.one(archive_id, sha256=sha256)

    def _reference(self, order: Order, before: Chain | None) -> Reference | None:
        if before is not None:
            file = before.manifests[-1]
            return Reference(file.name, file.sha256)
        try:
            found = None if order.newest is None else self._found(order.newest)
        except BadArchive:
            return None
        return None if found is None else Reference(found.name, found.sha256)

    def _collect(
        self, snapshot: Snapshot, standing: Standing, before: Chain | None, key: DataKey | None
    ) -> "_Collected":
        tree = Tree() if before is None else before.newest.tree
        after = 0 if before is None else before.newest.last
        heads = [] if before is None else before.files("heads")
        growing = Growing(tree, standing.sealed)
        total = max(standing.last - after, 1)
        begun = tree.size

        def hashed(leaves: Sequence[bytes]) -> bytes:
            root = growing.grow(leaves)
            self._told("collect", min(tree.size - begun, total), total)
            return root

        self._told("collect", 0, total)
        packing = Packer(
            self._repository,
            store_id=standing.store_id,
            epoch=standing.epoch,
            last=standing.last,
            key=key,
        )
        with translated(), packing as packer:
            last, after_size = standing.last, heads[-1].last if heads else 0
            events = snapshot.events(after=after, until=last)
            packer.add("events", COLUMNS["events"], events, hashed=hashed)
            self._told("package", total, total)
            requests = snapshot.requests(after=after, until=last)
            packer.add("requests", COLUMNS["requests"], requests)
            rows = snapshot.heads(after_size=after_size, until=last)
            packer.add("heads", COLUMNS["heads"], rows)
            for table in CONTENTS:
                if table not in HISTORY:
                    columns = snapshot.columns(table)
                    packer.add(table, columns, snapshot.table(table, columns))
            self._told("store", total, total)
        return _Collected(tree, packer.kept)

    def _keep(self, manifest: Manifest, because: str | None) -> Taken:
        """The manifest comes last: with it, there is an archive."""
        name = manifest.file_name
        self._repository.put_if_absent(name, manifest.encode(self._signer))
        file = self._catalogue.one(manifest.archive_id)
        self._repository.replace(LATEST, name.encode())
        return Taken(file=file, chain=self._catalogue.chain(file), because=because)


@dataclass(frozen=True, slots=True)
class _Collected:
    tree: Tree
    files: list[FileEntry]


class Growing:
    """A tree that grows over the events as they are read, and is compared with the newest head of
    the sealed log: its size and root, None where nothing is sealed."""

    def __init__(self, tree: Tree, sealed: tuple[int, bytes] | None) -> None:
        self._tree = tree
        # Seals that end before this archive begins were compared with the one before.
        self._sealed = None if sealed is None or sealed[0] < tree.size else sealed
        self._compare()

    def grow(self, leaves: Sequence[bytes]) -> bytes:
        """The root over these leaves alone, of which most is hashed once for both trees.

        Raises JobFailed (`log_differs`).
        """
        stretch = Stretch(self._tree.size, leaves)
        if self._sealed is not None and self._sealed[0] <= stretch.end:
            self._tree.join(stretch.parts(stretch.start, self._sealed[0]))
            self._compare()
        self._tree.join(stretch.parts(self._tree.size, stretch.end))
        return stretch.own_root

    def _compare(self) -> None:
        if self._sealed is None or self._sealed[0] != self._tree.size:
            return
        if self._sealed[1] != self._tree.root:
            raise JobFailed(
                "log_differs",
                f"The first {self._sealed[0]} events are not those that were sealed or backed up "
                "before: run `muster audit verify`.",
            )
        self._sealed = None


def _peaks(tree: Tree) -> tuple[bytes, ...]:
    return tuple(tree.peaks[height] for height in sorted(tree.peaks, reverse=True))


def _sorted(files: Sequence[FileEntry]) -> tuple[FileEntry, ...]:
    return tuple(sorted(files, key=order_of))
