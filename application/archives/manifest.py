"""What an archive is: the signed list of its files, and what it says of the log."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Self
from uuid import UUID

import orjson

from application.archives.faults import BadArchive
from application.archives.format import (
    CONTENTS,
    EPOCH_MAX,
    FILE_BYTES_MAX,
    FILES_MAX,
    MANIFEST_BYTES_MAX,
    NUMBER_MAX,
    PLAIN_BYTES_MAX,
    SEGMENT_NAME,
    SEGMENT_ROWS_MAX,
    TYPES,
    ArchiveType,
    Content,
    manifest_name,
    segment_name,
    time_from,
    time_text,
)
from application.seals.head import SIGNATURE_BYTES, key_id_of
from application.seals.ports import SignatureCheck, Signer
from domain.merkle import HASH_BYTES, Tree, fold_peaks

TITLE = b"musterroll archive, version 1\n"
FORMAT = 1
TEXT_MAX = 200
TOPICS_MAX = DIGESTS_MAX = 1_000
VALUES_MAX = 16 * FILES_MAX
"""How many values the JSON of a manifest may hold: a file has twelve."""
PREFIX, BETWEEN, LAST, SUFFIX = b'{"manifest":', b',"public_key":"', b'","signature":"', b'"}\n'
KEY_DIGITS, SIGNATURE_DIGITS = 2 * HASH_BYTES, 2 * SIGNATURE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A segment as a manifest lists it; `size` and `plain_bytes` in bytes, `sha256` in hexadecimal
    over the whole file, `root` over its rows. The times are of events only."""

    name: str
    size: int
    sha256: str
    content: Content
    first: int
    last: int
    count: int
    root: bytes
    plain_bytes: int
    first_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def epoch(self) -> int:
        """In which it was written, as its name says."""
        return int(self.name.split("-")[1])


@dataclass(frozen=True, slots=True)
class Reference:
    """Another manifest: its name, and the SHA-256 of its file in hexadecimal."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Digest:
    """What a live read model was at a position: SHA-256 in hexadecimal."""

    position: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One archive. `peaks` are those of the log's tree of `size` events, highest first; `files` in
    the order of `order_of`. Raises ValueError for what cannot be.
    """

    archive_id: UUID
    type: ArchiveType
    store_id: UUID
    epoch: int
    taken_at: datetime
    last: int
    size: int
    peaks: tuple[bytes, ...]
    issued: int
    base: int
    continues: Reference | None
    previous: Reference | None
    files: tuple[FileEntry, ...] = field(repr=False)
    topics: Mapping[str, int] = field(repr=False)
    digests: Mapping[str, Digest]
    migration: str
    release: str

    def __post_init__(self) -> None:
        _check(self)

    @property
    def root(self) -> bytes:
        """Over all events, from the very first."""
        return fold_peaks(self.peaks)

    @property
    def tree(self) -> Tree:
        """The log's tree as it is at the end of this archive, to go on from."""
        heights = [bit for bit in range(self.size.bit_length()) if self.size >> bit & 1]
        return Tree(self.size, dict(zip(reversed(heights), self.peaks, strict=True)))

    @property
    def file_name(self) -> str:
        """In its repository."""
        return manifest_name(self.epoch, self.last, self.taken_at, self.type, self.archive_id)

    def files_of(self, content: Content) -> list[FileEntry]:
        """Those of one content, in their order."""
        return [file for file in self.files if file.content == content]

    def encode(self, signer: Signer) -> bytes:
        """The file, signed. Raises ValueError when it is too large."""
        text = self._text()
        content = b"".join(
            [
                *(PREFIX, text, BETWEEN, signer.public_key.hex().encode()),
                *(LAST, signer.sign(TITLE + text).hex().encode(), SUFFIX),
            ]
        )
        _need(len(content) <= MANIFEST_BYTES_MAX, "it is too large")
        return content

    @classmethod
    def parse(
        cls, content: bytes, name: str, signed: SignatureCheck, trusted: Collection[str] | None
    ) -> Self:
        """From a file. `trusted` are ids of keys that may have signed it; None: whichever did.

        Nothing is parsed before the signature holds. Raises BadArchive.
        """
        text = _signed_text(content, name, signed, trusted)
        values = sum(map(text.count, (b",", b"[", b"{")))
        if values > VALUES_MAX:
            raise BadArchive("bad_manifest", f"It holds {values} values", file=name)
        try:
            manifest = cls(**_members(orjson.loads(text)))
        except orjson.JSONDecodeError as error:
            at = len(PREFIX) + len(text[: error.pos])
            raise BadArchive("bad_manifest", "It is no JSON", file=name, byte=at) from error
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            raise BadArchive("bad_manifest", f"It is no manifest: {error}", file=name) from error
        canonical = manifest._text()
        if canonical != text:
            at = next((i for i, (a, b) in enumerate(zip(canonical, text)) if a != b), len(text))  # noqa: B905
            message = "It is not in canonical form"
            raise BadArchive("bad_manifest", message, file=name, byte=len(PREFIX) + at)
        if name != manifest.file_name:
            raise BadArchive("bad_manifest", f"It belongs at {manifest.file_name}", file=name)
        return manifest

    def _text(self) -> bytes:
        """What is signed, after the title."""
        return orjson.dumps(
            {
                "archive_id": str(self.archive_id),
                "base": self.base,
                "continues": _reference_members(self.continues),
                "digests": {
                    name: {"position": one.position, "sha256": one.sha256}
                    for name, one in self.digests.items()
                },
                "epoch": self.epoch,
                "files": [_file_members(file) for file in self.files],
                "format": FORMAT,
                "issued": self.issued,
                "last": self.last,
                "migration": self.migration,
                "peaks": [peak.hex() for peak in self.peaks],
                "previous": _reference_members(self.previous),
                "release": self.release,
                "root": self.root.hex(),
                "size": self.size,
                "store_id": str(self.store_id),
                "taken_at": time_text(self.taken_at),
                "topics": dict(self.topics),
                "type": self.type,
            },
            option=orjson.OPT_SORT_KEYS,
        )


