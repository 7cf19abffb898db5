"""Whatever a folder holds, the demo finds the files that it can read."""

import os
from pathlib import Path

import pytest

from interfaces.cli.demo.files import READ_BYTES_MAX, NotText, choose_files, read_text


def test_text_is_read_in_whatever_encoding_it_is(tmp_path: Path) -> None:
    written = {
        "utf8.txt": "grün".encode(),
        "marked.txt": "grün".encode("utf-8-sig"),
        "latin.txt": "grün".encode("latin-1") + b" und noch mehr Text",
        "wide.txt": "grün".encode("utf-16"),
    }
    for name, content in written.items():
        (tmp_path / name).write_bytes(content)

    assert {read_text(tmp_path / name).split(" ")[0] for name in written} == {"grün"}


def test_only_the_beginning_of_a_huge_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "huge.txt").write_text("ü" * READ_BYTES_MAX)

    assert read_text(tmp_path / "huge.txt") == "ü" * (READ_BYTES_MAX // 2)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty"), (b" \n ", "empty"), (b"\x7fELF\0\0", "binary")]
)
def test_what_holds_no_text_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(NotText, match=reason):
        read_text(tmp_path / "file")


def test_a_pipe_a_folder_and_a_broken_link_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    for name in ("pipe", "folder", "link", "missing"):
        with pytest.raises(NotText):
            read_text(tmp_path / name)


def test_files_are_chosen_evenly_over_the_folder(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number:03}.txt").write_text("words")

    selection = choose_files(tmp_path, 10)

    assert [path.name for path in selection.files] == [f"{n:03}.txt" for n in range(0, 100, 10)]
    assert selection.seen == 100


def test_unusable_files_are_replaced_by_usable_ones_and_counted(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.txt").write_bytes(b"words" if number % 2 else b"\0\0")

    selection = choose_files(tmp_path, 5)

    assert [path.name for path in selection.files] == ["1.txt", "3.txt", "5.txt", "7.txt", "9.txt"]
    assert selection.unusable >= 2


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)

    assert len(choose_files(tmp_path, 10).files) == 1


def test_hidden_and_installed_folders_are_left_out(tmp_path: Path) -> None:
    for folder in (".git", "site-packages", "__pycache__", "mine"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("x = 1")

    assert [path.parent.name for path in choose_files(tmp_path, 10).files] == ["mine"]


def test_python_alone_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "b.txt").write_text("words")

    assert [path.name for path in choose_files(tmp_path, 10, only_python=True).files] == ["a.py"]


def test_one_file_is_a_selection_too(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")

    assert choose_files(tmp_path / "a.txt", 10).files == (tmp_path / "a.txt",)


def test_an_empty_folder_gives_nothing(tmp_path: Path) -> None:
    assert choose_files(tmp_path, 10).files == ()
