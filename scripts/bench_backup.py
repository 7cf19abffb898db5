"""Measure backups: `python3 scripts/bench_backup.py [--quick]`, beside pg_dump and pg_restore.

Some five minutes, on a million events. Sets up first where that is needed; the figures go to
scripts/benchmarks/results/backup.json, of a quick run to the screen alone.
"""

import os
import sys

from _bootstrap import PYTHON, ROOT, ensure

if __name__ == "__main__":
    ensure("run")
    os.chdir(ROOT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    # No module of its own is the main one, which processes that verify would all import again.
    run = "from benchmarks.backup import main; main()"
    os.execve(PYTHON, [str(PYTHON), "-c", run, *sys.argv[1:]], environment)
