"""A folder of archives, and what a file system can do to it."""

import os
import resource
import socket
import stat
from pathlib import Path
from uuid import UUID

import pytest

from application.archives.faults import RepositoryFull, RepositoryUnavailable
from application.archives.format import LATEST, segment_name
from application.archives.ports import FileMissing
from infrastructure.archives.folder import LEFTOVER_SECONDS, FolderRepository

STORE = UUID(int=7)
SEGMENT = segment_name("events", 1, 1, 9, "0a" * 32)
OTHER = segment_name("events", 1, 10, 19, "0b" * 32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def repository(root: Path) -> FolderRepository:
    return FolderRepository(root, STORE)


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_nobody_else_may_read_it(repository: FolderRepository, root: Path) -> None:
    repository.put_if_absent(SEGMENT, b"rows")
    repository.replace(LATEST, b"name")

    modes = {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()}

    assert modes == {0o600}
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_its_url_names_the_place(tmp_path: Path) -> None:
    repository = FolderRepository(tmp_path / "with a space", STORE)

    assert repository.url == f"file://{tmp_path}/with%20a%20space/{STORE}"


def test_reading_makes_nothing(repository: FolderRepository, root: Path) -> None:
    assert list(repository.listed("manifests")) == []
    repository.delete(SEGMENT)
    with pytest.raises(FileMissing):
        repository.get(LATEST, bytes_max=100)

    assert not root.exists()


def test_where_nothing_is_mounted_nothing_is_made(tmp_path: Path) -> None:
    repository = FolderRepository(tmp_path / "mount" / "backups", STORE)

    with pytest.raises(RepositoryUnavailable, match="No such file"):
        repository.put_if_absent(SEGMENT, b"rows")
    with pytest.raises(RepositoryUnavailable, match="mount is not there"):
        list(repository.listed("manifests"))
    with pytest.raises(RepositoryUnavailable, match="mount is not there"):
        repository.get(LATEST, bytes_max=100)
    with pytest.raises(RepositoryUnavailable, match="mount is not there"):
        repository.delete(SEGMENT)

    assert list(tmp_path.iterdir()) == []


def test_what_was_there_has_to_stay(repository: FolderRepository, root: Path) -> None:
    repository.put_if_absent(SEGMENT, b"rows")
    root.rename(root.with_name("elsewhere"))

    with pytest.raises(RepositoryUnavailable, match="is not there"):
        list(repository.listed("segments"))
    with pytest.raises(RepositoryUnavailable, match="is not there"):
        repository.get(SEGMENT, bytes_max=100)
    with pytest.raises(RepositoryUnavailable):
        repository.put_if_absent(OTHER, b"rows")
    with pytest.raises(RepositoryUnavailable):
        repository.put_if_absent(f"keys/{'0a' * 16}.age", b"a first file of its folder")

    root.mkdir()
    with pytest.raises(RepositoryUnavailable, match=f"{STORE} is not there"):
        list(repository.listed("segments"))
    with pytest.raises(RepositoryUnavailable):
        repository.replace(LATEST, b"name")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("place", [".", f"{STORE}", f"{STORE}/segments"])
def test_a_file_where_a_folder_should_be_is_an_error(
    repository: FolderRepository, root: Path, place: str
) -> None:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_bytes(b"")

    with pytest.raises(RepositoryUnavailable, match="Not a directory"):
        repository.put_if_absent(SEGMENT, b"rows")
    with pytest.raises(RepositoryUnavailable, match="Not a directory"):
        list(repository.listed("segments"))


@pytest.mark.parametrize("place", [f"{STORE}", f"{STORE}/segments"])
def test_a_link_in_place_of_a_folder_is_not_followed(
    repository: FolderRepository, root: Path, tmp_path: Path, place: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "segments").mkdir(parents=True)
    (outside / SEGMENT).write_bytes(b"a secret")
    (outside / SEGMENT.removeprefix("segments/")).write_bytes(b"a secret")
    (root / place).parent.mkdir(parents=True)
    (root / place).symlink_to(outside, target_is_directory=True)
    before = everything_in(outside)

    with pytest.raises(RepositoryUnavailable):
        repository.get(SEGMENT, bytes_max=100)
    with pytest.raises(RepositoryUnavailable):
        list(repository.listed("segments"))
    with pytest.raises(RepositoryUnavailable):
        repository.put_if_absent(OTHER, b"rows")
    with pytest.raises(RepositoryUnavailable):
        repository.delete(SEGMENT)

    assert everything_in(outside) == before


def test_a_link_in_place_of_a_file_is_no_file(
    repository: FolderRepository, root: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"a secret")
    repository.put_if_absent(OTHER, b"rows")
    link = root / str(STORE) / SEGMENT
    link.symlink_to(secret)

    with pytest.raises(FileMissing):
        repository.get(SEGMENT, bytes_max=100)
    assert [kept.name for kept in repository.listed("segments")] == [OTHER]
    assert not repository.put_if_absent(SEGMENT, b"rows")
    repository.delete(SEGMENT)

    assert secret.read_bytes() == b"a secret"
    assert not link.is_symlink()


def test_replacing_a_link_leaves_what_it_leads_to(
    repository: FolderRepository, root: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"as it was")
    repository.put_if_absent(OTHER, b"rows")
    (root / str(STORE) / LATEST).symlink_to(target)

    repository.replace(LATEST, b"name")

    assert (target.read_bytes(), repository.get(LATEST, bytes_max=9)) == (b"as it was", b"name")


def test_a_pipe_a_socket_and_a_folder_are_no_files_and_hold_up_nobody(
    repository: FolderRepository, root: Path
) -> None:
    repository.put_if_absent(OTHER, b"rows")
    place = root / str(STORE) / SEGMENT

    os.mkfifo(place)
    with pytest.raises(FileMissing):
        repository.get(SEGMENT, bytes_max=100)
    assert [kept.name for kept in repository.listed("segments")] == [OTHER]
    place.unlink()

    place.mkdir()
    with pytest.raises(FileMissing):
        repository.get(SEGMENT, bytes_max=100)
    assert [kept.name for kept in repository.listed("segments")] == [OTHER]
    place.rmdir()

    with socket.socket(socket.AF_UNIX) as listening:
        descriptor = os.open(place.parent, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{descriptor}/{place.name}")
        os.close(descriptor)
        with pytest.raises(FileMissing):
            repository.get(SEGMENT, bytes_max=100)
        assert [kept.name for kept in repository.listed("segments")] == [OTHER]


def test_strangers_files_are_not_listed(repository: FolderRepository, root: Path) -> None:
    repository.put_if_absent(SEGMENT, b"rows")
    for name in ("README", ".DS_Store", ".0123456789abcdef.part", "events.seg", "x" * 200):
        (root / str(STORE) / "segments" / name).write_bytes(b"")
    (root / str(STORE) / "segments" / os.fsdecode(b"\xff\xfe")).write_bytes(b"")

    assert [kept.name for kept in repository.listed("segments")] == [SEGMENT]


def test_what_a_killed_writer_left_goes_when_it_is_old(
    root: Path, repository: FolderRepository
) -> None:
    repository.put_if_absent(SEGMENT, b"rows")
    folder = root / str(STORE) / "segments"
    old, young = folder / f".{'0a' * 8}.part", folder / f".{'0b' * 8}.part"
    stranger = folder / ".notes.part"
    for path in (old, young, stranger):
        path.write_bytes(b"half")
    for path in (old, stranger):
        hour_ago = path.stat().st_mtime - LEFTOVER_SECONDS - 1
        os.utime(path, (hour_ago, hour_ago))

    FolderRepository(root, STORE).put_if_absent(OTHER, b"rows")

    assert (old.exists(), young.exists(), stranger.exists()) == (False, True, True)


def test_a_full_disk_leaves_nothing_half_written(repository: FolderRepository, root: Path) -> None:
    repository.put_if_absent(SEGMENT, b"rows")
    repository.replace(LATEST, b"name")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(RepositoryFull, match="is full"):
            repository.put_if_absent(OTHER, bytes(2 * 2**20))
        with pytest.raises(RepositoryFull, match="is full"):
            repository.replace(LATEST, bytes(2 * 2**20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert everything_in(root / str(STORE)) == [LATEST, SEGMENT]
    assert repository.get(LATEST, bytes_max=100) == b"name"
    assert repository.put_if_absent(OTHER, bytes(2 * 2**20))


def test_what_cannot_be_written_to_says_so(root: Path) -> None:
    """`/proc` takes no file from anybody, not even from root."""
    repository = FolderRepository(Path("/proc"), STORE)

    with pytest.raises(RepositoryUnavailable, match=r"^file:///proc/.*: No such file"):
        repository.put_if_absent(SEGMENT, b"rows")
