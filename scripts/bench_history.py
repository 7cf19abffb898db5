"""Measure history: past moments, decisions, seals: `python3 scripts/bench_history.py [--quick]`.

About a quarter of an hour, on a million events. Sets up first where that is needed.
scripts/benchmarks/README.md tells how each figure is made.
"""

import os
import sys

from _bootstrap import PYTHON, ROOT, ensure

if __name__ == "__main__":
    ensure("run")
    os.chdir(ROOT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    words = [str(PYTHON), "-m", "benchmarks", "--history", *sys.argv[1:]]
    os.execve(PYTHON, words, environment)
