"""Show that no damaged archive is taken for a whole one: `python3 scripts/hostile_archives.py`.

Some minutes: every hostile archive by name, then every byte of a manifest and of a segment, in
clear and encrypted, flipped, and every length that they can be cut to. Writes what came of it into
scripts/benchmarks/results/hostile_archives.json, and exits with 1 when one was not found. `--seed`
chooses other bits.
"""

import os
import sys

from _bootstrap import PYTHON, ROOT, ensure

if __name__ == "__main__":
    ensure("test")
    os.chdir(ROOT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "scripts")])}
    words = [str(PYTHON), "-m", "tests.faults.damaged_archives", *sys.argv[1:]]
    os.execve(PYTHON, words, environment)
