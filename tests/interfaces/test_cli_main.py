"""The command line without a service: help, refusals, exit codes, and how fast it is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from interfaces.cli.main import run

HEAVY = {"httpx", "rich", "pydantic", "psycopg", "starlette", "structlog", "uvicorn", "musterroll"}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No service to be found, by whatever way."""
    for name in list(os.environ):
        if name.startswith("MUSTERROLL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MUSTERROLL_DATA_DIR", str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "typers_own"),
    [(["--help"], set()), (["task", "--help"], {"pydantic"}), (["demo", "-h"], {"pydantic"})],
)
def test_help_imports_nothing_heavy(arguments: list[str], typers_own: set[str]) -> None:
    program = (
        "import sys; from interfaces.cli.main import run; run(sys.argv[1:]);"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )

    assert "Usage: muster" in done.stdout
    assert set(done.stderr.split()) & HEAVY <= typers_own


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("up", "demo", "task", "agent", "events", "activity", "user", "client"):
        assert run([command, "--help"]) == 0
        assert "Usage: muster" in capsys.readouterr().out


def test_without_a_service_a_command_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["task", "list"]) == 3

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "muster up" in err


def test_a_service_that_does_not_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["task", "list", "--url", "http://127.0.0.1:9", "--token", "t"]) == 3

    assert "http://127.0.0.1:9" in capsys.readouterr().err


def test_missing_credentials_are_not_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["task", "list", "--url", "http://127.0.0.1:9"]) == 4

    assert "credentials" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tsak", "list"], "Did you mean 'task'?"),
        (["task", "submit"], "KIND"),
        (["task", "submit", "count", "--input", "hello"], "needs its quotes"),
        (["task", "submit", "count", "--input", "1", "--input-file", "x"], "not both"),
        (["task", "submit", "count", "--priority", "10"], "--priority"),
        (["task", "retry"], "--all-failed"),
        (["agent", "run"], "module:name"),
        (["agent", "run", "--kind", "command", "--name", "a", "--task", "b"], "PROGRAM"),
        (["agent", "run", "--kind", "http", "--name", "a", "--task", "b"], "--endpoint"),
        (["agent", "run", "--kind", "openai", "--name", "a", "--task", "b"], "--model"),
        (["agent", "run", "--kind", "http"], "--name and --task"),
        (["demo", "--model", "llama"], "--openai-url"),
        (["task", "list", "--url"], "--url needs a value"),
    ],
)
def test_a_wrong_command_line_is_told_what_is_wrong_with_it(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2

    assert said in capsys.readouterr().err


def test_a_worker_that_is_not_there_is_one_line_of_reason(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "reviewers.py").write_text("worker = 'not a worker'")

    assert run(["agent", "run", "no_such_module:worker"]) == 1
    assert run(["agent", "run", "reviewers:worker"]) == 1

    first, second = capsys.readouterr().err.splitlines()
    assert "no module 'no_such_module'" in first
    assert "no Worker called 'worker'" in second


def test_a_demo_on_nothing_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "picture.png").write_bytes(b"\x89PNG\0\0")

    assert run(["demo", str(empty)]) == 1
    assert run(["demo", str(tmp_path / "missing")]) == 1

    first, second = capsys.readouterr().err.splitlines()
    assert "no readable text files" in first
    assert "there is nothing at" in second


def test_what_went_wrong_is_shown_in_full_only_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTERROLL_DEBUG", "1")

    with pytest.raises(Exception, match="no service found"):
        run(["task", "list"])


def test_completion_for_the_shell_names_the_commands() -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "interfaces.cli.main"],
        env={
            **os.environ,
            "_MUSTER_COMPLETE": "complete_bash",
            "COMP_WORDS": "muster ta",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert completed.stdout.split() == ["task"]
