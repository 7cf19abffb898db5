"""A segment of an archive, to write and to read: header, compressed and encrypted rows, SHA-256."""

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Self
from uuid import UUID

import orjson

from application.archives.faults import BadArchive
from application.archives.format import (
    HEADER_BYTES_MAX,
    PLAIN_BYTES_MAX,
    SEGMENT_ROWS_MAX,
    Content,
    segment_name,
)
from application.archives.manifest import FileEntry
from domain.merkle import HASH_BYTES, root_of
from infrastructure.archives.compression import CODEC, compress, decompress
from infrastructure.archives.encryption import (
    CIPHER,
    KEY_ID_DIGITS,
    DataKey,
    InvalidTag,
    Keys,
    decrypt,
    encrypt,
)

MAGIC = b"MUSTERSEG1\n"
COLUMNS_MAX = 100
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "events": (
        *("position", "aggregate_id", "version", "topic", "tenant", "actor", "command_id"),
        *("correlation_id", "causation_id", "traceparent", "recorded_at", "state"),
    ),
    "requests": ("key", "fingerprint", "base", "answer", "recorded_at"),
    "heads": (
        *("log_id", "epoch", "size", "former_size", "position", "root", "recorded_at"),
        *("sealed_at", "previous", "key_id", "signature"),
    ),
}
"""Of history, which has these and no others. Of tables the header tells."""
_COLUMN = re.compile("[a-z_][a-z0-9_]{0,62}", re.ASCII)
_DIGITS = re.compile("[0-9a-f]+", re.ASCII)
_LENGTH = struct.Struct(">I")
_COUNT = struct.Struct(">H")
_NULL = 0xFFFFFFFF

Row = bytes | memoryview
"""As COPY sends it: the number of columns, then each with its length. It begins with a zero byte,
so its SHA-256 is an RFC 9162 leaf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to be known of rows to write a segment of them; the times of events only."""

    content: Content
    columns: tuple[str, ...]
    store_id: UUID
    epoch: int
    first: int
    last: int
    first_at: datetime | None = None
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A segment that is ready to be kept at `entry.name`. `leaves` are the hashes of its rows."""

    entry: FileEntry
    content: bytes = field(repr=False)
    leaves: Sequence[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """The header. `frame_sha256` is that of the compressed body, where it is encrypted."""

    content: Content
    columns: tuple[str, ...]
    store_id: UUID
    epoch: int
    first: int
    last: int
    count: int
    root: bytes
    plain_bytes: int
    codec: str = CODEC
    cipher: str | None = None
    key_id: str | None = None
    frame_sha256: str | None = None

    def encode(self) -> bytes:
        """As canonical JSON."""
        members = {name: getattr(self, name) for name in SegmentHeader.__dataclass_fields__}
        members |= {"root": self.root.hex(), "store_id": str(self.store_id)}
        return orjson.dumps(members, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Raises ValueError for what cannot be."""
        try:
            members: dict[str, Any] = orjson.loads(text)
            columns, root, store_id = members["columns"], members["root"], members["store_id"]
            converted = {
                "columns": tuple(columns),
                "root": bytes.fromhex(root),
                "store_id": UUID(store_id),
            }
            header = cls(**{**members, **converted})
            if header.encode() != text:
                raise ValueError("it is not in canonical form")
        except (TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"it has other members: {error}") from error
        return header


