"""Show that nobody changes a sealed log unseen: `python3 scripts/tampering.py`.

Some minutes: 4,000 mutations of logs with everything that a column can hold, as one who may do
anything in the database can make them. Writes what came of it into
scripts/benchmarks/results/tampering.json, and exits with 1 when one was not found, or not named
where it is. `--mutations` and `--seed` choose others.
"""

import os
import sys

from _bootstrap import PYTHON, ROOT, ensure

if __name__ == "__main__":
    ensure("test")
    os.chdir(ROOT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "scripts")])}
    words = [str(PYTHON), "-m", "tests.faults.tampering", *sys.argv[1:]]
    os.execve(PYTHON, words, environment)
