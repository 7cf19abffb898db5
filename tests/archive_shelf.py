"""A repository full of archives whose segments hold nothing that anybody could restore: for tests
of what only looks at manifests, names and hashes."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.archives.chain import Catalogue, ManifestFile
from application.archives.format import (
    MANIFEST_BYTES_MAX,
    Content,
    key_name,
    segment_name,
)
from application.archives.manifest import FileEntry, Manifest, Reference, order_of
from application.archives.ports import Repository
from domain.merkle import Tree, leaf_hash
from infrastructure.archives.names import FOLDERS
from infrastructure.archives.segment import MAGIC, SegmentHeader
from infrastructure.seals.signer import Ed25519Signer, signed
from infrastructure.security.signing_key import SigningKey

STORE = UUID(int=7)
EVENTS_EACH = 10
RECORDED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def signer_of(seed: int) -> Ed25519Signer:
    """The same key for the same number."""
    private = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))
    return Ed25519Signer(SigningKey(private))


OURS, STRANGER = signer_of(1), signer_of(2)


class Shelf:
    """Puts archives into a repository, each of ten more events than the one before."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.catalogue = Catalogue(repository, STORE, signed, {OURS.key_id})
        self.key_id: str | None = None
        """The data key that segments name from now on."""

    def make_key(self, number: int) -> str:
        """The name of a data key for the segments that follow, as a backup makes one first."""
        self.key_id = f"{number:032x}"
        self.repository.put_if_absent(key_name(self.key_id), b"wrapped")
        return key_name(self.key_id)

    def take(
        self,
        number: int,
        taken_at: datetime,
        *,
        continues: Manifest | None = None,
        state: Sequence[Content] = ("accounts", "subject_keys", "seal_keys"),
        by: Ed25519Signer = OURS,
        epoch: int = 1,
    ) -> Manifest:
        """A full archive, or one that continues another; segments first, as when one is taken."""
        size = number * EVENTS_EACH
        base = 0 if continues is None else continues.size
        entries = [
            self._segment("events", first + 1, first + EVENTS_EACH, taken_at)
            for first in range(base, size, EVENTS_EACH)
        ]
        entries += [self._segment(content, 0, size, taken_at) for content in state]
        tree = Tree()
        tree.extend([leaf_hash(event.to_bytes(8, "big")) for event in range(size)])
        reference = None if continues is None else self._reference(continues)
        manifest = Manifest(
            archive_id=UUID(int=number),
            type="full" if continues is None else "incremental",
            store_id=STORE,
            epoch=epoch,
            taken_at=taken_at,
            last=size,
            size=size,
            peaks=tuple(tree.peaks[height] for height in sorted(tree.peaks, reverse=True)),
            issued=size,
            base=base,
            continues=reference,
            previous=reference,
            files=tuple(sorted(entries, key=order_of)),
            topics={"task.submitted": 1},
            digests={},
            migration="0014",
            release="0.1.0",
        )
        self.repository.put_if_absent(manifest.file_name, manifest.encode(by))
        self.repository.replace("LATEST", manifest.file_name.encode())
        return manifest

    def chain(self, numbers: Sequence[int], begin: datetime, every: timedelta) -> list[Manifest]:
        """A full archive and what continues it, one after another."""
        taken: list[Manifest] = []
        for number in numbers:
            at = begin + (number - numbers[0]) * every
            taken.append(self.take(number, at, continues=taken[-1] if taken else None))
        return taken

    def add_garbage(self, number: int) -> str:
        """A segment that no archive names."""
        content = self._headed(b"of no archive" + bytes([number]))
        digest = sha256(content).hexdigest()
        name = segment_name("events", 1, 10**6 + number, 10**6 + number, digest)
        self.repository.put_if_absent(name, content)
        return name

    def names(self, folder: str) -> list[str]:
        """Of the files there."""
        return [kept.name for kept in self.repository.listed(folder)]

    def everything(self) -> dict[str, bytes]:
        """All files by name."""
        return {
            name: self.repository.get(name, bytes_max=MANIFEST_BYTES_MAX)
            for folder in FOLDERS
            for name in self.names(folder)
        }

    def numbers(self) -> list[int]:
        """The archives that are listed, oldest first."""
        return [file.manifest.archive_id.int for file in self.catalogue.manifests()]

    def missing_of(self, file: ManifestFile, among: Mapping[str, bytes] | None = None) -> set[str]:
        """The files of an archive, with its chain, that are not there as they were signed."""
        chain = self.catalogue.chain(file)
        files = [entry for one in chain.manifests for entry in one.manifest.files]
        found = self.everything() if among is None else among
        return {
            file.name
            for file in files
            if file.name not in found or sha256(found[file.name]).hexdigest() != file.sha256
        }

    def _segment(self, content: Content, first: int, last: int, taken_at: datetime) -> FileEntry:
        """Of the same events it is the same one, whoever takes it; a table may change each time."""
        when = "" if content == "events" else taken_at.isoformat()
        text = self._headed(f"{content} {first} {last} {when}".encode())
        digest = sha256(text).hexdigest()
        name = segment_name(content, 1, first, last, digest)
        self.repository.put_if_absent(name, text)
        at = RECORDED_AT if content == "events" else None
        return FileEntry(
            name=name,
            size=len(text),
            sha256=digest,
            content=content,
            first=first,
            last=last,
            count=EVENTS_EACH,
            root=bytes(32),
            plain_bytes=len(text),
            first_at=at,
            last_at=at,
        )

    def _headed(self, body: bytes) -> bytes:
        """Behind a header, of which the key alone means something."""
        encrypted = None if self.key_id is None else "aes-256-gcm"
        header = SegmentHeader(
            content="events",
            columns=(),
            store_id=STORE,
            epoch=1,
            first=1,
            last=1,
            count=1,
            root=bytes(32),
            plain_bytes=1,
            cipher=encrypted,
            key_id=self.key_id,
            frame_sha256=None if self.key_id is None else "0" * 64,
        ).encode()
        return MAGIC + len(header).to_bytes(4, "big") + header + body

    def _reference(self, manifest: Manifest) -> Reference:
        content = self.repository.get(manifest.file_name, bytes_max=MANIFEST_BYTES_MAX)
        return Reference(manifest.file_name, sha256(content).hexdigest())