@dataclass(frozen=True, slots=True)
class Opened:
    """A segment whose rows were not looked at yet. `plain` is the body as it was compressed."""

    header: SegmentHeader
    plain: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that is what its entry says: its rows, parts of its body, and their hashes."""

    header: SegmentHeader
    rows: Sequence[memoryview] = field(repr=False)
    leaves: Sequence[bytes] = field(repr=False)


def write_segment(
    of: Draft,
    rows: Sequence[Row],
    key: DataKey | None,
    *,
    leaves: Sequence[bytes] | None = None,
    root: bytes | None = None,
) -> Written:
    """One file of rows, at least one and at most SEGMENT_ROWS_MAX. The same rows with the same key
    give the same bytes. `leaves` are the SHA-256 of each row and `root` the one over them, where
    they are known.

    Raises ValueError for rows that are more than a segment may hold.
    """
    lengths = map(_LENGTH.pack, map(len, rows))
    plain = b"".join([part for pair in zip(lengths, rows, strict=True) for part in pair])
    if not 0 < len(rows) <= SEGMENT_ROWS_MAX or len(plain) > PLAIN_BYTES_MAX:
        raise ValueError(f"{len(rows)} rows of {len(plain)} bytes are no segment")
    hashed = [sha256(row).digest() for row in rows] if leaves is None else leaves
    frame = compress(plain)
    header = SegmentHeader(
        content=of.content,
        columns=of.columns,
        store_id=of.store_id,
        epoch=of.epoch,
        first=of.first,
        last=of.last,
        count=len(rows),
        root=root_of(hashed) if root is None else root,
        plain_bytes=len(plain),
        cipher=None if key is None else CIPHER,
        key_id=None if key is None else key.key_id,
        # Part of what the key is derived of: no key and nonce ever meet two different frames.
        frame_sha256=None if key is None else sha256(frame).hexdigest(),
    )
    head = header.encode()
    body = frame if key is None else encrypt(frame, key, head)
    before = b"".join([MAGIC, _LENGTH.pack(len(head)), head, body])
    content = before + sha256(before).digest()
    return Written(_entry_of(header, content, of), content, hashed)


def _entry_of(header: SegmentHeader, content: bytes, of: Draft) -> FileEntry:
    digest = sha256(content).hexdigest()
    return FileEntry(
        name=segment_name(of.content, of.epoch, of.first, of.last, digest),
        size=len(content),
        sha256=digest,
        content=of.content,
        first=of.first,
        last=of.last,
        count=header.count,
        root=header.root,
        plain_bytes=header.plain_bytes,
        first_at=of.first_at,
        last_at=of.last_at,
    )


def read_segment(content: bytes, entry: FileEntry, keys: Keys, *, store_id: UUID) -> Segment:
    """What was written, and nothing else: everything up to the rows and their root is checked.

    Raises BadArchive, BadIdentity, RepositoryUnavailable.
    """
    opened = open_segment(content, entry, keys, store_id=store_id)
    rows = rows_in(opened, entry.name)
    leaves = [sha256(row).digest() for row in rows]
    if root_of(leaves) != entry.root:
        raise BadArchive("root_differs", "Its rows are others", file=entry.name)
    return Segment(opened.header, rows, leaves)


def check_digest(content: bytes, entry: FileEntry) -> None:
    """That it is the file that was listed. Raises BadArchive."""
    if len(content) == entry.size >= HASH_BYTES:
        ending = content[-HASH_BYTES:]
        hashing = sha256(memoryview(content)[:-HASH_BYTES])
        inside = hashing.digest()
        hashing.update(ending)
        if hashing.hexdigest() == entry.sha256:
            if inside == ending:
                return
            at = len(content) - HASH_BYTES
            raise BadArchive("bad_segment", "It ends otherwise", file=entry.name, byte=at)
    message = f"It is not the file of {entry.size} bytes that was listed"
    raise BadArchive("file_damaged", message, file=entry.name)


def open_segment(content: bytes, entry: FileEntry, keys: Keys, *, store_id: UUID) -> Opened:
    """Digest, header, decryption and decompression; most of it outside of the interpreter's lock.

    Raises BadArchive, BadIdentity, RepositoryUnavailable.
    """
    check_digest(content, entry)
    header, head = header_of(content, entry)
    begin = len(MAGIC) + _LENGTH.size + len(head)
    if header.store_id != store_id:
        message = f"It is of the store {header.store_id}"
        raise BadArchive("foreign_archive", message, file=entry.name, byte=len(MAGIC))
    frame: bytes | memoryview = memoryview(content)[begin:-HASH_BYTES]
    if header.key_id is not None:
        key = keys.get(header.key_id)
        try:
            frame = decrypt(memoryview(frame), key, head)
        except InvalidTag as error:
            message = "It cannot be decrypted with this key"
            raise BadArchive("wrong_key", message, file=entry.name, byte=begin) from error
        if sha256(frame).hexdigest() != header.frame_sha256:
            raise BadArchive("bad_header", "Its header tells of another frame", file=entry.name)
    return Opened(header, decompress(frame, header.plain_bytes, entry.name))


def rows_in(opened: Opened, file: str) -> list[memoryview]:
    """Each row, whole, with the right number of columns. Raises BadArchive: `byte` is then one of
    the body as it was before compression."""
    header, plain = opened.header, opened.plain
    view, end, at, rows = memoryview(plain), len(plain), 0, []
    unpack, limit = _LENGTH.unpack_from, header.count
    while at < end:
        begin = at + _LENGTH.size
        at = begin + unpack(plain, at)[0] if begin <= end else begin
        if at > end:
            raise BadArchive("bad_row", "The last row is cut", file=file, byte=begin)
        rows.append(view[begin:at])
        if len(rows) > limit:
            raise BadArchive("count_differs", f"It holds more than {limit} rows", file=file)
    if len(rows) != limit:
        raise BadArchive("count_differs", f"It holds {len(rows)} rows, not {limit}", file=file)
    return rows


def columns_in(row: memoryview, count: int) -> list[memoryview | None]:
    """The values of a row, None for null. Raises ValueError."""
    if len(row) < _COUNT.size or _COUNT.unpack_from(row)[0] != count:
        raise ValueError(f"it has not {count} columns")
    values: list[memoryview | None] = []
    at = _COUNT.size
    for _ in range(count):
        if at + _LENGTH.size > len(row):
            raise ValueError("it is cut")
        length = _LENGTH.unpack_from(row, at)[0]
        at += _LENGTH.size
        if length == _NULL:
            values.append(None)
            continue
        values.append(row[at : at + length])
        at += length
    if at != len(row):
        raise ValueError("its columns are of other lengths")
    return values


def header_of(content: bytes, entry: FileEntry) -> tuple[SegmentHeader, bytes]:
    """The header and its text, held against the entry. Raises BadArchive."""
    begin = len(MAGIC) + _LENGTH.size
    if not content.startswith(MAGIC) or len(content) < begin + HASH_BYTES:
        raise BadArchive("bad_segment", "It is no segment", file=entry.name, byte=0)
    end = begin + _LENGTH.unpack_from(content, len(MAGIC))[0]
    if end > min(begin + HEADER_BYTES_MAX, len(content) - HASH_BYTES):
        message = f"Its header has {end - begin} bytes"
        raise BadArchive("bad_header", message, file=entry.name, byte=len(MAGIC))
    head = content[begin:end]
    try:
        header = SegmentHeader.parse(head)
        _check_header(header, entry)
    except ValueError as error:
        message = f"That is no header: {error}"
        raise BadArchive("bad_header", message, file=entry.name, byte=begin) from error
    return header, head


def _check_header(header: SegmentHeader, entry: FileEntry) -> None:
    listed = (entry.content, entry.epoch, entry.first, entry.last, entry.count, entry.root)
    told = (header.content, header.epoch, header.first, header.last, header.count, header.root)
    if (*told, header.plain_bytes) != (*listed, entry.plain_bytes):
        raise ValueError("it tells otherwise than the manifest")
    columns = header.columns
    wanted = COLUMNS.get(header.content, columns)
    named = all(isinstance(name, str) and _COLUMN.fullmatch(name) for name in columns)
    if columns != wanted or not named or not 0 < len(columns) <= COLUMNS_MAX:
        raise ValueError("its columns are others")
    encrypted = (header.cipher, header.key_id, header.frame_sha256)
    if header.codec != CODEC or not (encrypted == (None, None, None) or _names_a_key(header)):
        raise ValueError("it is compressed or encrypted in another way")


def _names_a_key(header: SegmentHeader) -> bool:
    digits = ((header.key_id, KEY_ID_DIGITS), (header.frame_sha256, 2 * HASH_BYTES))
    return header.cipher == CIPHER and all(
        isinstance(text, str) and len(text) == length and _DIGITS.fullmatch(text) is not None
        for text, length in digits
    )
