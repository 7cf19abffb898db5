"""`muster up --restore-from` on an empty machine: what is said of a place that holds nothing, or
more than one store, is read by somebody who has just lost everything else."""

import random
from pathlib import Path
from uuid import UUID

import pytest

from interfaces.cli.main import run
from tests.archive_forge import Forge
from tests.faults.hostile_case import a_victim
from tests.interfaces.muster import Said

STORE = UUID(int=7)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that is not there yet; relative places are below the folder of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "machine"


def said_of(machine: Path, capsys: pytest.CaptureFixture[str], place: str, *flags: str) -> Said:
    words = ["up", "--port", "0", "--data-dir", str(machine), "--restore-from", place, *flags]
    code = run(words)
    out, err = capsys.readouterr()
    return Said(code, out, err)


@pytest.mark.parametrize(
    ("place", "code", "words"),
    [
        ("", 2, "--restore-from wants a folder, file:///folder or s3://bucket/prefix"),
        (" ", 2, "--restore-from wants a folder"),
        ("ftp://example.org/backups", 2, "neither a folder, nor file:///folder"),
        ("http://127.0.0.1:9/backups", 2, "neither a folder, nor file:///folder"),
        ("~nobody-of-this-name/backups", 2, "neither a folder, nor file:///folder"),
        ("s3:/bucket/prefix", 2, "nor s3://bucket/prefix"),
        ("s3://", 2, "nor s3://bucket/prefix"),
        ("s3://Bucket/..", 2, "nor s3://bucket/prefix"),
        ("file://host/folder", 2, "nor file:///folder"),
        ("missing", 5, "missing does not exist"),
        ("missing/deeper", 1, "missing/deeper: No such file or directory"),
        ("plain-file", 1, "plain-file: Not a directory"),
        ("empty", 5, "empty is empty"),
        ("others", 5, "others holds 'a', 'b', 'c' and 1 more, and no folder"),
        ("data", 5, "data is a data folder; its archives are in "),
        (f"data/backups/{STORE}", 5, "is of a single store; name the folder above it"),
        (f"data/backups/{STORE}/manifests", 5, "is of a single store; name the folder above it"),
    ],
)
def test_a_place_without_archives_is_told_with_what_lies_there(
    machine: Path,
    capsys: pytest.CaptureFixture[str],
    place: str,
    code: int,
    words: str,
) -> None:
    here = machine.parent
    (here / "plain-file").touch()
    (here / "data" / "backups" / str(STORE) / "manifests").mkdir(parents=True)
    for name in ("empty", "others/a", "others/b", "others/c", "others/d"):
        (here / name).mkdir(parents=True)

    said = said_of(machine, capsys, place)

    assert (said.code, said.out) == (code, "")
    assert said.err.count("\n") == 1, said.err
    assert words in said.err
    assert not machine.exists()


@pytest.mark.parametrize("flag", ["--store-id", "--archive"])
def test_what_is_no_id_is_refused_as_wrong_usage(
    machine: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    said = said_of(machine, capsys, "empty", flag, "newest")

    assert (said.code, said.err) == (2, f"muster: {flag} is no id: 'newest'.\n")


def test_stores_are_listed_with_the_words_that_choose_one(
    machine: Path, capsys: pytest.CaptureFixture[str], rng: random.Random
) -> None:
    one = a_victim(machine.parent / "repository", rng)
    other = Forge(one.folder, rng)
    other.write(50)
    other.take("full")

    said = said_of(machine, capsys, str(one.folder))
    unknown = said_of(machine, capsys, str(one.folder), "--store-id", str(STORE))

    *listed, last = said.err.splitlines()
    last_position = other.taken[0].manifest.last
    assert (said.code, unknown.code) == (2, 2)
    assert "of 2 stores" in last
    assert str(one.folder) in last
    assert {line.split()[1] for line in listed} == {str(one.store_id), str(other.store_id)}
    [line] = [line for line in listed if str(other.store_id) in line]
    assert line.startswith(f"  --store-id {other.store_id}  1 backup of ")
    assert f"the newest up to position {last_position:,}" in line
    assert f"no archives of {STORE}" in unknown.err
    assert not machine.exists()
