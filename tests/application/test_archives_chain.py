"""The archives of a repository: which there are, and what each is made of."""

import random
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from application.archives import chain as chains
from application.archives.chain import Catalogue
from application.archives.faults import BadArchive
from tests.archive_forge import Forge
from tests.faults.hostile_case import overwrite


@pytest.fixture
def forge(tmp_path: Path, rng: random.Random) -> Forge:
    forge = Forge(tmp_path / "repository", rng)
    for kind in ("full", "incremental", "incremental", "full", "incremental"):
        forge.write_sealed(130)
        forge.take(kind)
    return forge


def test_all_archives_are_listed_and_the_newest_is_last(forge: Forge) -> None:
    catalogue = forge.catalogue()

    assert catalogue.manifests() == forge.taken
    assert catalogue.newest() == forge.taken[-1]
    assert catalogue.broken == {}


def test_an_archive_that_does_not_read_stands_in_nobodys_way(forge: Forge) -> None:
    overwrite(forge, forge.taken[1].name, b"nothing")
    overwrite(forge, forge.taken[4].name, b"nothing")
    catalogue = forge.catalogue()

    found = catalogue.manifests()

    assert found == [forge.taken[0], *forge.taken[2:4]]
    assert {name: fault.fault for name, fault in catalogue.broken.items()} == {
        forge.taken[1].name: "bad_manifest",
        forge.taken[4].name: "bad_manifest",
    }
    assert catalogue.newest() == forge.taken[3]


def test_an_archive_is_found_by_its_id(forge: Forge) -> None:
    wanted = forge.taken[2].manifest.archive_id

    assert forge.catalogue().one(wanted) == forge.taken[2]
    with pytest.raises(BadArchive) as refused:
        forge.catalogue().one(UUID(int=1))

    assert refused.value.fault == "manifest_missing"


def test_one_that_the_log_does_not_mean_is_rolled_back(forge: Forge) -> None:
    file = forge.taken[2]

    assert forge.catalogue().one(file.manifest.archive_id, sha256=file.sha256) == file
    with pytest.raises(BadArchive) as refused:
        forge.catalogue().one(file.manifest.archive_id, sha256="00" * 32)

    assert refused.value.fault == "rolled_back"


def test_a_chain_goes_back_to_the_archive_that_stands_alone(forge: Forge) -> None:
    catalogue = forge.catalogue()

    chain = [catalogue.chain(file).manifests for file in forge.taken]

    taken = tuple(forge.taken)
    assert chain == [taken[:1], taken[:2], taken[:3], taken[3:4], taken[3:]]


def test_history_is_that_of_all_and_tables_are_those_of_the_newest(forge: Forge) -> None:
    chain = forge.catalogue().chain(forge.taken[2])

    events, keys = chain.files("events"), chain.files("seal_keys")

    assert sum(file.count for file in events) == forge.taken[2].manifest.size
    assert [file.first for file in events] == sorted(file.first for file in events)
    assert keys == forge.taken[2].manifest.files_of("seal_keys")


def test_manifests_beyond_what_is_kept_in_memory_are_read_again(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "KEPT_BYTES_MAX", 1)
    catalogue = forge.catalogue()

    manifests = [file.manifest for file in catalogue.manifests()]

    assert [manifest.archive_id for manifest in manifests] == [
        file.manifest.archive_id for file in forge.taken
    ]


def test_a_manifest_that_changes_while_it_is_used_is_noticed(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "KEPT_BYTES_MAX", 1)
    files = forge.catalogue().manifests()

    other = replace(files[0].manifest, release="9.9.9")
    assert files[1].manifest.type == "incremental"
    overwrite(forge, files[0].name, other.encode(forge.signer))
    with pytest.raises(BadArchive) as refused:
        _ = files[0].manifest

    assert refused.value.fault == "rolled_back"


def test_there_is_an_end_to_how_many_are_looked_at(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "MANIFESTS_MAX", 4)

    with pytest.raises(BadArchive):
        forge.catalogue().manifests()


def test_there_is_an_end_to_how_many_an_archive_continues(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "CHAIN_MAX", 2)

    with pytest.raises(BadArchive) as refused:
        forge.catalogue().chain(forge.taken[2])

    assert refused.value.fault == "broken_chain"


def test_an_empty_repository_has_no_newest_archive(tmp_path: Path, rng: random.Random) -> None:
    catalogue: Catalogue = Forge(tmp_path / "other", rng).catalogue()

    assert catalogue.manifests() == []
    assert catalogue.newest() is None
