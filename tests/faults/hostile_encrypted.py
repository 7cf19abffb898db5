"""Encrypted archives that lie."""

import struct
from dataclasses import replace
from hashlib import sha256
from uuid import UUID

from application.archives.format import (
    key_name,
)
from infrastructure.archives.encryption import DataKey, encrypt
from infrastructure.archives.segment import MAGIC, Written
from tests.archive_forge import Forge
from tests.faults.hostile_case import encrypted_case, path_of
from tests.faults.hostile_segments import (
    as_file,
    full,
    parts_of,
    with_body,
    with_first,
    with_members,
)


def encrypted_with(one: Written, key: DataKey, forge: Forge) -> Written:
    """By another key than the header says."""
    assert forge.key is not None
    header, frame = parts_of(one)
    digest = sha256(frame).hexdigest()
    key_id = forge.key.key_id
    other = replace(header, cipher="aes-256-gcm", key_id=key_id, frame_sha256=digest)
    text = other.encode()
    body = encrypt(frame, key, text)
    return as_file(one.entry, MAGIC + struct.pack(">I", len(text)) + text + body)


def in_clear(forge: Forge) -> list[Written]:
    key, forge.key = forge.key, None
    segments = forge.segments()
    forge.key = key
    return segments


@encrypted_case("a_segment_is_encrypted_with_another_key", "wrong_key")
def _another_key(forge: Forge) -> UUID:
    first, *others = in_clear(forge)
    return full(forge, [encrypted_with(first, DataKey.make(), forge), *others])


@encrypted_case("a_bit_of_the_ciphertext_is_flipped", "wrong_key")
def _flipped(forge: Forge) -> UUID:
    def lie(one: Written) -> Written:
        body = bytearray(parts_of(one)[1])
        body[forge.rng.randrange(len(body))] ^= 1 << forge.rng.randrange(8)
        return with_body(one, bytes(body))

    return with_first(forge, lie)


@encrypted_case("the_ciphertext_is_cut", "wrong_key")
def _cut(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_body(one, parts_of(one)[1][:-1]))


@encrypted_case("the_ciphertext_is_empty", "wrong_key")
def _empty(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_body(one, b""))


@encrypted_case("the_ciphertext_is_that_of_another_segment", "wrong_key")
def _moved(forge: Forge) -> UUID:
    first, second, *others = forge.segments()
    return full(forge, [with_body(first, parts_of(second)[1]), second, *others])


@encrypted_case("the_header_was_changed_under_the_ciphertext", "wrong_key")
def _changed(forge: Forge) -> UUID:
    return with_first(forge, lambda one: with_members(one, frame_sha256="00" * 32))


@encrypted_case("the_data_key_is_gone", "file_missing")
def _gone(forge: Forge) -> None:
    assert forge.key is not None
    path_of(forge, key_name(forge.key.key_id)).unlink()


@encrypted_case("nobody_here_has_an_identity", "key_missing")
def _nobody(forge: Forge) -> None:
    forge.keys = type(forge.keys)(forge.repository, None)
