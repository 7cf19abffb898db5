"""Whatever an archive holds, reading it takes at most 256 MiB, its process and all."""

import json
import random
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from application.archives.format import PLAIN_BYTES_MAX, SEGMENT_ROWS_MAX, segment_name
from infrastructure.archives.versions import AGGREGATES_MAX
from tests.archive_forge import Forge, row_of
from tests.faults.hostile_archives import CASES, a_victim
from tests.faults.hostile_manifests import members_of, sign_members
from tests.faults.hostile_segments import full

MEBIBYTES_MAX = 256
HUNGRY = [
    "a_gibibyte_of_zeros_would_come_out",
    "a_gibibyte_of_zeros_would_come_out_of_a_frame_of_no_size",
    "more_comes_out_than_the_frame_says",
    "a_frame_wants_a_huge_window",
    "a_segment_is_a_hundred_mebibytes",
    "the_manifest_is_too_large",
    "the_manifest_is_five_million_lists",
    "the_manifest_is_a_list_of_lists",
    "it_lists_too_many_files",
    "it_lists_a_million_files",
    "a_file_becomes_a_tebibyte",
    "a_number_has_400_digits",
    "a_state_holds_two_million_lists",
    "a_state_is_a_hundred_thousand_lists_deep",
]


def read(forge: Forge, archive_id: UUID | None, level: int = 2) -> tuple[str | None, float]:
    """The fault, and how many MiB it took to find it."""
    wanted = archive_id or UUID(forge.taken[-1].name[-41:-5])
    words = [forge.folder, forge.store_id, wanted, forge.signer.key_id, level]
    command = [sys.executable, "-m", "tests.faults.archive_reader", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    return told["fault"], told["mebibytes"]


@pytest.mark.parametrize("name", HUNGRY)
def test_a_hostile_archive_takes_little_memory(
    name: str, tmp_path: Path, rng: random.Random
) -> None:
    forge = a_victim(tmp_path / "repository", rng)
    archive_id = CASES[name].do(forge)

    fault, mebibytes = read(forge, archive_id)

    assert fault in CASES[name].faults
    assert mebibytes <= MEBIBYTES_MAX


def test_the_largest_segments_that_there_may_be_take_little_memory(
    tmp_path: Path, rng: random.Random
) -> None:
    forge = a_victim(tmp_path / "repository", rng)
    row = row_of([rng.randbytes(PLAIN_BYTES_MAX // 3)])
    small = row_of([b""])
    draft = forge.draft("accounts", 0, forge.events[-1].position, columns=("name",))
    rows = [small] * (SEGMENT_ROWS_MAX - 2) + [row] * 2
    large = [forge.segment(draft, [*rows[n:], *rows[:n]]) for n in range(5)]

    fault, mebibytes = read(forge, full(forge, [*forge.segments(), *large]))

    assert fault is None
    assert mebibytes <= MEBIBYTES_MAX


def test_the_largest_manifest_that_there_may_be_takes_little_memory(
    tmp_path: Path, rng: random.Random
) -> None:
    forge = a_victim(tmp_path / "repository", rng)
    files, others = members_of(forge)["files"], []
    for number in range(38_000):
        digest = f"{number:064x}"
        name = segment_name("accounts", 1, 0, forge.events[-1].position, digest)
        others.append(
            files[-1] | {"content": "accounts", "first": 0, "name": name, "sha256": digest}
        )
    sign_members(forge, files=sorted([*others, *files], key=lambda file: file["content"]))

    fault, mebibytes = read(forge, None)

    assert fault in ("file_missing", "bad_manifest")
    assert mebibytes <= MEBIBYTES_MAX


def test_very_many_aggregates_take_little_memory() -> None:
    program = f"""
import os
import infrastructure.archives.verifying
from tests.faults.archive_reader import mebibytes
from infrastructure.archives.versions import Versions
with Versions(from_start=True) as versions:
    for _ in range({AGGREGATES_MAX} // 10_000 + 5):
        ids = [os.urandom(16) for _ in range(10_000)]
        versions.add("file", dict.fromkeys(ids, 1), dict.fromkeys(ids, 1_000_000_000_000))
    versions.finish()
print(mebibytes())
"""

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert float(done.stdout) <= MEBIBYTES_MAX
