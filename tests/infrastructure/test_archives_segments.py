"""Segments: written and read back, in clear and encrypted, to the byte."""

import random
import re
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pyrage  # type: ignore[import-untyped]
import pytest

from application.archives.faults import BadArchive
from application.archives.format import PLAIN_BYTES_MAX, SEGMENT_ROWS_MAX, key_name
from domain.merkle import root_of
from infrastructure.archives.encryption import BadIdentity, DataKey, DataKeys, OneKey
from infrastructure.archives.segment import Written, check_digest, read_segment, write_segment
from tests.archive_forge import Forge, row_of

README = Path(__file__).parents[2] / "infrastructure" / "archives" / "README.md"


@pytest.fixture
def forge(tmp_path: Path, rng: random.Random) -> Forge:
    forge = Forge(tmp_path / "repository", rng)
    forge.write(150)
    return forge


def first_of(forge: Forge) -> Written:
    return forge.events_segment(forge.events[:100])


def test_what_was_written_is_read_back(forge: Forge) -> None:
    written = first_of(forge)

    segment = read_segment(written.content, written.entry, forge.keys, store_id=forge.store_id)

    assert [bytes(row) for row in segment.rows] == [event.row for event in forge.events[:100]]
    assert segment.leaves == written.leaves == [sha256(row).digest() for row in segment.rows]
    assert segment.header.root == written.entry.root == root_of(segment.leaves)
    assert written.entry.first == forge.events[0].position
    assert written.entry.last == forge.events[99].position


def test_the_same_rows_are_the_same_file(forge: Forge) -> None:
    forge.key = DataKey.make()

    encrypted = [first_of(forge), first_of(forge)]

    assert encrypted[0] == encrypted[1]
    assert encrypted[0].entry.name.endswith(f"-{encrypted[0].entry.sha256[:16]}.seg")


def test_another_data_key_hides_the_same_rows_otherwise(forge: Forge) -> None:
    plain = first_of(forge)

    forge.key = DataKey.make()
    encrypted = first_of(forge)

    assert b"task.submitted" not in encrypted.content
    assert encrypted.entry.root == plain.entry.root
    with pytest.raises(BadArchive, match="cannot be decrypted") as refused:
        read_segment(
            encrypted.content,
            encrypted.entry,
            LyingKeys(DataKey.make()),
            store_id=forge.store_id,
        )
    assert refused.value.fault == "wrong_key"


class LyingKeys(OneKey):
    """Opens every key as its own."""

    def get(self, key_id: str) -> DataKey:
        assert key_id
        assert self.key is not None
        return self.key


@pytest.mark.parametrize("size", [1, 2**20 - 16, 2**20 - 15, 2**20, 2**20 + 1, 5 * 2**20])
def test_rows_of_every_size_come_back_encrypted(forge: Forge, size: int) -> None:
    forge.key = DataKey.make()
    rows = [row_of([forge.rng.randbytes(size)]), row_of([None])]
    draft = replace(forge.draft("accounts", 0, 7), columns=("name",))

    written = forge.segment(draft, rows)

    read = read_segment(written.content, written.entry, forge.keys, store_id=forge.store_id)
    assert [bytes(row) for row in read.rows] == rows


def test_more_than_a_segment_holds_is_not_written(forge: Forge) -> None:
    draft = forge.draft("requests", 0, 1)

    for rows in ([], [b"\0\0"] * (SEGMENT_ROWS_MAX + 1), [bytes(PLAIN_BYTES_MAX)]):
        with pytest.raises(ValueError, match="are no segment"):
            write_segment(draft, rows, None)


def test_a_file_of_another_digest_is_not_even_opened(forge: Forge) -> None:
    written = first_of(forge)

    for content in (
        written.content[:-1],
        written.content + b"\0",
        b"",
        bytes(len(written.content)),
    ):
        with pytest.raises(BadArchive, match="not the file") as refused:
            check_digest(content, written.entry)
        assert refused.value.file == written.entry.name


def test_a_fault_in_a_row_names_the_file_and_the_byte(forge: Forge) -> None:
    bad = forge.events[:100]
    bad[3] = replace(bad[3], topic=b"os:system")
    forge.events[:100] = bad
    forge.tree.size = 0

    with pytest.raises(BadArchive) as refused:
        forge_verification(forge)

    rows = [event.row for event in bad[:3]]
    assert refused.value.fault == "unknown_topic"
    assert refused.value.byte == sum(4 + len(row) for row in rows)
    assert refused.value.file == first_of(forge).entry.name
    assert "at byte" in refused.value.message


