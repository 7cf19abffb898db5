"""A worker whose task waits for a file: run as `python -m tests.system.patient_worker NAME`.

The input is {"folder": path}. It leaves `began-<attempt>` there, and is done when `go` appears.
"""

import sys
import time
from pathlib import Path

from musterroll import Task, Worker

worker = Worker(name=sys.argv[1], capabilities=["wait"])


@worker.task("wait")
def wait(task: Task) -> dict[str, int]:
    folder = Path(task.input["folder"])
    (folder / f"began-{task.attempt}").touch()
    while not (folder / "go").exists() and not task.cancelled:
        time.sleep(0.02)
    return {"attempt": task.attempt}


worker.run()
