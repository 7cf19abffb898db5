"""The whole demo, with its processes: what it reports, and that it leaves nothing behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

TASKS = 60
MODULES = (
    *("argparse", "ast", "base64", "bisect", "calendar", "codecs", "configparser", "copy"),
    *("csv", "dataclasses", "difflib", "enum", "fnmatch", "ftplib", "functools"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Some real files, and some that are none."""
    folder = tmp_path / "files"
    folder.mkdir()
    library = Path(sysconfig.get_path("stdlib"))
    for name in MODULES:
        shutil.copy(library / f"{name}.py", folder)
    shutil.copy(folder / "ast.py", folder / "twin.py")
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture
def own() -> Iterator[Path]:
    """Where the demo keeps its files. Its path is short, as a socket's path must be."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield Path(folder)


@contextmanager
def demo(folder: Path, own: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """A running demo."""
    words = [sys.executable, "-m", "interfaces.cli.main", "demo", str(folder)]
    with subprocess.Popen(
        [*words, "--tasks", str(TASKS), *flags],
        env={**os.environ, "TMPDIR": str(own)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def left_behind(own: Path) -> list[object]:
    """Files and processes that the demo should have taken with it."""
    found: list[object] = list(own.iterdir())
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(own):
                found.append(process)
    return found


def wait_for_work(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if " running" in line and " 0 running" not in line:
            return


def test_every_task_is_done_once_although_an_agent_dies(folder: Path, own: Path) -> None:
    with demo(folder, own, "--json") as process:
        out, err = process.communicate()

    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["check"]["exactly_once"]
    assert report["check"]["tasks"] == report["events"]["task.completed"] >= 40
    killed = [agent["agent"] for agent in report["agents"] if agent["killed"]]
    assert killed == ["librarian"]
    assert len(report["rescues"]) >= 2
    assert all(rescue["lost_by"] == "librarian" for rescue in report["rescues"])
    assert all(rescue["finished_by"] not in {None, "librarian"} for rescue in report["rescues"])
    assert ["ast.py", "twin.py"] in [group["files"] for group in report["found"]["look_alikes"]]
    assert sum(1 for agent in report["agents"] if agent["completed"] > 0) >= 4
    assert left_behind(own) == []


def test_a_demo_that_is_interrupted_leaves_nothing_behind(folder: Path, own: Path) -> None:
    with demo(folder, own) as process:
        wait_for_work(process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()

    assert process.returncode == 130
    assert err.count("\n") == 1
    assert left_behind(own) == []


def test_a_demo_whose_service_dies_says_so_and_leaves_nothing_behind(
    folder: Path, own: Path
) -> None:
    with demo(folder, own) as process:
        wait_for_work(process)
        [found] = own.glob("*/data/service.json")
        os.kill(json.loads(found.read_text())["pid"], signal.SIGKILL)
        _, err = process.communicate()

    assert process.returncode == 1
    assert err.startswith("muster: the service ended by signal 9")
    assert left_behind(own) == []


def test_what_a_killed_demo_leaves_is_removed_by_the_next(folder: Path, own: Path) -> None:
    with demo(folder, own) as process:
        wait_for_work(process)
        process.kill()
    orphans = [found for found in left_behind(own) if isinstance(found, psutil.Process)]
    _, alive = psutil.wait_procs(orphans, timeout=30)

    with demo(folder, own) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate()

    assert process.returncode == 130
    assert alive == []
    assert left_behind(own) == []
