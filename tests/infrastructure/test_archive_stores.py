"""What every repository promises, on a folder and on a real S3 server alike."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from application.archives.faults import BadArchive
from application.archives.format import LATEST, segment_name
from application.archives.ports import FileMissing, Repository
from infrastructure.archives.folder import FolderRepository
from tests.s3_server import S3Server, s3_server

STORE, OTHER = UUID(int=7), UUID(int=8)
MIB = 2**20
KEY = f"keys/{'0a' * 16}.age"
MANIFEST_FILE = f"0000000001-{9:020}-20261123T120000Z-full-{UUID(int=1)}.json"


def segment(number: int) -> str:
    return segment_name("events", 1, number, number, f"{number:064x}"[::-1])


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def opened(
    request: pytest.FixtureRequest, server: S3Server, tmp_path: Path
) -> Callable[[UUID], Repository]:
    """Opens the same place for any store."""
    if request.param == "folder":
        return lambda store_id: FolderRepository(tmp_path / "backups", store_id)
    bucket = server.bucket()
    return lambda store_id: server.repository(store_id, bucket=bucket)


@pytest.fixture
def repository(opened: Callable[[UUID], Repository]) -> Repository:
    return opened(STORE)


@pytest.mark.parametrize("name", [segment(1), f"manifests/{MANIFEST_FILE}", KEY])
@pytest.mark.parametrize("content", [b"", b"\0\xff", bytes(5 * MIB)], ids=len)
def test_what_was_put_is_there(repository: Repository, name: str, content: bytes) -> None:
    assert repository.put_if_absent(name, content)

    assert repository.get(name, bytes_max=len(content)) == content


def test_the_beginning_of_a_file_is_had_without_the_rest(repository: Repository) -> None:
    repository.put_if_absent(segment(1), b"headbody")
    repository.put_if_absent(segment(2), b"")

    assert repository.beginning(segment(1), bytes_max=4) == b"head"
    assert repository.beginning(segment(1), bytes_max=100) == b"headbody"
    assert repository.beginning(segment(2), bytes_max=4) == b""
    with pytest.raises(FileMissing):
        repository.beginning(segment(3), bytes_max=4)


def test_what_is_there_stays_as_it_is(repository: Repository) -> None:
    repository.put_if_absent(segment(1), b"first")

    assert not repository.put_if_absent(segment(1), b"second")

    assert repository.get(segment(1), bytes_max=100) == b"first"


def test_of_many_that_put_one_name_at_once_one_wins(
    opened: Callable[[UUID], Repository],
) -> None:
    wins: list[bytes] = []
    begin = threading.Barrier(8)

    def put(content: bytes) -> None:
        repository = opened(STORE)
        begin.wait()
        if repository.put_if_absent(segment(1), content):
            wins.append(content)

    writers = [threading.Thread(target=put, args=[bytes([n]) * MIB]) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [opened(STORE).get(segment(1), bytes_max=MIB)] == wins


def test_a_file_is_replaced_as_a_whole(repository: Repository) -> None:
    repository.replace(LATEST, b"the first, and a longer one")

    repository.replace(LATEST, b"the second")

    assert repository.get(LATEST, bytes_max=100) == b"the second"


def test_a_file_that_is_not_there_is_missing(repository: Repository) -> None:
    with pytest.raises(FileMissing):
        repository.get(segment(1), bytes_max=100)

    repository.put_if_absent(segment(1), b"")
    with pytest.raises(FileMissing):
        repository.get(segment(2), bytes_max=100)


@pytest.mark.parametrize("size", [11, 3 * MIB])
def test_more_than_was_asked_for_is_never_read(repository: Repository, size: int) -> None:
    repository.put_if_absent(segment(1), bytes(size))

    with pytest.raises(BadArchive) as refused:
        repository.get(segment(1), bytes_max=size - 1)

    assert (refused.value.fault, refused.value.file) == ("file_too_large", segment(1))


def test_files_are_listed_by_name_with_size_and_time(repository: Repository, rng: Random) -> None:
    began = datetime.now(UTC)
    numbers = rng.sample(range(1, 10**6), 20)
    for number in numbers:
        repository.put_if_absent(segment(number), bytes(number % 100))
    repository.put_if_absent(KEY, b"key")

    listed = list(repository.listed("segments"))

    assert [kept.name for kept in listed] == [segment(number) for number in sorted(numbers)]
    assert [kept.size for kept in listed] == [number % 100 for number in sorted(numbers)]
    assert all(began - timedelta(seconds=2) <= kept.kept_at <= datetime.now(UTC) for kept in listed)
    assert [kept.name for kept in repository.listed("keys")] == [KEY]


def test_nothing_is_listed_where_nothing_was_kept(repository: Repository) -> None:
    folders = ("segments", "manifests", "keys", "expired")

    assert {folder: list(repository.listed(folder)) for folder in folders} == {
        folder: [] for folder in folders
    }


def test_what_was_deleted_is_gone_and_may_come_again(repository: Repository) -> None:
    repository.put_if_absent(segment(1), b"first")
    repository.put_if_absent(segment(2), b"another")

    repository.delete(segment(1))
    repository.delete(segment(1))

    assert [kept.name for kept in repository.listed("segments")] == [segment(2)]
    assert repository.put_if_absent(segment(1), b"second")
    assert repository.get(segment(1), bytes_max=100) == b"second"


def test_deleting_where_nothing_was_kept_is_nothing(repository: Repository) -> None:
    repository.delete(segment(1))


def test_files_may_go_while_they_are_listed(repository: Repository) -> None:
    for number in range(1, 6):
        repository.put_if_absent(segment(number), b"")

    for kept in repository.listed("segments"):
        repository.delete(kept.name)

    assert list(repository.listed("segments")) == []


def test_stores_beside_one_another_are_apart(opened: Callable[[UUID], Repository]) -> None:
    opened(STORE).put_if_absent(segment(1), b"mine")

    assert list(opened(OTHER).listed("segments")) == []
    assert opened(OTHER).put_if_absent(segment(1), b"yours")
    assert opened(STORE).get(segment(1), bytes_max=100) == b"mine"


HOSTILE_NAMES = [
    "",
    ".",
    "..",
    "/",
    "segments",
    "segments/",
    "manifests/",
    "latest",
    "LATEST/",
    "/LATEST",
    "LATEST\n",
    "LATEST\0",
    "../LATEST",
    "segments/../LATEST",
    "/etc/passwd",
    "../../../etc/passwd",
    f"/{segment(1)}",
    f"./{segment(1)}",
    f"../{segment(1)}",
    f"{segment(1)}/",
    f"{segment(1)}\n",
    f"{segment(1)}\0",
    f"{segment(1)}.part",
    segment(1).replace("/", "//"),
    segment(1).replace("/", "\\"),
    segment(1).replace("/", "/../segments/"),
    segment(1).replace("events", "secrets"),
    segment(1).replace("events", "EVENTS"),
    segment(1).replace("segments", "keys"),
    segment(1).replace("0", "٠"),  # noqa: RUF001 - a digit all the same, to some
    segment(1)[:-1],
    MANIFEST_FILE,
    f"segments/{MANIFEST_FILE}",
    f"expired/{MANIFEST_FILE}/x",
    f"expired/{segment(1).removeprefix('segments/')}",
    "expired/LATEST",
    "manifests/LATEST",
    "keys/../../x.age",
    f"keys/{'0A' * 16}.age",
    f"keys/{'0a' * 17}.age",
    ".0123456789abcdef.part",
    "segments/.0123456789abcdef.part",
    "%2e%2e/LATEST",
    "C:\\LATEST",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_name_that_is_not_ours_reaches_nothing(repository: Repository, name: str) -> None:
    repository.replace(LATEST, b"ours")

    with pytest.raises(ValueError, match="no name of a file"):
        repository.get(name, bytes_max=100)
    with pytest.raises(ValueError, match="no name of a file"):
        repository.put_if_absent(name, b"")
    with pytest.raises(ValueError, match="no name of a file"):
        repository.replace(name, b"")
    with pytest.raises(ValueError, match="no name of a file"):
        repository.delete(name)

    assert repository.get(LATEST, bytes_max=100) == b"ours"


@pytest.mark.parametrize("folder", ["", ".", "..", "/", "segments/..", "others", "LATEST"])
def test_no_other_folder_is_listed(repository: Repository, folder: str) -> None:
    with pytest.raises(ValueError, match="no folder"):
        list(repository.listed(folder))


def test_a_random_walk_leaves_what_a_dictionary_would(repository: Repository, rng: Random) -> None:
    expected: dict[str, bytes] = {}
    for _ in range(150):
        name, content = segment(rng.randrange(1, 8)), rng.randbytes(rng.randrange(2_000))
        match rng.randrange(4):
            case 0:
                assert repository.put_if_absent(name, content) == (name not in expected)
                expected.setdefault(name, content)
            case 1:
                repository.replace(name, content)
                expected[name] = content
            case 2:
                repository.delete(name)
                expected.pop(name, None)
            case _:
                listed = {kept.name: kept.size for kept in repository.listed("segments")}
                assert listed == {name: len(content) for name, content in expected.items()}

    for name, content in expected.items():
        assert repository.get(name, bytes_max=2_000) == content
