"""Show that live events survive what happens to them: `python3 scripts/live_faults.py`.

Seven minutes: 1,000 cut connections and 50 kills of the service under load, then slow, stalled and
flapping clients beside healthy ones. Writes what came of it beside the figures of the bench, in
scripts/benchmarks/results/live_faults.json, and exits with 1 when anything was lost, doubled or out
of order, or a bound was not kept. `--quick` takes about one, and writes nothing there.
"""

import os
import sys

from _bootstrap import PYTHON, ROOT, ensure

if __name__ == "__main__":
    ensure("test")
    os.chdir(ROOT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "scripts")])}
    words = [str(PYTHON), "-m", "tests.system.live_faults", *sys.argv[1:]]
    os.execve(PYTHON, words, environment)
