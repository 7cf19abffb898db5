"""Archives made by hand, of a log that was never in a database: well, or as badly as one likes."""

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from application.archives.chain import Catalogue, ManifestFile
from application.archives.format import SEGMENT_ROWS_MAX, ArchiveType, Content
from application.archives.manifest import FileEntry, Manifest, Reference, order_of
from application.seals.head import NOTHING_BEFORE, Head
from domain.catalogue import EVENTS
from domain.merkle import Tree
from domain.task import Task
from infrastructure.archives.checking import Effort
from infrastructure.archives.encryption import DataKey, DataKeys
from infrastructure.archives.folder import FolderRepository
from infrastructure.archives.segment import COLUMNS, Draft, Written, write_segment
from infrastructure.archives.verifying import Verified, verify_archive
from infrastructure.mapper import CatalogueMapper
from infrastructure.seals.signer import Ed25519Signer, signed
from tests.faults.tampering import a_signer
from tests.given import ALICE, MINUTE, NOON, a_decision, a_specification

Values = Sequence[bytes | None]
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
TOPICS = {topic: getattr(kind, "class_version", 1) for topic, kind in EVENTS.items()}
KEY_COLUMNS = ("key_id", "public_key", "added_at")


def row_of(values: Values) -> bytes:
    """As COPY sends it."""
    columns = [b"\xff" * 4 if v is None else struct.pack(">I", len(v)) + v for v in values]
    return struct.pack(">H", len(values)) + b"".join(columns)


def number(value: int) -> bytes:
    """A bigint."""
    return struct.pack(">q", value)


