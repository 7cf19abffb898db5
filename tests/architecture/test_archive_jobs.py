"""A process that does a job on archives is started for each, and imports what that needs."""

import subprocess
import sys

FREQUENT = ("backup", "verify", "expire", "look", "made_of")
"""The other jobs fold read models, whose runner keeps a log."""
HEAVY = ("structlog", "rich", "starlette", "pydantic_settings", "boto3", "typer")


def test_a_frequent_job_imports_nothing_heavy_before_it_is_needed() -> None:
    modules = [f"interfaces.bootstrap.archive_jobs.{kind}" for kind in FREQUENT]
    program = (
        f"import sys, interfaces.bootstrap.archivist, {', '.join(modules)}\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []
