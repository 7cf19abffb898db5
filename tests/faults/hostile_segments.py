"""Segments that lie, in archives that are signed by the key that everybody trusts."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
import zstandard

from application.archives.format import (
    segment_name,
)
from application.archives.manifest import FileEntry
from infrastructure.archives.segment import MAGIC, SegmentHeader, Written
from tests.archive_forge import Forge
from tests.faults.hostile_case import hostile


def full(forge: Forge, segments: Sequence[Written], **changes: Any) -> UUID:
    """A full archive of these segments, which everybody trusts."""
    manifest = forge.manifest("full", segments, **changes)
    return forge.keep(manifest).manifest.archive_id


def with_first(forge: Forge, lie: Callable[[Written], Written]) -> UUID:
    """A full archive, of which the first segment of events is another."""
    first, *others = forge.segments()
    return full(forge, [lie(first), *others])


def as_file(entry: FileEntry, before: bytes, *, ending: bytes | None = None) -> Written:
    """A segment of these bytes, listed as it is."""
    content = before + (sha256(before).digest() if ending is None else ending)
    digest = sha256(content).hexdigest()
    name = segment_name(entry.content, entry.epoch, entry.first, entry.last, digest)
    return Written(replace(entry, name=name, size=len(content), sha256=digest), content, ())


def parts_of(written: Written) -> tuple[SegmentHeader, bytes]:
    """Its header, and its body as it stands in the file."""
    begin = len(MAGIC) + 4
    length = struct.unpack_from(">I", written.content, len(MAGIC))[0]
    header = SegmentHeader.parse(written.content[begin : begin + length])
    return header, written.content[begin + length : -32]


def with_header(written: Written, text: bytes) -> Written:
    body = parts_of(written)[1]
    return as_file(written.entry, MAGIC + struct.pack(">I", len(text)) + text + body)


def with_members(written: Written, **changes: Any) -> Written:
    members = orjson.loads(parts_of(written)[0].encode()) | changes
    return with_header(written, orjson.dumps(members, option=orjson.OPT_SORT_KEYS))


def with_body(written: Written, body: bytes, **changes: Any) -> Written:
    """Its header tells of another body, but for what is changed."""
    header = replace(parts_of(written)[0], **changes)
    entry = replace(written.entry, **changes)
    text = header.encode()
    return as_file(entry, MAGIC + struct.pack(">I", len(text)) + text + body)


def compressed(plain: bytes, **options: Any) -> bytes:
    chosen = {"write_content_size": True, "write_checksum": True} | options
    return zstandard.ZstdCompressor(level=3, **chosen).compress(plain)


def plain_of(written: Written) -> bytes:
    return zstandard.ZstdDecompressor().decompress(parts_of(written)[1])


def with_plain(written: Written, plain: bytes) -> Written:
    return with_body(written, compressed(plain), plain_bytes=len(plain))


@hostile("bad_segment")
def a_segment_begins_otherwise(forge: Forge) -> UUID:
    return with_first(forge, lambda one: as_file(one.entry, b"MUSTERSEG2" + one.content[10:-32]))


@hostile("bad_segment")
def a_segment_ends_otherwise(forge: Forge) -> UUID:
    return with_first(forge, lambda one: as_file(one.entry, one.content[:-32], ending=bytes(32)))


@hostile("bad_segment")
def a_segment_is_its_own_digest_alone(forge: Forge) -> UUID:
    return with_first(forge, lambda one: as_file(one.entry, b""))


@hostile("bad_header")
def a_header_is_longer_than_its_file(forge: Forge) -> UUID:
    return with_first(
        forge, lambda one: as_file(one.entry, MAGIC + b"\xff" * 4 + one.content[15:-32])
    )


@hostile("bad_header")
def a_header_is_100_kibibytes(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_members(one, padding="x" * 100_000))


@hostile("bad_header")
def a_header_is_no_json(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_header(one, b"\x80\x04\x95cos\nsystem\n"))


@hostile("bad_header")
def a_header_is_a_list(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_header(one, b"[]"))


@hostile("bad_header")
def a_header_has_a_member_more(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_members(one, loader="os:system"))


@hostile("bad_header")
def a_header_has_spaces(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_header(one, parts_of(one)[0].encode() + b" "))


@hostile("bad_header")
def a_header_tells_another_count(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_members(one, count=1))


@hostile("bad_header")
def a_header_tells_a_huge_size(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_members(one, plain_bytes=2**62))


@hostile("bad_header")
def a_header_names_other_columns(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_members(one, columns=["position"]))


@hostile("bad_header")
def a_header_names_columns_with_sql(forge: Forge) -> UUID:
    *others, keys = forge.segments()
    sql = ["key_id", "public_key", 'x"; DROP TABLE events; --']
    return full(forge, [*others, with_members(keys, columns=sql)])


@hostile("bad_header")
def a_header_names_another_codec(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_members(one, codec="pickle"))


@hostile("bad_header")
def a_header_names_a_cipher_without_a_key(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_members(one, cipher="aes-256-gcm"))


@hostile("bad_header")
def a_header_names_a_weak_cipher(forge: Forge) -> UUID:
    weak = {"cipher": "xor", "key_id": "00" * 16, "frame_sha256": "00" * 32}
    return with_first(forge, lambda one: with_members(one, **weak))


@hostile("file_missing")
def a_header_names_a_key_that_leads_out(forge: Forge) -> UUID:
    out = {"cipher": "aes-256-gcm", "key_id": "0" * 32, "frame_sha256": "00" * 32}
    return with_first(forge, lambda one: with_members(one, **out))


@hostile("bad_header")
def a_key_is_a_path(forge: Forge) -> UUID:
    out = {"cipher": "aes-256-gcm", "key_id": "../../etc/passwd", "frame_sha256": "00" * 32}
    return with_first(forge, lambda one: with_members(one, **out))


@hostile("foreign_archive")
def a_segment_is_of_another_store(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_members(one, store_id=str(UUID(int=1))))


@hostile("bad_header")
def a_segment_is_of_another_epoch(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_members(one, epoch=2))


@hostile("bomb")
def a_gibibyte_of_zeros_would_come_out(forge: Forge) -> UUID:
    bomb = zstandard.ZstdCompressor(write_checksum=True).compressobj(size=2**30)
    frame = b"".join([bomb.compress(bytes(2**20)) for _ in range(1024)]) + bomb.flush()
    return with_first(forge, lambda one: with_body(one, frame))


@hostile("bomb")
def a_gibibyte_of_zeros_would_come_out_of_a_frame_of_no_size(forge: Forge) -> UUID:
    bomb = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    frame = b"".join([bomb.compress(bytes(2**20)) for _ in range(1024)]) + bomb.flush()
    return with_first(forge, lambda one: with_body(one, frame))


@hostile("bad_compression", "bomb")
def more_comes_out_than_the_frame_says(forge: Forge) -> UUID:
    def lie(one: Written) -> Written:
        frame = bytearray(compressed(bytes(2**20)))
        frame[5:9] = struct.pack("<I", one.entry.plain_bytes)
        return with_body(one, bytes(frame))

    return with_first(forge, lie)


@hostile("bomb", "bad_compression")
def a_frame_wants_a_huge_window(forge: Forge) -> UUID:
    def lie(one: Written) -> Written:
        # Magic, then a header of two bytes of size, no single segment and a window of 2 GiB.
        size = struct.pack("<H", one.entry.plain_bytes - 256)
        return with_body(one, b"\x28\xb5\x2f\xfd\x44" + bytes([21 << 3]) + size + bytes(9))

    return with_first(forge, lie)


@hostile("bad_compression")
def a_body_is_not_compressed(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_body(one, plain_of(one)))


@hostile("bad_compression")
def a_body_is_empty(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_body(one, b""))


@hostile("bad_compression")
def a_frame_is_cut(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_body(one, parts_of(one)[1][:-20]))


@hostile("bad_compression")
def a_frame_has_a_second_behind_it(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_body(one, parts_of(one)[1] + compressed(b"more")))


@hostile("bad_compression")
def a_frame_has_no_checksum(forge: Forge) -> UUID:
    return with_first(
        forge, lambda one: with_body(one, compressed(plain_of(one), write_checksum=False))
    )


@hostile("bad_compression")
def a_frame_holds_less_than_declared(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_body(one, compressed(plain_of(one)[:-1])))
