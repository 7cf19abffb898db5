"""Verifies archives as a stranger's: believes nothing but the key that signed the manifest."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args

from application.archives.chain import Catalogue, Chain, ManifestFile
from application.archives.faults import UNREADABLE_HERE, BadArchive
from application.archives.format import CONTENTS, Content, Table
from application.archives.manifest import FileEntry
from application.archives.ports import Repository, Told
from application.archives.retention import STATE_AGE_MAX, may_be_missing
from application.seals.ports import SignatureCheck
from domain.merkle import Tree
from infrastructure.archives.ahead import in_order
from infrastructure.archives.checking import (
    ALONE,
    FETCHED_AHEAD,
    Effort,
    Looked,
    Portion,
    looked_at,
)
from infrastructure.archives.encryption import Keys
from infrastructure.archives.files import Files
from infrastructure.archives.head_rows import POSTGRES_EPOCH, Heads, Mark, seal_keys_in
from infrastructure.archives.other_rows import look_at_requests, look_at_table
from infrastructure.archives.replaying import Replaying
from infrastructure.archives.segment import Segment
from infrastructure.archives.versions import Versions
from infrastructure.seals.signer import signed

LEVEL_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What holds. `level` is lower than what was asked for where `reason` says why: `key_missing`,
    nobody here can open it. `events`, `files` and `size` (in bytes) are what was looked
    at, `root` is that of the whole log."""

    level: int
    events: int
    files: int
    size: int
    root: bytes
    reason: str | None = None


def verify_archive(  # noqa: PLR0917 - the first six are always there
    repository: Repository,
    catalogue: Catalogue,
    manifest_file: ManifestFile,
    level: int,
    keys: Keys,
    told: Told,
    *,
    whole: bool = True,
    sha256: str | None = None,
    effort: Effort = ALONE,
) -> Verified:
    """Whether an archive is what was written, at a level from 0 to 3, with all that it continues;
    without `whole` only what it adds, which goes on from what the manifest before has signed.
    `sha256` is that of its manifest, where it is known from elsewhere.

    Raises BadArchive for the first fault, BadIdentity, RepositoryUnavailable, OSError.
    """
    if sha256 is not None and manifest_file.sha256 != sha256:
        message = "It is not the manifest that the log says was stored"
        raise BadArchive("rolled_back", message, file=manifest_file.name)
    chain = catalogue.chain(manifest_file)
    files = Files(repository, keys, chain.newest.store_id)
    verifying = Verifying(chain, files, signed, told, whole=whole, effort=effort)
    verifying.look_up(may_be_gone(catalogue, manifest_file))
    reason = None
    try:
        if level >= 2:
            verifying.look_at_rows()
        if level >= LEVEL_MAX:
            verifying.replay()
    except BadArchive as fault:
        if fault.fault not in UNREADABLE_HERE:
            raise
        level, reason = 1, fault.fault
    if level == 1:
        verifying.look_at_files()
    entries = verifying.entries
    return Verified(
        level=level,
        events=sum(entry.count for entry in entries if entry.content == "events"),
        files=len(entries),
        size=sum(entry.size for entry in entries),
        root=chain.newest.root,
        reason=reason,
    )


