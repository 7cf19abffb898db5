"""Show Musterroll at work on real files: `python3 scripts/demo.py [arguments]`.

The arguments are those of `muster demo`. Sets up first where that is needed.
"""

import os
import sys

from _bootstrap import VENV, ensure

if __name__ == "__main__":
    ensure("run")
    muster = str(VENV / "bin" / "muster")
    os.execv(muster, [muster, "demo", *sys.argv[1:]])