def order_of(file: FileEntry) -> tuple[str, int, int, str]:
    """How the files of a manifest are sorted."""
    return file.content, file.first, file.last, file.name


def _signed_text(
    content: bytes, name: str, signed: SignatureCheck, trusted: Collection[str] | None
) -> bytes:
    """The canonical JSON of `manifest`, once it is known whose it is."""
    if len(content) > MANIFEST_BYTES_MAX:
        raise BadArchive("manifest_too_large", f"It has {len(content)} bytes", file=name)
    tail = len(BETWEEN) + KEY_DIGITS + len(LAST) + SIGNATURE_DIGITS + len(SUFFIX)
    end = len(content) - tail
    key_at = end + len(BETWEEN)
    last_at = key_at + KEY_DIGITS
    signature_at = last_at + len(LAST)
    signature_end = signature_at + SIGNATURE_DIGITS
    parts = (content[: len(PREFIX)], content[end:key_at], content[last_at:signature_at])
    if end < len(PREFIX) or (*parts, content[signature_end:]) != (PREFIX, BETWEEN, LAST, SUFFIX):
        raise BadArchive("bad_manifest", "It is not a signed manifest", file=name)
    public_key = _hex(content[key_at:last_at], name, key_at)
    signature = _hex(content[signature_at:signature_end], name, signature_at)
    text = content[len(PREFIX) : end]
    if trusted is not None and (key_id := key_id_of(public_key)) not in trusted:
        raise BadArchive("untrusted_key", f"Nobody here trusts the key {key_id[:16]}", file=name)
    if not signed(public_key, TITLE + text, signature):
        raise BadArchive("bad_signature", "It is not what was signed", file=name)
    return text


def _hex(digits: bytes, name: str, at: int) -> bytes:
    try:
        value = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        value = b""
    if value.hex().encode() != digits:
        raise BadArchive("bad_manifest", "It is not in hexadecimal", file=name, byte=at)
    return value


def _members(read: Any) -> dict[str, Any]:
    """The arguments of Manifest, still to be checked. What is left over or written in another way
    shows when it is written again."""
    _need(isinstance(read, dict) and read.get("format") == FORMAT, "it is of another format")
    kept = {name: read[name] for name in Manifest.__dataclass_fields__}
    return kept | {
        "archive_id": UUID(read["archive_id"]),
        "store_id": UUID(read["store_id"]),
        "taken_at": time_from(read["taken_at"]),
        "peaks": tuple([bytes.fromhex(peak) for peak in read["peaks"]]),
        "continues": _reference(read["continues"]),
        "previous": _reference(read["previous"]),
        "files": tuple([_file(file) for file in read["files"]]),
        "digests": {name: Digest(**digest) for name, digest in read["digests"].items()},
    }


def _file(members: dict[str, Any]) -> FileEntry:
    first_at, last_at = members["first_at"], members["last_at"]
    return FileEntry(
        **members
        | {
            "root": bytes.fromhex(members["root"]),
            "first_at": None if first_at is None else time_from(first_at),
            "last_at": None if last_at is None else time_from(last_at),
        }
    )


def _file_members(file: FileEntry) -> dict[str, Any]:
    return {
        "content": file.content,
        "count": file.count,
        "first": file.first,
        "first_at": file.first_at and time_text(file.first_at),
        "last": file.last,
        "last_at": file.last_at and time_text(file.last_at),
        "name": file.name,
        "plain_bytes": file.plain_bytes,
        "root": file.root.hex(),
        "sha256": file.sha256,
        "size": file.size,
    }


