"""A worker that runs a program for each task: JSON in on stdin, JSON out on stdout."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import orjson

from musterroll._worker.results import RESULT_BYTES_MAX
from musterroll.task import Task, TaskFailed
from musterroll.worker import Worker
from musterroll.workers._common import WorkerOptions, parsed_output
from musterroll.workers._process import Finished, run_program

# What the program does may be decided by a task's input: it must not hold the worker's rights.
WITHHELD = frozenset(
    {
        "MUSTERROLL_ADMIN_PASSWORD",
        "MUSTERROLL_CLIENT_ID",
        "MUSTERROLL_CLIENT_SECRET",
        "MUSTERROLL_PASSWORD",
        "MUSTERROLL_TOKEN",
        "MUSTERROLL_USERNAME",
    }
)


def command_worker(
    url: str | None = None,
    *,
    name: str,
    kind: str,
    argv: Sequence[str],
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    **options: Unpack[WorkerOptions],
) -> Worker:
    """A worker that does each task of a kind by running `argv`, without a shell.

    The task's input goes to stdin as JSON; stdout, at most 256 KiB, is the result; stderr is the
    task's output, line by line. `env` is added to the environment, without the worker's
    credentials. On the time limit and on cancellation the program's process group gets SIGTERM,
    and SIGKILL 5 s later. Attempts fail with `exit_status` (retryable), `invalid_output`,
    `output_too_large` or `command_not_started`. Raises ValueError for an empty argv.
    """
    if not argv:
        raise ValueError("argv names no program")
    worker = Worker(url, name=name, **options)
    fixed = {key: value for key, value in os.environ.items() if key not in WITHHELD}

    async def run(task: Task) -> Any:
        try:
            finished = await run_program(
                argv,
                orjson.dumps(task.input),
                stdout_bytes_max=RESULT_BYTES_MAX,
                cwd=cwd,
                env={**fixed, **_about(task), **(env or {})},
                on_stderr=task.output,
            )
        except OSError as error:
            raise TaskFailed("command_not_started", f"{argv[0]}: {error}") from error
        return _result(argv[0], finished)

    worker.task(kind)(run)
    return worker


def _about(task: Task) -> dict[str, str]:
    return {
        "MUSTERROLL_TASK_ID": task.id,
        "MUSTERROLL_TASK_ATTEMPT": str(task.attempt),
        "MUSTERROLL_TASK_KIND": task.kind,
    }


def _result(program: str, finished: Finished) -> Any:
    if finished.stdout is None:
        message = f"{program} wrote more than {RESULT_BYTES_MAX} bytes to stdout"
        raise TaskFailed("output_too_large", message)
    if finished.status != 0:
        how = (
            f"exited with status {finished.status}"
            if finished.status > 0
            else f"was ended by signal {-finished.status}"
        )
        tail = finished.stderr_tail.decode("utf-8", "replace").strip()
        message = f"{program} {how}" + (f": {tail}" if tail else "")
        raise TaskFailed("exit_status", message, retryable=True)
    return parsed_output(finished.stdout)
