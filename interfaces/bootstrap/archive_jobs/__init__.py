"""What the archivist can do: one module a kind of job, imported when it is asked for.

Each has `run(context, request, told) -> result`; request and result are as JSON has them. It raises
JobFailed or ControlPlaneError.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from application.archives.ports import Told
from interfaces.bootstrap.archive_jobs.context import JobContext

Job = Callable[[JobContext, dict[str, Any], Told], dict[str, Any]]


def _in_module(name: str) -> Job:
    def run(context: JobContext, request: dict[str, Any], told: Told) -> dict[str, Any]:
        job: Job = import_module(f"{__name__}.{name}").run
        return job(context, request, told)

    return run


JOBS: dict[str, Job] = {
    kind: _in_module(kind)
    for kind in (
        *("backup", "verify", "drill", "expire", "look", "made_of"),
        *("plan", "restore", "undo", "drop_former"),
    )
}
"""By the kind of job. `look` tells what lies in the repository, `made_of` which archives a
file is part of."""