def forge_verification(forge: Forge) -> None:
    other = Forge(forge.folder, forge.rng, signer=forge.signer)
    other.store_id, other.repository = forge.store_id, forge.repository
    for event in forge.events:
        other.add(event)
    other.take("full")
    other.verify()


# Keys, wrapped for people.


def test_who_was_named_a_recipient_can_read(forge: Forge, tmp_path: Path) -> None:
    identity, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    key = forge.keys.make([str(identity.to_public()), str(other.to_public())])
    file = tmp_path / "identity"

    for one in (identity, other):
        file.write_text(f"# created: today\n{one}\n")
        assert DataKeys(forge.repository, file).get(key.key_id) == key


def test_who_writes_need_not_be_able_to_read(forge: Forge, tmp_path: Path) -> None:
    stranger, file = pyrage.x25519.Identity.generate(), tmp_path / "identity"
    file.write_text(str(stranger))
    key = forge.keys.make([str(pyrage.x25519.Identity.generate().to_public())])

    assert forge.keys.get(key.key_id) == key
    for keys in (DataKeys(forge.repository, None), DataKeys(forge.repository, file)):
        with pytest.raises(BadArchive) as refused:
            keys.get(key.key_id)
        assert refused.value.fault == "key_missing"


def test_a_data_key_that_was_exchanged_is_found(forge: Forge, tmp_path: Path) -> None:
    identity, file = pyrage.x25519.Identity.generate(), tmp_path / "identity"
    file.write_text(str(identity))
    keys = DataKeys(forge.repository, file)
    one, other = (forge.keys.make([str(identity.to_public())]) for _ in range(2))
    wrapped = forge.repository.get(key_name(other.key_id), bytes_max=10_000)

    forge.repository.replace(key_name(one.key_id), wrapped)
    with pytest.raises(BadArchive) as exchanged:
        keys.get(one.key_id)
    forge.repository.replace(key_name(one.key_id), wrapped[:-1])
    with pytest.raises(BadArchive) as cut:
        keys.get(one.key_id)

    assert (exchanged.value.fault, cut.value.fault) == ("wrong_key", "file_damaged")


@pytest.mark.parametrize("text", ["", "# nothing\n", "age1xyz", "AGE-SECRET-KEY-1", "\0\xff"])
def test_a_file_without_identities_is_named_and_not_shown(
    forge: Forge, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "identity"
    file.write_text(text)
    key = forge.keys.make([str(pyrage.x25519.Identity.generate().to_public())])

    with pytest.raises(BadIdentity) as refused:
        DataKeys(forge.repository, file).get(key.key_id)

    assert str(file) in refused.value.message
    assert not text.strip() or text not in refused.value.message


def test_a_recipient_that_is_none_is_refused(forge: Forge) -> None:
    for recipients in ([], ["age1nobody"]):
        with pytest.raises(BadIdentity):
            forge.keys.make(recipients)


# What a stranger does with the README alone.


def test_the_readme_reads_a_segment_without_us(forge: Forge, tmp_path: Path) -> None:
    script = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[0]
    (tmp_path / "read.py").write_text(script)
    forge.write_sealed(130)
    forge.take("full")
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "identity").write_text(str(identity))
    forge.key = forge.keys.make([str(identity.to_public())])
    forge.write_sealed(130)
    forge.take("incremental")

    outputs = [run_alone(tmp_path, forge, file.name) for file in forge.taken]

    for file, output in zip(forge.taken, outputs, strict=True):
        manifest = file.manifest
        assert output.splitlines()[-1] == f"{manifest.size - manifest.base} events, as signed"
    assert outputs[0].splitlines()[0].startswith(f"{forge.events[0].position} task.submitted")


def run_alone(folder: Path, forge: Forge, manifest: str) -> str:
    """Without our code on its path."""
    place = folder / "repository" / str(forge.store_id)
    command = [sys.executable, "-I", "read.py", str(place), manifest, "identity"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_store_is_known_by_its_files(forge: Forge) -> None:
    written = first_of(forge)

    with pytest.raises(BadArchive) as refused:
        read_segment(written.content, written.entry, forge.keys, store_id=UUID(int=1))

    assert refused.value.fault == "foreign_archive"
