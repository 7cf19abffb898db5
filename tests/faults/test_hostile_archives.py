"""Archives that somebody damaged, forged or made to do harm: each is refused by its name."""

import random
import sys
from pathlib import Path

import pytest

from infrastructure.archives.encryption import DataKey
from tests.faults.damaged_archives import run
from tests.faults.hostile_archives import CASES, ENCRYPTED, Case, a_victim, refusal_of


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_hostile_archive_is_refused_by_name(
    case: Case, tmp_path: Path, rng: random.Random
) -> None:
    forge = a_victim(tmp_path / "repository", rng)
    modules = set(sys.modules)

    archive_id = case.do(forge)

    assert refusal_of(forge, archive_id, case.level) in case.faults
    assert not {"os:system", "idlelib"} & (set(sys.modules) - modules)
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


@pytest.mark.parametrize("case", ENCRYPTED.values(), ids=ENCRYPTED.keys())
def test_a_hostile_encrypted_archive_is_refused_by_name(
    case: Case, tmp_path: Path, rng: random.Random
) -> None:
    forge = a_victim(tmp_path / "repository", rng, key=DataKey(rng.randbytes(32)))

    archive_id = case.do(forge)

    assert refusal_of(forge, archive_id, case.level) in case.faults


def test_what_nobody_touched_is_in_order(tmp_path: Path, rng: random.Random) -> None:
    for key in (None, DataKey(rng.randbytes(32))):
        forge = a_victim(tmp_path / str(key is None), rng, key=key)

        refusals = [refusal_of(forge, None, level) for level in range(4)]

        assert refusals == [None] * 4


def test_there_are_very_many_of_them() -> None:
    assert len(CASES) + len(ENCRYPTED) >= 60


def test_a_damaged_archive_is_never_taken_for_a_whole_one(
    tmp_path: Path, rng: random.Random
) -> None:
    done, undetected = run(rng, tmp_path / "damaged", every=97)

    assert undetected == []
    assert done.total() > 2_000
