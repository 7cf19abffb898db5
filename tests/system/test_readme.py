"""The README's worker is run as it stands there, and so are the commands beside it."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.service import ROOT, ServiceProcess

README = (ROOT / "README.md").read_text(encoding="utf-8")
SDK_README = (ROOT / "interfaces" / "sdk" / "README.md").read_text(encoding="utf-8")


def first_program(text: str) -> str:
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def commands(*, beginning: str) -> list[str]:
    lines = [line.strip() for line in README.splitlines()]
    return [line for line in lines if line.startswith(f".venv/bin/{beginning}")]


@pytest.mark.parametrize("readme", [README, SDK_README], ids=["README", "SDK README"])
def test_the_worker_of_the_readme_does_the_task_that_the_readme_submits(
    readme: str, tmp_path: Path
) -> None:
    (tmp_path / "counter.py").write_text(first_program(readme), encoding="utf-8")
    [submit] = commands(beginning="muster task submit")

    with ServiceProcess(tmp_path / "data") as service:
        worker = subprocess.Popen(
            [sys.executable, "counter.py"], cwd=tmp_path, env=service.environment
        )
        done = muster(service, submit.removeprefix(".venv/bin/muster "))
        listed = [muster(service, "agent list"), muster(service, "events tail")]
        worker.terminate()
        worker_code = worker.wait(60)

    assert '"words": 6' in done.stdout
    assert "counter" in listed[0].stdout
    assert "task.completed" in listed[1].stdout
    assert worker_code == 0


def test_the_backup_of_the_readme_is_taken_proved_restored_and_brought_back(
    tmp_path: Path,
) -> None:
    lines = [line.removeprefix(".venv/bin/muster ") for line in commands(beginning="muster backup")]

    with ServiceProcess(tmp_path / "data") as service:
        muster(service, "task submit count")
        said = [muster(service, line).stdout for line in lines]

    assert len(said) == 8
    assert "verified" in said[0]
    assert "Restored: epoch 2" in said[5]
    assert "Undone: epoch 3" in said[6]


def muster(service: ServiceProcess, line: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "interfaces.cli.main", *shlex.split(line)],
        env=service.environment,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
