"""The list of erasures: every line whole, on disk, or none of it."""

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from application.erasure.errors import ErasureNotKept, ErasuresUnreadable
from application.erasure.ports import Erasure
from infrastructure.erasure_list import FileErasureList


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "erasures.ndjson"


def an_erasure() -> Erasure:
    return Erasure(
        subject_id=uuid4(), tenant="default", erased_at=datetime.now(UTC), actor="user/ada"
    )


@contextmanager
def full_disk(room_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_what_is_added_is_read_again_in_order(path: Path) -> None:
    first, second, third = an_erasure(), an_erasure(), an_erasure()

    FileErasureList(path).add([first, second])
    FileErasureList(path).add([third])

    assert FileErasureList(path).read() == [first, second, third]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_there_is_not_added_again(path: Path) -> None:
    listed, erasure = FileErasureList(path), an_erasure()
    listed.add([erasure])

    listed.add([erasure])

    assert listed.read() == [erasure]


def test_a_line_that_a_crash_cut_off_is_ignored_and_cut_away(path: Path) -> None:
    first, second = an_erasure(), an_erasure()
    FileErasureList(path).add([first])
    with path.open("ab") as file:
        file.write(b'{"subject_id":"018f')

    before = FileErasureList(path).read()
    FileErasureList(path).add([second])

    assert before == [first]
    assert FileErasureList(path).read() == [first, second]


def test_on_a_full_disk_nothing_is_added_and_the_rest_stays(path: Path) -> None:
    first, second = an_erasure(), an_erasure()
    listed = FileErasureList(path)
    listed.add([first])
    size = path.stat().st_size

    with full_disk(size + 10), pytest.raises(ErasureNotKept):
        listed.add([second])

    assert path.stat().st_size == size
    listed.add([second])
    assert FileErasureList(path).read() == [first, second]


@pytest.mark.parametrize("line", ["{}", "[]", "null", "x", "", '{"subject_id": 7}'])
def test_a_line_that_is_no_erasure_is_named(path: Path, line: str) -> None:
    FileErasureList(path).add([an_erasure()])
    with path.open("a") as file:
        file.write(f"{line}\n")

    with pytest.raises(ErasuresUnreadable, match="line 2"):
        FileErasureList(path).read()


def test_processes_that_add_at_once_lose_nothing(path: Path) -> None:
    each = [[an_erasure() for _ in range(20)] for _ in range(4)]

    def add(erasures: list[Erasure]) -> None:
        listed = FileErasureList(path)
        for erasure in erasures:
            listed.add([erasure])

    threads = [threading.Thread(target=add, args=(erasures,)) for erasures in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    wanted = {erasure.subject_id for erasures in each for erasure in erasures}
    assert {one.subject_id for one in FileErasureList(path).read()} == wanted
