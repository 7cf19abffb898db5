"""Verification of archives, level by level, in however little memory and however many processes."""

import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from application.archives.faults import BadArchive
from application.archives.format import key_name
from infrastructure.archives.checking import Effort
from infrastructure.archives.encryption import DataKey, DataKeys
from infrastructure.archives.files import Files
from infrastructure.archives.replaying import Replaying
from infrastructure.archives.verifying import verify_archive
from infrastructure.archives.versions import Versions
from tests.archive_forge import LOOKING_HARD, Forge
from tests.faults.hostile_case import a_segment, content_of, overwrite, path_of
from tests.faults.hostile_rows import with_one


@pytest.fixture
def forge(tmp_path: Path, rng: random.Random) -> Forge:
    """A full archive, what was unsealed then sealed later, and two that continue it."""
    forge = Forge(tmp_path / "repository", rng)
    forge.write_sealed(500)
    forge.write(33)
    forge.take("full")
    forge.write(20)
    forge.seal()
    forge.write_sealed(100)
    forge.take("incremental")
    forge.write(300)
    forge.take("incremental")
    return forge


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_an_archive_is_verified_with_all_that_it_continues(forge: Forge, level: int) -> None:
    verified = forge.verify(level=level)

    assert (verified.level, verified.events, verified.reason) == (level, 953, None)
    assert verified.root == forge.tree.root
    assert verified.size == sum(
        path.stat().st_size for path in (path_of(forge, "segments")).iterdir()
    ) - sum(file.size for one in forge.taken[:2] for file in one.manifest.files_of("seal_keys"))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_increment_is_verified_alone_from_where_it_goes_on(forge: Forge, number: int) -> None:
    verified = forge.verify(forge.taken[number], whole=False)

    assert (verified.level, verified.events) == (2, [533, 120, 300][number])
    assert verified.root == forge.taken[number].manifest.root


def test_an_increment_alone_looks_at_its_own_files_only(forge: Forge) -> None:
    entry = forge.taken[0].manifest.files[0]
    overwrite(forge, entry.name, bytes(entry.size))

    forge.verify(whole=False)
    with pytest.raises(BadArchive) as refused:
        forge.verify()

    assert (refused.value.fault, refused.value.file) == ("file_damaged", entry.name)


def test_a_manifest_that_the_log_does_not_mean_is_refused(forge: Forge) -> None:
    forge.verify(sha256=forge.taken[-1].sha256)

    with pytest.raises(BadArchive) as refused:
        forge.verify(sha256=forge.taken[0].sha256)

    assert refused.value.fault == "rolled_back"


def test_more_processes_find_the_same(forge: Forge) -> None:
    alone, together = (forge.verify(effort=Effort(processes=n)) for n in (1, 2))

    assert alone == together


def test_more_processes_find_the_same_fault(forge: Forge) -> None:
    bad = with_one(forge, 150, topic=b"os:system")
    file = forge.catalogue().one(bad)
    faults = []
    for number in (1, 2):
        with pytest.raises(BadArchive) as refused:
            forge.verify(file, effort=Effort(processes=number))
        fault = refused.value
        faults.append((fault.fault, fault.file, fault.byte, fault.message))

    assert faults[0] == faults[1]
    assert faults[0][0] == "unknown_topic"


def test_processes_end_with_a_verification_that_found_a_fault(forge: Forge) -> None:
    entry = a_segment(forge)
    overwrite(forge, entry.name, content_of(forge, entry.name)[::-1])
    began = time.monotonic()

    with pytest.raises(BadArchive):
        forge.verify(effort=Effort(processes=2))

    assert time.monotonic() - began < 10


def test_progress_is_told_in_events(forge: Forge) -> None:
    told: list[tuple[str, int, int]] = []

    verify_archive(
        forge.repository,
        forge.catalogue(),
        forge.taken[-1],
        3,
        forge.keys,
        lambda *progress: told.append(progress),
    )

    verify = [one[1:] for one in told if one[0] == "verify"]
    assert verify == sorted(verify)
    assert verify[-1] == (953, 953)
    assert told[-1] == ("replay", 953, 953)


def test_what_nobody_here_can_open_is_verified_as_far_as_it_goes(forge: Forge) -> None:
    forge.key = DataKey.make()
    forge.repository.put_if_absent(key_name(forge.key.key_id), b"wrapped")
    forge.write(100)
    forge.take("incremental")

    with_key = forge.verify(level=3)
    without = forge.verify(level=3, keys=DataKeys(forge.repository, None))

    assert (with_key.level, with_key.reason) == (3, None)
    assert (without.level, without.reason) == (1, "key_missing")


def test_an_encrypted_archive_is_verified_by_more_processes(forge: Forge) -> None:
    forge.key = DataKey.make()
    forge.repository.put_if_absent(key_name(forge.key.key_id), b"wrapped")
    forge.write(100)
    forge.take("incremental")

    assert forge.verify(effort=Effort(processes=2)).level == 2


# Versions, of more aggregates than memory may hold.


def test_versions_are_looked_at_with_little_memory(forge: Forge) -> None:
    assert forge.verify(effort=LOOKING_HARD) == forge.verify()


@pytest.mark.parametrize("aggregates_max", [3, 1_000_000])
def test_a_gap_is_found_with_little_memory_too(
    aggregates_max: int, tmp_path: Path, rng: random.Random
) -> None:
    ids = [rng.randbytes(16) for _ in range(200)]
    with Versions(from_start=True, aggregates_max=aggregates_max, folder=tmp_path) as versions:
        versions.add("a", dict.fromkeys(ids, 1), dict.fromkeys(ids, 2))
        versions.add("b", dict.fromkeys(ids, 3), dict.fromkeys(ids, 3))
        with pytest.raises(BadArchive) as refused:  # noqa: PT012 - at which depends on the limit
            versions.add("c", {ids[7]: 5}, {ids[7]: 9})
            versions.finish()

    assert (refused.value.fault, refused.value.file) == ("versions_gap", "c")
    assert ids[7].hex() in refused.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("aggregates_max", [3, 1_000_000])
def test_an_increment_may_begin_with_any_version(aggregates_max: int, rng: random.Random) -> None:
    ids = [rng.randbytes(16) for _ in range(50)]

    with Versions(from_start=False, aggregates_max=aggregates_max) as versions:
        versions.add("a", dict.fromkeys(ids, 7), dict.fromkeys(ids, 8))
        versions.add("b", dict.fromkeys(ids, 9), dict.fromkeys(ids, 9))
        versions.finish()


# Folding, of more aggregates than memory may hold.


def test_aggregates_are_folded_in_as_many_passes_as_it_takes(forge: Forge) -> None:
    entries = forge.catalogue().chain(forge.taken[-1]).files("events")
    files = Files(forge.repository, forge.keys, forge.store_id)
    passes = []
    for limits in ({}, {"held_max": 40}, {"bytes_max": 20_000}):
        replaying = a_replaying(entries, files, limits)
        replaying.run()
        passes.append(replaying.passes)

    assert passes[0] == 1
    assert min(passes[1:]) > 3


def a_replaying(entries: Any, files: Files, limits: dict[str, int]) -> Replaying:
    told = SimpleNamespace(told=lambda _stage, _done, _total: None)
    return Replaying(entries, files.opened, told.told, **limits)
