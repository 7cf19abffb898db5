"""Measure this machine, the peers and us, side by side: `python3 scripts/bench.py`.

A quarter of an hour; `--quick` takes a minute and only shows that the bench works. Sets up first
where that is needed, the peers in an environment of their own. scripts/benchmarks/README.md tells
how each figure is made.
"""

import os
import sys

from _bootstrap import PYTHON, ROOT, ensure
from benchmarks.environment import why_no_peers

if __name__ == "__main__":
    ensure("run")
    arguments = sys.argv[1:]
    if missing := why_no_peers():
        arguments += ["--without-peers", missing]
    os.chdir(ROOT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    os.execve(PYTHON, [str(PYTHON), "-m", "benchmarks", *arguments], environment)