def _reference(members: dict[str, Any] | None) -> Reference | None:
    return None if members is None else Reference(**members)


def _reference_members(reference: Reference | None) -> dict[str, str] | None:
    return None if reference is None else {"name": reference.name, "sha256": reference.sha256}


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _check(manifest: Manifest) -> None:
    """What can be told of a manifest without its files."""
    m = manifest
    _need(m.type in TYPES, "type is none of full, incremental and synthetic")
    _number("epoch", m.epoch, 1, EPOCH_MAX)
    _number("size", m.size, 0, NUMBER_MAX)
    _number("last", m.last, min(m.size, 1), NUMBER_MAX)
    _number("issued", m.issued, m.last, NUMBER_MAX)
    _number("base", m.base, 0, m.size)
    _need(m.taken_at.tzinfo is not None, "taken_at is of no time zone")
    _need((m.type == "incremental") == (m.continues is not None), "continues does not fit type")
    _need(m.base == 0 or m.continues is not None, "base is not 0")
    _need([len(peak) for peak in m.peaks] == [HASH_BYTES] * m.size.bit_count(), "peaks are others")
    for reference in (m.continues, m.previous):
        if reference is not None:
            _text_of("name", reference.name)
            _digest("sha256", reference.sha256)
    _need(len(m.topics) <= TOPICS_MAX and len(m.digests) <= DIGESTS_MAX, "it knows too much")
    for topic, version in m.topics.items():
        _text_of("topic", topic)
        _number("class version", version, 1, EPOCH_MAX)
    for name, digest in m.digests.items():
        _text_of("read model", name)
        _number("position", digest.position, 0, NUMBER_MAX)
        _digest("sha256", digest.sha256)
    _text_of("migration", m.migration)
    _text_of("release", m.release)
    _check_files(m)


def _check_files(manifest: Manifest) -> None:
    files = manifest.files
    _need(len(files) <= FILES_MAX, f"it lists {len(files)} files")
    for file in files:
        _check_file(file, manifest.epoch)
    for one, other in pairwise(files):
        _need(order_of(one) < order_of(other), f"{other.name} stands in the wrong place")
        if one.content == other.content and one.content in ("events", "heads"):
            _need(one.last < other.first, f"{other.name} overlaps {one.name}")
    events = manifest.files_of("events")
    counted = sum(file.count for file in events)
    wanted = manifest.size - manifest.base
    _need(counted == wanted, f"its segments hold {counted} events, and it says {wanted}")
    _need(not events or events[-1].last == manifest.last, "its events end elsewhere than it says")


def _check_file(file: FileEntry, epoch: int) -> None:
    _need(file.content in CONTENTS, "a file is of no known content")
    _text_of("name", file.name)
    named = SEGMENT_NAME.fullmatch(file.name)
    if named is None:
        raise ValueError("a file is not named as a segment is")
    _digest("sha256", file.sha256)
    _number("epoch", int(named[2]), 1, epoch)
    _number("first", file.first, 1 if file.content in ("events", "heads") else 0, NUMBER_MAX)
    _number("last", file.last, file.first, NUMBER_MAX)
    _number("size", file.size, 1, FILE_BYTES_MAX)
    _number("count", file.count, 1, SEGMENT_ROWS_MAX)
    _number("plain_bytes", file.plain_bytes, 1, PLAIN_BYTES_MAX)
    name = segment_name(file.content, int(named[2]), file.first, file.last, file.sha256)
    _need(file.name == name, f"{file.name} is another file than it is listed as")
    _need(len(file.root) == HASH_BYTES, "a root is no hash")
    if file.content == "events":
        first_at, last_at = file.first_at, file.last_at
        _need(first_at is not None and last_at is not None, "events have no time")
        _need(file.last - file.first >= file.count - 1, f"{file.name} holds too many events")
    else:
        _need(file.first_at is None and file.last_at is None, "only events have a time")


def _number(name: str, value: Any, smallest: int, largest: int) -> None:
    if type(value) is not int or not smallest <= value <= largest:
        raise ValueError(f"{name} is no whole number from {smallest} to {largest}")


def _text_of(name: str, value: Any) -> None:
    _need(isinstance(value, str) and 0 < len(value) <= TEXT_MAX, f"{name} is no text")


def _digest(name: str, value: Any) -> None:
    _need(isinstance(value, str) and len(value) == 2 * HASH_BYTES, f"{name} is no digest")
    _need(bytes.fromhex(value).hex() == value, f"{name} is not in hexadecimal")
