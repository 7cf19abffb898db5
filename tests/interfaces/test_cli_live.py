"""`muster events tail --follow` and `muster task watch`, whatever comes in between."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from musterroll import Task, TaskFailed
from tests.interfaces.muster import Muster
from tests.interfaces.service import Service
from tests.system.service import ROOT, ServiceProcess

PATIENCE_SECONDS = 30


@pytest.fixture
def muster(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Muster:
    return Muster(service, monkeypatch, capsys)


def test_following_survives_a_restart_and_says_that_it_waits(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "interfaces.cli.main"]
    with ServiceProcess(tmp_path / "data") as service:

        def submit() -> str:
            done = subprocess.run(
                [*command, "task", "submit", "count"],
                env=service.environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            )
            return f"task/{done.stdout.strip()}"

        ids = [submit()]
        with subprocess.Popen(
            [*command, "events", "tail", "--follow", "--json"],
            env=service.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as following:
            assert following.stdout is not None
            assert following.stderr is not None
            told = [json.loads(following.stdout.readline())]
            service.kill()
            waits = following.stderr.readline()
            service.start()
            ids.append(submit())
            told.append(json.loads(following.stdout.readline()))
            following.send_signal(signal.SIGINT)
            back = following.stderr.readline()

    assert [event["subject"] for event in told] == ids
    assert waits.startswith("muster: no answer from http://")
    assert waits.endswith("waiting for it\n")
    assert back == "muster: the service answers again\n"
    assert following.returncode == 130


def listened_to(service: Service) -> None:
    """Return when somebody listens to output: it is kept for nobody who comes later."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not service.process.hub.listeners.tenants("output"):
        assert time.monotonic() < deadline, "nobody listens"
        time.sleep(0.01)


def test_a_task_is_watched_with_what_it_writes(muster: Muster, service: Service) -> None:
    def handler(task: Task) -> str:
        listened_to(service)
        task.output("thinking\x1b[31m\nhalf a ")
        task.output("line")
        return "done"

    task_id = muster.done("task", "submit", "count").out.strip()
    with muster.worker("count", handler):
        said = muster.done("task", "watch", task_id, "--output")

    lines = said.out.splitlines()
    assert [line for line in lines if not line.startswith("version ")] == [
        "thinking\ufffd[31m",
        "half a line",
    ]
    assert lines[0].startswith("version 1 ")
    assert "completed" in lines[-1]
    assert said.err == ""


def test_what_a_task_writes_is_json_for_programs(muster: Muster, service: Service) -> None:
    def handler(task: Task) -> None:
        listened_to(service)
        task.output("thinking\n")
        raise TaskFailed("no_such_file", "a.txt")

    task_id = muster.done("task", "submit", "count").out.strip()
    with muster.worker("count", handler):
        said = muster("task", "watch", task_id, "--output", "--json")

    assert said.code == 1
    [piece] = [row for row in said.rows if "text" in row]
    assert (piece["task_id"], piece["text"], piece["dropped"]) == (task_id, "thinking\n", 0)
    assert said.rows[-1]["status"] == "failed"
    assert said.rows[-1]["error"] == {"code": "no_such_file", "message": "a.txt"}
    assert said.err == "muster: the task failed: no_such_file: a.txt.\n"


@pytest.mark.parametrize("options", [[], ["--output"]])
def test_a_task_that_has_ended_or_never_was_is_not_waited_for(
    muster: Muster, options: list[str]
) -> None:
    task_id = muster.done("task", "submit", "count").out.strip()
    muster.done("task", "cancel", task_id)

    ended = muster("task", "watch", task_id, *options)
    missing = muster("task", "watch", "01234567-0123-7123-8123-0123456789ab", *options)
    nonsense = muster("task", "watch", "nonsense", *options)

    assert (ended.code, len(ended.out.splitlines())) == (1, 1)
    assert "cancelled" in ended.out
    assert (missing.code, nonsense.code) == (5, 5)
