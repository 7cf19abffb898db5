"""Archives whose files were changed by somebody without the key."""

from dataclasses import replace
from uuid import UUID

from application.archives.format import (
    MANIFEST_BYTES_MAX,
)
from tests.archive_forge import Forge
from tests.faults.hostile_case import a_segment, content_of, hostile, newest, overwrite, path_of
from tests.faults.tampering import a_signer


@hostile("bad_signature", "untrusted_key", "bad_manifest", level=0)
def a_bit_of_the_manifest_is_flipped(forge: Forge) -> None:
    content = bytearray(content_of(forge, newest(forge)))
    content[forge.rng.randrange(len(content))] ^= 1 << forge.rng.randrange(8)
    overwrite(forge, newest(forge), bytes(content))


@hostile("bad_manifest", "bad_signature", level=0)
def the_manifest_is_cut(forge: Forge) -> None:
    content = content_of(forge, newest(forge))
    overwrite(forge, newest(forge), content[: forge.rng.randrange(len(content))])


@hostile("bad_manifest", level=0)
def the_manifest_is_empty(forge: Forge) -> None:
    overwrite(forge, newest(forge), b"")


@hostile("bad_manifest", level=0)
def the_manifest_has_a_byte_more(forge: Forge) -> None:
    overwrite(forge, newest(forge), content_of(forge, newest(forge)) + b"\n")


@hostile("manifest_too_large", level=0)
def the_manifest_is_too_large(forge: Forge) -> None:
    overwrite(forge, newest(forge), bytes(MANIFEST_BYTES_MAX + 1))


@hostile("manifest_missing", level=0)
def the_manifest_is_gone(forge: Forge) -> None:
    path_of(forge, newest(forge)).unlink()


@hostile("untrusted_key", level=0)
def a_stranger_signed_it_anew(forge: Forge) -> None:
    content = forge.taken[-1].manifest.encode(a_signer())
    overwrite(forge, newest(forge), content)


@hostile("untrusted_key", level=0)
def it_names_the_key_of_a_stranger(forge: Forge) -> None:
    ours, theirs = forge.signer.public_key.hex(), a_signer().public_key.hex()
    content = content_of(forge, newest(forge))
    overwrite(forge, newest(forge), content.replace(ours.encode(), theirs.encode()))


@hostile("bad_signature", level=0)
def a_stranger_signed_and_names_our_key(forge: Forge) -> None:
    stranger = a_signer()
    content = forge.taken[-1].manifest.encode(stranger)
    ours, theirs = forge.signer.public_key.hex(), stranger.public_key.hex()
    overwrite(forge, newest(forge), content.replace(theirs.encode(), ours.encode()))


@hostile("bad_signature", level=0)
def the_signature_is_that_of_the_one_before(forge: Forge) -> None:
    other, own = (content_of(forge, file.name) for file in forge.taken)
    overwrite(forge, newest(forge), own[:-131] + other[-131:])


@hostile("bad_manifest", level=0)
def the_signature_is_in_capitals(forge: Forge) -> None:
    content = content_of(forge, newest(forge))
    overwrite(forge, newest(forge), content[:-131] + content[-131:-3].upper() + content[-3:])


@hostile("bad_manifest", level=0)
def the_manifest_has_another_name(forge: Forge) -> UUID:
    other = UUID(int=7)
    name = newest(forge)[:-41] + f"{other}.json"
    overwrite(forge, name, content_of(forge, newest(forge)))
    return other


@hostile("bad_manifest", level=0)
def an_older_manifest_stands_in_its_place(forge: Forge) -> None:
    overwrite(forge, newest(forge), content_of(forge, forge.taken[0].name))


@hostile("bad_manifest", level=0)
def two_manifests_have_one_id(forge: Forge) -> None:
    first, last = forge.taken[0].name, newest(forge)
    overwrite(forge, first[:-41] + last[-41:], content_of(forge, last))


@hostile("broken_chain", level=0)
def what_it_continues_is_gone(forge: Forge) -> None:
    path_of(forge, forge.taken[0].name).unlink()


@hostile("broken_chain", level=0)
def what_it_continues_was_signed_anew(forge: Forge) -> None:
    other = replace(forge.taken[0].manifest, release="9.9.9")
    overwrite(forge, forge.taken[0].name, other.encode(forge.signer))


@hostile("file_damaged", level=1)
def a_bit_of_a_segment_is_flipped(forge: Forge) -> None:
    entry = a_segment(forge)
    content = bytearray(content_of(forge, entry.name))
    content[forge.rng.randrange(len(content))] ^= 1 << forge.rng.randrange(8)
    overwrite(forge, entry.name, bytes(content))


@hostile("file_damaged", level=0)
def a_segment_is_cut(forge: Forge) -> None:
    entry = a_segment(forge)
    overwrite(forge, entry.name, content_of(forge, entry.name)[:-1])


@hostile("file_damaged", level=0)
def a_segment_is_empty(forge: Forge) -> None:
    overwrite(forge, a_segment(forge).name, b"")


@hostile("file_too_large", level=0)
def a_segment_has_a_byte_more(forge: Forge) -> None:
    entry = a_segment(forge)
    overwrite(forge, entry.name, content_of(forge, entry.name) + b"\0")


@hostile("file_too_large", level=0)
def a_segment_is_a_hundred_mebibytes(forge: Forge) -> None:
    with path_of(forge, a_segment(forge).name).open("r+b") as file:
        file.truncate(100 * 2**20)


@hostile("file_missing", level=0)
def a_segment_is_gone(forge: Forge) -> None:
    path_of(forge, a_segment(forge).name).unlink()


@hostile("file_missing", level=0)
def a_segment_of_what_it_continues_is_gone(forge: Forge) -> None:
    path_of(forge, forge.taken[0].manifest.files_of("events")[0].name).unlink()


@hostile("file_damaged", "file_too_large", level=1)
def two_segments_are_swapped(forge: Forge) -> None:
    one, other = a_segment(forge, 0), a_segment(forge, 1)
    contents = content_of(forge, one.name), content_of(forge, other.name)
    overwrite(forge, one.name, contents[1])
    overwrite(forge, other.name, contents[0])


@hostile("file_damaged", level=1)
def a_segment_is_another_of_the_same_size(forge: Forge) -> None:
    entry = a_segment(forge)
    overwrite(forge, entry.name, forge.rng.randbytes(entry.size))
