"""The archives of a repository, and which of them an archive is made of."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import NoReturn
from uuid import UUID

from application.archives.faults import BadArchive
from application.archives.format import (
    HISTORY,
    MANIFEST_BYTES_MAX,
    MANIFEST_NAME,
    MANIFESTS,
    Content,
)
from application.archives.manifest import FileEntry, Manifest
from application.archives.ports import FileMissing, Repository
from application.seals.ports import SignatureCheck

MANIFESTS_MAX = 100_000
CHAIN_MAX = 10_000
KEPT_BYTES_MAX = 8 * 2**20
"""Of manifests that were read and stay in memory; one that does not fit is read again."""


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A manifest in its repository; `sha256` in hexadecimal over the file."""

    name: str
    sha256: str
    _read: Callable[[], Manifest] = field(repr=False, compare=False)

    @property
    def manifest(self) -> Manifest:
        """Large ones are read again each time. Raises BadArchive, RepositoryUnavailable."""
        return self._read()


@dataclass(frozen=True, slots=True)
class Chain:
    """The archives that one is made of: the one that stands alone, and what continues it."""

    manifests: tuple[ManifestFile, ...]
    """Oldest first; the last is the archive itself."""

    @property
    def newest(self) -> Manifest:
        """The archive itself."""
        return self.manifests[-1].manifest

    def files(self, content: Content) -> list[FileEntry]:
        """In their order: of history those of all, of what is a table those of the newest."""
        of = self.manifests if content in HISTORY else self.manifests[-1:]
        return [file for one in of for file in one.manifest.files_of(content)]


class Catalogue:
    """The manifests of one store. `broken` holds what is wrong with those that do not read, by
    name, once they were looked at. Everything raises RepositoryUnavailable."""

    def __init__(
        self,
        repository: Repository,
        store_id: UUID,
        signed: SignatureCheck,
        trusted: Collection[str] | None,
    ) -> None:
        self._repository = repository
        self._store_id = store_id
        self._signed = signed
        self._trusted = trusted
        self._kept: OrderedDict[str, tuple[int, str, Manifest]] = OrderedDict()
        self._kept_bytes = 0
        self.broken: dict[str, BadArchive] = {}

    def manifests(self) -> list[ManifestFile]:
        """All that read, newest last. What does not is in `broken`. Raises BadArchive when there
        are too many."""
        found = []
        for name in self._names():
            try:
                found.append(self._file(name))
                self.broken.pop(name, None)
            except BadArchive as fault:
                self.broken[name] = fault
        return found

    def one(self, archive_id: UUID, *, sha256: str | None = None) -> ManifestFile:
        """By its id; `sha256` is that of its manifest, where it is known from elsewhere.

        Raises BadArchive.
        """
        names = [name for name in self._names() if name.endswith(f"-{archive_id}.json")]
        if not names:
            raise BadArchive("manifest_missing", f"There is no archive {archive_id}")
        if len(names) > 1:
            raise BadArchive("bad_manifest", "There is another of this id", file=names[-1])
        found = self._file(names[0])
        if sha256 is not None and sha256 != found.sha256:
            message = "It is not the manifest that the log says was stored"
            raise BadArchive("rolled_back", message, file=found.name)
        return found

    def named(self, name: str) -> ManifestFile:
        """By its name. Raises BadArchive."""
        return self._file(name)

    def newest(self) -> ManifestFile | None:
        """The last that reads."""
        return next(iter(reversed(self.manifests())), None)

    def chain(self, of: ManifestFile) -> Chain:
        """What an archive is made of, without gap or overlap. Raises BadArchive."""
        chain = [of]
        while (former := chain[-1].manifest.continues) is not None:
            if len(chain) == CHAIN_MAX:
                _broken(of.name, f"It continues more than {CHAIN_MAX} others")
            if not MANIFEST_NAME.fullmatch(former.name):
                _broken(chain[-1].name, "It continues what is no manifest")
            try:
                before = self._file(former.name)
            except BadArchive as fault:
                if fault.fault != "manifest_missing":
                    raise
                _broken(chain[-1].name, f"{former.name}, which it continues, is missing")
            if before.sha256 != former.sha256:
                _broken(chain[-1].name, f"{former.name} is not the one that it continues")
            _check_link(before.manifest, chain[-1].manifest, chain[-1].name)
            chain.append(before)
        found = Chain(tuple(reversed(chain)))
        for content in HISTORY:
            _check_order(found.files(content), content)
        return found

    def _names(self) -> list[str]:
        names = []
        for kept in self._repository.listed(MANIFESTS):
            if MANIFEST_NAME.fullmatch(kept.name):
                names.append(kept.name)
            if len(names) > MANIFESTS_MAX:
                raise BadArchive("bad_manifest", f"There are more than {MANIFESTS_MAX} manifests")
        return sorted(names)

    def _file(self, name: str) -> ManifestFile:
        digest, _ = self._read(name)
        return ManifestFile(name, digest, lambda: self._same(name, digest))

    def _same(self, name: str, digest: str) -> Manifest:
        found, manifest = self._read(name)
        if found != digest:
            raise BadArchive("rolled_back", "It changed while it was read", file=name)
        return manifest

    def _read(self, name: str) -> tuple[str, Manifest]:
        kept = self._kept.get(name)
        if kept is not None:
            self._kept.move_to_end(name)
            return kept[1:]
        try:
            content = self._repository.get(name, bytes_max=MANIFEST_BYTES_MAX)
        except FileMissing as error:
            raise BadArchive("manifest_missing", "It is not there", file=name) from error
        except BadArchive as error:
            if error.fault != "file_too_large":
                raise
            raise BadArchive("manifest_too_large", "It is too large", file=name) from error
        manifest = Manifest.parse(content, name, self._signed, self._trusted)
        if manifest.store_id != self._store_id:
            message = f"It is of the store {manifest.store_id}"
            raise BadArchive("foreign_archive", message, file=name)
        digest = sha256(content).hexdigest()
        self._keep(name, len(content), digest, manifest)
        return digest, manifest

    def _keep(self, name: str, size: int, digest: str, manifest: Manifest) -> None:
        self._kept[name] = size, digest, manifest
        self._kept_bytes += size
        while self._kept_bytes > KEPT_BYTES_MAX and len(self._kept) > 1:
            _, (freed, *_) = self._kept.popitem(last=False)
            self._kept_bytes -= freed


def _check_link(before: Manifest, after: Manifest, name: str) -> None:
    """That one archive goes on exactly where the other ends."""
    if after.base != before.size:
        _broken(name, f"It goes on from {after.base} events, and what it continues has others")
    grown = after.last > before.last if after.size > after.base else after.last == before.last
    same_tree = after.size > after.base or after.peaks == before.peaks
    if not grown or not same_tree or after.epoch < before.epoch or after.issued < before.issued:
        _broken(name, "It ends before what it continues")


def _check_order(files: Iterable[FileEntry], content: Content) -> None:
    """Across archives; inside of one the manifest looked at it. Requests may share a base."""
    for one, other in pairwise(files):
        if other.first < one.last or (other.first == one.last and content != "requests"):
            _broken(other.name, f"It overlaps {one.name}")


def _broken(name: str, message: str) -> NoReturn:
    raise BadArchive("broken_chain", message, file=name)
