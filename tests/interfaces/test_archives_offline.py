"""Archives where they are kept, verified without a service, a database or a store."""

import random
from pathlib import Path
from uuid import UUID

import pytest

from application.archives.faults import BadArchive
from infrastructure.seals.signer import Ed25519Signer
from infrastructure.security import signing_key
from infrastructure.settings import Settings
from interfaces.bootstrap.archive_jobs.verify import members_of
from interfaces.bootstrap.archives_offline import OfflineFinding, stores_at, verify_offline
from interfaces.bootstrap.kept_stores import NothingKept, StoreUnclear
from tests.archive_forge import Forge
from tests.faults.hostile_case import a_victim


@pytest.fixture
def forge(tmp_path: Path, rng: random.Random) -> Forge:
    return a_victim(tmp_path / "repository", rng)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "machine")


def verified(
    settings: Settings, forge: Forge, archive_id: UUID | None = None, level: int = 3
) -> OfflineFinding:
    return verify_offline(settings, str(forge.folder), archive_id, level, lambda *_: None)


def test_an_empty_machine_verifies_the_newest_archive(settings: Settings, forge: Forge) -> None:
    found = verified(settings, forge)

    assert found.file == forge.taken[-1]
    assert found.store.store_id == forge.store_id
    assert not found.store.trusted
    assert members_of(found.verified) == {
        "level": 3,
        "events": 260,
        "files": found.verified.files,
        "bytes": found.verified.size,
        "root": forge.tree.root.hex(),
        "reason": None,
    }
    assert not settings.data_dir.exists()


def test_an_archive_is_named_by_its_id(settings: Settings, forge: Forge) -> None:
    wanted = forge.taken[0].manifest.archive_id

    assert verified(settings, forge, wanted).file == forge.taken[0]
    with pytest.raises(BadArchive) as refused:
        verified(settings, forge, UUID(int=1))

    assert refused.value.fault == "manifest_missing"


def test_a_machine_with_a_key_trusts_that_one(settings: Settings, forge: Forge) -> None:
    settings.data_dir.mkdir()
    signing_key.load_or_make(settings.data_dir / "seal-key.pem")

    with pytest.raises(BadArchive) as refused:
        verified(settings, forge)

    assert refused.value.fault == "untrusted_key"


def test_of_several_stores_an_archive_has_to_be_named(
    settings: Settings, forge: Forge, rng: random.Random
) -> None:
    other = Forge(forge.folder, rng)
    other.write(50)
    other.take("full")

    with pytest.raises(StoreUnclear, match="There are archives of 2 stores") as refused:
        verified(settings, forge)

    assert len(stores_at(settings, str(forge.folder))) == 2
    assert verified(settings, forge, other.taken[0].manifest.archive_id).verified.events == 50
    told = {store["store_id"]: store for store in refused.value.stores}
    assert told[str(other.store_id)]["archives"] == 1
    assert told[str(other.store_id)]["position"] == other.taken[0].manifest.last
    named = verify_offline(
        settings, str(forge.folder), None, 3, lambda *_: None, store_id=other.store_id
    )
    assert named.store.store_id == other.store_id


def test_beside_a_foreign_store_the_newest_is_that_of_this_machine(
    settings: Settings, forge: Forge, rng: random.Random
) -> None:
    settings.data_dir.mkdir()
    signer = Ed25519Signer(signing_key.load_or_make(settings.data_dir / "seal-key.pem"))
    ours = Forge(forge.folder, rng, signer=signer)
    ours.write(50)
    ours.take("full")

    found = verified(settings, forge)

    assert (found.store.store_id, found.store.trusted) == (ours.store_id, True)


def test_where_nothing_is_kept_there_is_no_archive(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NothingKept, match="nothing does not exist"):
        verify_offline(settings, str(tmp_path / "nothing"), None, 0, lambda *_: None)
