"""`muster agent run` as a process: a program, and somebody's own worker, as agents."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interfaces.muster import Muster
from tests.interfaces.service import Service

OWN_WORKER = """
from musterroll import Worker

worker = Worker(name="doubler")

@worker.task("double")
def double(task):
    return 2 * task.input
"""


@pytest.fixture
def muster(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Muster:
    return Muster(service, monkeypatch, capsys)


@contextmanager
def running(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`muster agent run ...` in a folder, stopped in the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "interfaces.cli.main", "agent", "run", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    ) as agent:
        try:
            yield agent
        finally:
            if agent.poll() is None:
                agent.send_signal(signal.SIGINT)
            # Before its pipe is closed, or its last words would have nowhere to go.
            agent.wait(60)


def test_any_program_can_be_an_agent(muster: Muster, tmp_path: Path) -> None:
    kind = ("--kind", "command", "--name", "copier", "--task", "copy", "--slots", "2")
    with running(tmp_path, *kind, "--", "cat", "-u") as agent:
        said = muster.done("task", "submit", "copy", "--input", '{"a": 1}', "--wait")

    assert said.json == {"a": 1}
    assert agent.returncode == 0
    [row] = muster.done("agent", "list", "--json").rows
    assert (row["name"], row["slots"], row["completed"]) == ("copier", 2, 1)


def test_a_worker_of_ones_own_is_found_in_the_working_folder(
    muster: Muster, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(OWN_WORKER)
    with running(tmp_path, "mine:worker") as agent:
        said = muster.done("task", "submit", "double", "--input", "21", "--wait")

    assert said.json == 42
    assert agent.returncode == 0


def test_an_agent_that_may_not_sign_in_says_so_in_one_line(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN_WORKER)
    with running(tmp_path, "mine:worker", "--password", "wrong", "--username", "admin") as agent:
        assert agent.stderr is not None
        complaint = agent.stderr.read()

    assert agent.returncode == 4
    assert complaint.splitlines()[-1].startswith("muster: ")
    assert "Traceback" not in complaint
