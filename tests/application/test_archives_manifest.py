"""Manifests: what was signed is what is read, to the byte, and nothing else is."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from application.archives.faults import BadArchive
from application.archives.format import is_name, time_from, time_text
from application.archives.manifest import Manifest
from infrastructure.seals.signer import signed
from tests.archive_forge import Forge
from tests.given import NOON


@pytest.fixture
def forge(tmp_path: Path, rng: random.Random) -> Forge:
    forge = Forge(tmp_path / "repository", rng)
    forge.write_sealed(250)
    forge.take("full")
    return forge


def test_what_was_encoded_is_parsed(forge: Forge) -> None:
    manifest = forge.taken[0].manifest

    content = manifest.encode(forge.signer)
    parsed = Manifest.parse(content, manifest.file_name, signed, {forge.signer.key_id})

    assert parsed == manifest
    assert parsed.encode(forge.signer) == content
    assert parsed.root == forge.tree.root
    assert parsed.tree == forge.tree


def test_who_trusts_nobody_in_particular_still_looks_at_the_signature(forge: Forge) -> None:
    manifest = forge.taken[0].manifest
    content = manifest.encode(forge.signer)
    forged = content[:-5] + (b"0" if content[-5:-4] != b"0" else b"1") + content[-4:]

    assert Manifest.parse(content, manifest.file_name, signed, None) == manifest
    with pytest.raises(BadArchive) as refused:
        Manifest.parse(forged, manifest.file_name, signed, None)

    assert refused.value.fault == "bad_signature"


def test_a_fault_names_the_byte_where_it_was_noticed(forge: Forge) -> None:
    manifest = forge.taken[0].manifest
    content = manifest.encode(forge.signer)
    at = content.index(b'"signature"') + len(b'"signature":"')

    with pytest.raises(BadArchive) as refused:
        Manifest.parse(content[:at] + b"G" + content[at + 1 :], manifest.file_name, signed, None)

    assert (refused.value.fault, refused.value.byte) == ("bad_manifest", at)
    assert refused.value.file == manifest.file_name


def test_an_archive_of_nothing_is_one(tmp_path: Path, rng: random.Random) -> None:
    forge = Forge(tmp_path / "empty", rng)

    forge.take("full")

    manifest = forge.taken[0].manifest
    assert (manifest.size, manifest.last, manifest.peaks) == (0, 0, ())
    assert forge.verify(level=3).events == 0


def test_nobody_can_make_a_manifest_that_nobody_could_read(forge: Forge) -> None:
    manifest = forge.taken[0].manifest

    for changes in (
        {"type": "incremental"},
        {"size": manifest.size + 1},
        {"last": manifest.last + 1},
        {"issued": 0},
        {"files": manifest.files[::-1]},
        {"peaks": manifest.peaks[1:]},
    ):
        with pytest.raises(ValueError, match=r"\w"):
            replace(manifest, **changes)


def test_times_are_told_to_the_microsecond_and_in_utc() -> None:
    assert time_text(NOON) == "2026-11-23T12:00:00.000000Z"
    assert time_from(time_text(NOON)) == NOON


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "../x",
        "segments/",
        "segments/../LATEST",
        "LATEST\n",
        "keys/x.age",
        "manifests/a.json",
    ],
)
def test_no_other_file_has_a_place_in_a_repository(name: str) -> None:
    assert not is_name(name)


def test_every_file_of_an_archive_has_one(forge: Forge) -> None:
    names = [forge.taken[0].name, *(file.name for file in forge.taken[0].manifest.files)]

    assert all(is_name(name) for name in [*names, "LATEST", f"keys/{'0' * 32}.age"])
