"""Show that archives survive what happens to them: `python3 scripts/archive_faults.py`.

Some minutes: a kill, a torn write, a full disk and a broken one at every step of storing, replacing
and deleting files, of taking an archive and of letting archives go. Afterwards whatever is listed
has to be whole, and the next run has to go on. Writes what came of it into
scripts/benchmarks/results/archive_faults.json, and exits with 1 when anything was not so. `--s3`
does it over S3, `--restores` at every statement of a restore, of undoing one, and of a drill, whose
databases lie on a small disk. `--only`, `--share` and `--seed` choose; `--quick` tries a twentieth
and writes nothing there.
"""

import os
import sys

from _bootstrap import PYTHON, ROOT, ensure

if __name__ == "__main__":
    ensure("test")
    os.chdir(ROOT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "scripts")])}
    words = [str(PYTHON), "-m", "tests.faults.archive_faults", *sys.argv[1:]]
    os.execve(PYTHON, words, environment)