class Verifying:
    """One archive, level by level."""

    def __init__(
        self,
        chain: Chain,
        files: Files,
        signed: SignatureCheck,
        told: Told,
        *,
        whole: bool,
        effort: Effort,
    ) -> None:
        self._chain = chain
        self._newest = chain.newest
        self._files = files
        self._signed = signed
        self._told = told
        self._effort = effort
        self._whole = whole or len(chain.manifests) == 1
        self._gone: frozenset[str] = frozenset()

    @property
    def entries(self) -> list[FileEntry]:
        """The files that are looked into."""
        return [entry for content in CONTENTS for entry in self._entries_of(content)]

    def look_up(self, may_be_gone: Collection[str] = ()) -> None:
        """Level 0: all of them are there, of their sizes. The manifests were read before."""
        entries = [entry for content in CONTENTS for entry in self._chain.files(content)]
        self._gone = self._files.look_up(entries, may_be_gone=may_be_gone)

    def look_at_files(self) -> None:
        """Level 1: each has its SHA-256."""
        entries = self.entries
        with ThreadPoolExecutor(FETCHED_AHEAD) as threads:
            fetched = in_order(threads, self._files.whole, entries, ahead=FETCHED_AHEAD)
            for done, _ in enumerate(fetched, start=1):
                self._told("verify", done, len(entries))

    def look_at_rows(self) -> None:
        """Level 2: everything that the files hold."""
        for content in get_args(Table):
            for entry, segment in self._segments(content):
                look_at_table(entry, segment)
        for entry, segment in self._segments("requests"):
            look_at_requests(entry, segment)
        self._look_at_events()

    def replay(self) -> None:
        """Level 3: every aggregate, from its first event on. It takes the whole."""
        entries = self._chain.files("events")
        Replaying(entries, self._files.opened, self._told).run()

    def _look_at_events(self) -> None:
        tree, roots = self._begin(), self._roots()
        former_at, total = (
            datetime.min.replace(tzinfo=UTC),
            sum(e.count for e in self._entries_of("events")),
        )
        begin = tree.size
        heads = self._heads()
        heads.pass_by(begin, tree.root)
        with ExitStack() as opened:
            versions = opened.enter_context(
                Versions(
                    from_start=self._whole,
                    aggregates_max=self._effort.aggregates_max,
                    folder=self._effort.folder,
                )
            )
            portions = self._portions(heads, begin)
            looking = looked_at(self._files, portions, self._effort)
            for looked, _ in opened.enter_context(closing(looking)):
                former_at = _check_times(looked, former_at)
                for stop in looked.stops:
                    tree.join(stop.parts)
                    if heads.wait_at(stop.size):
                        heads.look_at(Mark(tree.root, stop.position, stop.recorded_at))
                versions.add(looked.entry.name, looked.firsts, looked.lasts)
                if roots.pop(tree.size, tree.root) != tree.root:
                    message = "Up to here its events are others than were signed"
                    raise BadArchive("root_differs", message, file=looked.entry.name)
                self._told("verify", tree.size - begin, total)
            versions.finish()
        heads.finish()
        if tree.root != self._newest.root:
            raise BadArchive("root_differs", "It is of other events", file=self._newest.file_name)

    def _begin(self) -> Tree:
        return Tree() if self._whole else self._chain.manifests[-2].manifest.tree

    def _roots(self) -> dict[int, bytes]:
        """By their sizes: those of all archives that it is made of."""
        manifests = [file.manifest for file in self._chain.manifests]
        return {manifest.size: manifest.root for manifest in manifests}

    def _heads(self) -> Heads:
        keys = seal_keys_in((e.name, s) for e, s in self._segments("seal_keys"))
        segments = ((entry.name, segment) for entry, segment in self._segments("heads"))
        store_id = self._newest.store_id
        return Heads(segments, keys, self._signed, store_id, from_start=self._whole)

    def _portions(self, heads: Heads, start: int) -> Iterator[Portion]:
        for entry in self._entries_of("events"):
            end = start + entry.count
            sizes = heads.sizes(end)
            if not sizes or sizes[-1] != end:
                sizes.append(end)
            store_id = self._newest.store_id
            yield Portion(entry=entry, start=start, sizes=sizes, store_id=store_id)
            start = end

    def _segments(self, content: Content) -> Iterator[tuple[FileEntry, Segment]]:
        for entry in self._entries_of(content):
            yield entry, self._files.segment(entry)

    def _entries_of(self, content: Content) -> list[FileEntry]:
        files = self._chain.files(content) if self._whole else self._newest.files_of(content)
        return [file for file in files if file.name not in self._gone]


def may_be_gone(catalogue: Catalogue, manifest_file: ManifestFile) -> set[str]:
    """What retention takes from archives that stay: personal, and old."""
    manifest, now = manifest_file.manifest, datetime.now(UTC)
    if now - manifest.taken_at <= STATE_AGE_MAX:
        return set()
    newer = sum(file.name > manifest_file.name for file in catalogue.manifests())
    return {
        file.name
        for file in manifest.files
        if may_be_missing(file.content, manifest.taken_at, newer_archives=newer, now=now)
    }


def _check_times(looked: Looked, former_at: datetime) -> datetime:
    """That time goes on, and that the manifest tells it as it was; when the last was recorded."""
    entry = looked.entry
    times = (looked.first_at, looked.stops[-1].recorded_at)
    first_at, last_at = (POSTGRES_EPOCH + timedelta(microseconds=time) for time in times)
    if first_at < former_at or (first_at, last_at) != (entry.first_at, entry.last_at):
        message = "It was recorded at other times"
        raise BadArchive("positions_disordered", message, file=entry.name)
    return last_at