def moment(at: datetime) -> bytes:
    """A timestamptz."""
    return number((at - POSTGRES_EPOCH) // timedelta(microseconds=1))


def a_story() -> list[tuple[bytes, bytes]]:
    """The events of a task that was done at the first attempt: topics and states."""
    task_id = UUID(int=7)
    task = Task.submit(task_id, a_specification(), tenant="default", parent=None, now=NOON)
    task.assign(a_decision(), now=NOON, lease=MINUTE)
    task.start(ALICE, 1, now=NOON)
    task.complete(ALICE, 1, {"verdict": "fine"}, now=NOON)
    encode = CatalogueMapper().encode
    return [(type(one).TOPIC.encode(), encode(one)) for one in task.take_events()]  # type: ignore[attr-defined]


STORY = a_story()


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the log: its columns but for those that nothing depends on."""

    position: int
    aggregate_id: bytes
    version: int
    topic: bytes
    state: bytes
    at: datetime
    causation_id: bytes | None = None

    @property
    def row(self) -> bytes:
        """As COPY sends it."""
        command = sha256(self.aggregate_id).digest()[:16]
        head = [number(self.position), self.aggregate_id, number(self.version), self.topic]
        about = [b"default", b"user/ad\xc3\xa4", command, self.aggregate_id, self.causation_id]
        return row_of([*head, *about, None, moment(self.at), self.state])


@dataclass
class Forge:
    """A log, its seals, and the archives that are made of it in a folder."""

    folder: Path
    rng: random.Random
    segment_events: int = 100
    key: DataKey | None = None
    signer: Ed25519Signer = field(default_factory=a_signer)
    events: list[Event] = field(default_factory=list)
    requests: list[tuple[int, bytes]] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    taken: list[ManifestFile] = field(default_factory=list)
    epoch: int = 1

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.store_id = UUID(int=self.rng.getrandbits(128), version=4)
        self.repository = FolderRepository(self.folder, self.store_id)
        self.keys = DataKeys(self.repository, None)
        self.tree = Tree()
        self._stories: list[tuple[bytes, int]] = []
        self._counts = dict.fromkeys(("events", "requests", "heads"), 0)

    def write(self, count: int) -> None:
        """Events of tasks that go on side by side, at positions with gaps."""
        for _ in range(count):
            position = (
                self.events[-1].position + self.rng.choice((1, 1, 1, 4)) if self.events else 1
            )
            if not self._stories or self.rng.random() < 0.3:
                self._stories.append((self.rng.randbytes(16), 0))
            at = self.rng.randrange(len(self._stories))
            aggregate, version = self._stories.pop(at)
            topic, state = STORY[version]
            event = Event(
                *(position, aggregate, version + 1, topic, state),
                NOON + timedelta(milliseconds=position),
                b"event:%d" % position if version else None,
            )
            self.add(event)
            if version + 1 < len(STORY):
                self._stories.append((aggregate, version + 1))

    def add(self, event: Event) -> None:
        """At the end of the log."""
        self.events.append(event)
        self.tree.grow([sha256(event.row).digest()])
        if self.rng.random() < 0.2 and event.position > 0:
            self.requests.append((event.position - 1, self.rng.randbytes(16)))

    def seal(self) -> Head:
        """The log as it is."""
        former = self.heads[-1] if self.heads else None
        head = Head(
            log=self.store_id,
            epoch=self.epoch,
            size=self.tree.size,
            position=self.events[-1].position,
            root=self.tree.root,
            recorded_at=self.events[-1].at,
            time=self.events[-1].at,
            previous=former.digest if former else NOTHING_BEFORE,
            key_id=self.signer.key_id,
        )
        head = replace(head, signature=self.signer.sign(head.text))
        self.heads.append(head)
        return head

    def write_sealed(self, count: int, *, block: int = 70) -> None:
        """Events, with a head after each block of them."""
        for at in range(0, count, block):
            self.write(min(block, count - at))
            self.seal()

    def take(self, kind: ArchiveType) -> ManifestFile:
        """An archive of what is there."""
        manifest = self.manifest(kind, self.segments(alone=kind != "incremental"))
        return self.keep(manifest)

    def segments(self, *, alone: bool = True) -> list[Written]:
        """Of all, or of what is in none yet."""
        self.begin = dict.fromkeys(self._counts, 0) if alone else dict(self._counts)
        found = [*self._events(), *self._requests(), *self._heads(), *self._keys()]
        self._counts.update(
            events=len(self.events), requests=len(self.requests), heads=len(self.heads)
        )
        return found

    def manifest(self, kind: ArchiveType, segments: Sequence[Written], **changes: Any) -> Manifest:
        """Over these segments, which are kept."""
        for one in segments:
            self.repository.put_if_absent(one.entry.name, one.content)
        former = self.taken[-1] if self.taken else None
        reference = former and Reference(former.name, former.sha256)
        last = self.events[-1].position if self.events else 0
        members: dict[str, Any] = {
            "archive_id": UUID(int=self.rng.getrandbits(128), version=4),
            "type": kind,
            "store_id": self.store_id,
            "epoch": self.epoch,
            "taken_at": NOON + timedelta(days=1, seconds=len(self.taken)),
            "last": last,
            "size": self.tree.size,
            "peaks": tuple([self.tree.peaks[h] for h in sorted(self.tree.peaks, reverse=True)]),
            "issued": last + 3,
            "base": self.begin["events"],
            "continues": reference if kind == "incremental" else None,
            "previous": reference,
            "files": tuple(sorted([one.entry for one in segments], key=order_of)),
            "topics": TOPICS,
            "digests": {},
            "migration": "0013_epochs",
            "release": "0.0.0",
        }
        return Manifest(**(members | changes))

    def keep(self, manifest: Manifest) -> ManifestFile:
        """Signed, in the repository."""
        content = manifest.encode(self.signer)
        self.repository.put_if_absent(manifest.file_name, content)
        found = self.catalogue().one(manifest.archive_id)
        self.taken.append(found)
        return found

    def catalogue(self, *, anybody: bool = False) -> Catalogue:
        """As it is read from the folder now."""
        trusted = None if anybody else {self.signer.key_id}
        return Catalogue(self.repository, self.store_id, signed, trusted)

    def verify(self, file: ManifestFile | None = None, level: int = 2, **options: Any) -> Verified:
        """The archive that was taken last, unless another one is named."""
        return verify_archive(
            self.repository,
            self.catalogue(),
            file or self.taken[-1],
            level,
            options.pop("keys", self.keys),
            lambda _stage, _done, _total: None,
            **options,
        )

    def segment(self, of: Draft, rows: Sequence[bytes]) -> Written:
        """With the key of the forge, where it has one."""
        if self.key is not None:
            self.keys.keep(self.key)
        return write_segment(of, rows, self.key)

    def draft(self, content: Content, first: int, last: int, **changes: Any) -> Draft:
        """Of this store and epoch."""
        members: dict[str, Any] = {
            "content": content,
            "columns": COLUMNS.get(content, KEY_COLUMNS),
            "store_id": self.store_id,
            "epoch": self.epoch,
            "first": first,
            "last": last,
        }
        return Draft(**(members | changes))

    def events_segment(self, events: Sequence[Event], **changes: Any) -> Written:
        """Of these events, whatever they are."""
        about = {"first_at": events[0].at, "last_at": events[-1].at} | changes
        draft = self.draft("events", events[0].position, events[-1].position)
        return self.segment(replace(draft, **about), [event.row for event in events])

    def _events(self) -> Iterator[Written]:
        for events in self._cut(self.events[self.begin["events"] :], self.segment_events):
            yield self.events_segment(events)

    def _requests(self) -> Iterator[Written]:
        for requests in self._cut(self.requests[self.begin["requests"] :], SEGMENT_ROWS_MAX):
            rows = [request_row(base, key) for base, key in requests]
            yield self.segment(self.draft("requests", requests[0][0], requests[-1][0]), rows)

    def _heads(self) -> Iterator[Written]:
        begin = self.begin["heads"]
        for heads in self._cut(self.heads[begin:], SEGMENT_ROWS_MAX):
            former = self.heads[begin - 1].size if begin else 0
            yield self.heads_segment(heads, former)

    def heads_segment(self, heads: Sequence[Head], former_size: int = 0) -> Written:
        """Of these heads, whatever they are."""
        sizes = [former_size, *(head.size for head in heads)]
        rows = [head_row(head, size) for head, size in zip(heads, sizes, strict=False)]
        return self.segment(self.draft("heads", heads[0].size, heads[-1].size), rows)

    def _keys(self) -> Iterator[Written]:
        last = self.events[-1].position if self.events else 0
        row = row_of([self.signer.key_id.encode(), self.signer.public_key, moment(NOON)])
        yield self.segment(self.draft("seal_keys", 0, last), [row])

    def _cut(self, rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
        for at in range(0, len(rows), size):
            yield rows[at : at + size]


def request_row(base: int, key: bytes) -> bytes:
    """A request that can be repeated."""
    return row_of([key, b"fingerprint", number(base), b"{}", moment(NOON)])


def head_row(head: Head, former_size: int) -> bytes:
    """A signed head."""
    numbers = [struct.pack(">i", head.epoch), number(head.size), number(former_size)]
    times = [moment(head.recorded_at), moment(head.time)]
    rest = [head.previous, head.key_id.encode(), head.signature]
    return row_of([head.log.bytes, *numbers, number(head.position), head.root, *times, *rest])


def entries_of(file: ManifestFile, content: Content) -> list[FileEntry]:
    """The segments of one content."""
    return file.manifest.files_of(content)


LOOKING_HARD = Effort(aggregates_max=20)
"""So that even a small archive is too large for memory."""
