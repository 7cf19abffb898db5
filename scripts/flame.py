"""Flame graphs of the hot paths: `python3 scripts/flame.py [submit|work|replay] [--folder FOLDER]`.

Starts all that it needs, prints where the time goes, and writes the graphs below `.tools/bench`.
Not named profile.py, which would hide the standard library's module from whatever imports cProfile.
"""

import os
import sys

from _bootstrap import PYTHON, ROOT, ensure
from benchmarks.environment import why_no_peers

if __name__ == "__main__":
    ensure("run")
    if missing := why_no_peers():
        sys.exit(f"flame: py-spy is not there: {missing}")
    os.chdir(ROOT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    words = [str(PYTHON), "-m", "benchmarks.flames", *sys.argv[1:]]
    os.execve(PYTHON, words, environment)
