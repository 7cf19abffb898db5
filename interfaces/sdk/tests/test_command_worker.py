"""The command worker with real programs."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from musterroll import Task, TaskFailed
from musterroll.workers import command_worker

WORDS = "import json, sys; print(json.dumps(len(json.load(sys.stdin)['text'].split())))"
# Tells its own pid and its child's, then both wait; only the child minds SIGTERM.
FAMILY = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1], "w") as told:
    told.write(f"{os.getpid()} {child.pid}\\n")
time.sleep(600)
"""
LEFTOVER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid)
"""


def handler(program: str, *arguments: str, **options: Any) -> Any:
    argv = [sys.executable, "-c", program, *arguments]
    return command_worker(name="w", kind="count", argv=argv, **options).handlers["count"]


def run(program: str, given: Any = None, **options: Any) -> Any:
    return asyncio.run(handler(program, **options)(Task(kind="count", input=given, id="t1")))


def failure(program: str, **options: Any) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        run(program, **options)
    return caught.value


def wait_for_end(pid: int) -> None:
    """Return when a process is gone, or a zombie that its new parent has yet to reap."""
    status = Path(f"/proc/{pid}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.005)


def wait_for_family(told: Path) -> list[int]:
    """The pids of FAMILY, once it has told them."""
    while not told.exists() or not told.read_text().endswith("\n"):
        time.sleep(0.005)
    return [int(pid) for pid in told.read_text().split()]


async def start_family(program: str, told: Path) -> tuple[asyncio.Task[Any], list[int]]:
    running = asyncio.create_task(handler(program, str(told))(Task(kind="count")))
    return running, await asyncio.to_thread(wait_for_family, told)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_program_reads_json_and_writes_json() -> None:
    assert run(WORDS, {"text": "to be or not to be"}) == 6


def test_a_program_that_says_nothing_answers_null() -> None:
    assert run("pass") is None


def test_a_program_need_not_read_its_input() -> None:
    assert run("print(1)", {"text": "x" * 200_000}) == 1


def test_a_program_knows_its_task_but_not_the_workers_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MUSTERROLL_CLIENT_SECRET", "s3cret")
    monkeypatch.setenv("MUSTERROLL_PASSWORD", "s3cret")
    program = "import json, os; print(json.dumps(dict(os.environ)))"

    found = run(program, env={"EXTRA": "1"})

    assert (found["MUSTERROLL_TASK_ID"], found["MUSTERROLL_TASK_ATTEMPT"]) == ("t1", "1")
    assert found["EXTRA"] == "1"
    assert "s3cret" not in found.values()


def test_no_shell_reads_the_arguments() -> None:
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    task = Task(kind="count")

    assert asyncio.run(handler(program, "$HOME; echo", "*")(task)) == ["$HOME; echo", "*"]


def test_a_status_other_than_0_fails_with_the_end_of_stderr() -> None:
    program = "import sys; sys.stderr.write('x' * 9000 + 'no such file'); sys.exit(3)"

    failed = failure(program)

    assert (failed.code, failed.retryable) == ("exit_status", True)
    assert "exited with status 3" in failed.message
    assert failed.message.endswith("no such file")
    assert len(failed.message) < 4_400


def test_a_program_that_a_signal_ended_says_which() -> None:
    failed = failure("import os; os.kill(os.getpid(), 9)")

    assert "was ended by signal 9" in failed.message


def test_output_that_is_not_json_fails_for_good() -> None:
    failed = failure("print('hello')")

    assert (failed.code, failed.retryable) == ("invalid_output", False)
    assert "hello" in failed.message


def test_a_program_that_never_stops_talking_is_ended() -> None:
    failed = failure("while True: print('x' * 1000)")

    assert failed.code == "output_too_large"


def test_a_program_that_is_not_there_fails_for_good() -> None:
    worker = command_worker(name="w", kind="count", argv=["/no/such/program"])

    with pytest.raises(TaskFailed, match="/no/such/program") as caught:
        asyncio.run(worker.handlers["count"](Task(kind="count")))

    assert (caught.value.code, caught.value.retryable) == ("command_not_started", False)


def test_a_command_names_a_program() -> None:
    with pytest.raises(ValueError, match="names no program"):
        command_worker(name="w", kind="count", argv=[])


def test_cancellation_ends_the_program_and_its_children(tmp_path: Path) -> None:
    told = tmp_path / "told"

    async def scenario() -> list[int]:
        running, pids = await start_family(FAMILY, told)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        for pid in pids:
            await asyncio.wait_for(asyncio.to_thread(wait_for_end, pid), 5)
        return pids

    assert len(asyncio.run(scenario())) == 2


def test_a_program_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterroll.workers._process.TERMINATION_SECONDS", 0.05)
    told = tmp_path / "told"
    program = FAMILY.replace("child =", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nchild =")

    async def scenario() -> None:
        running, pids = await start_family(program, told)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.wait_for(asyncio.to_thread(wait_for_end, pids[0]), 5)

    asyncio.run(scenario())


def test_a_child_that_keeps_the_output_open_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("musterroll.workers._process.LEFTOVER_SECONDS", 0.05)

    async def scenario() -> None:
        pid = await handler(LEFTOVER)(Task(kind="count"))
        await asyncio.wait_for(asyncio.to_thread(wait_for_end, pid), 5)

    asyncio.run(scenario())


def test_no_descriptor_is_left_behind() -> None:
    async def scenario() -> int:
        count = handler("print(1)")
        await count(Task(kind="count"))
        before = open_descriptors()
        for _ in range(5):
            await count(Task(kind="count"))
        return open_descriptors() - before

    assert asyncio.run(scenario()) == 0


def written_by(program: str) -> list[str]:
    """What a program says on its way, as the pieces in which it comes."""
    pieces: list[str] = []
    task = Task(kind="count", _write=lambda _, text: pieces.append(text))
    asyncio.run(handler(program)(task))
    return pieces


def test_what_it_writes_to_stderr_is_output_line_by_line() -> None:
    program = """
import sys, time
for piece in (b"one\\ntw", b"o\\n\\xc3", b"\\xa4\\xff\\r", b"10 %\\r20 %"):
    sys.stderr.buffer.write(piece); sys.stderr.buffer.flush(); time.sleep(0.05)
"""

    pieces = written_by(program)

    assert "".join(pieces) == "one\ntwo\nä\ufffd\r10 %\r20 %"
    assert all(piece.endswith(("\n", "\r")) for piece in pieces[:-1])


def test_a_line_without_end_is_not_kept_until_it_has_one() -> None:
    pieces = written_by("import sys; sys.stderr.write('x' * 100_000)")

    assert "".join(pieces) == "x" * 100_000
    assert len(pieces) > 1


def test_what_it_wrote_is_output_though_it_fails() -> None:
    pieces: list[str] = []
    task = Task(kind="count", _write=lambda _, text: pieces.append(text))
    program = "import sys; sys.exit('no such file')"

    with pytest.raises(TaskFailed, match="no such file"):
        asyncio.run(handler(program)(task))

    assert pieces == ["no such file\n"]
