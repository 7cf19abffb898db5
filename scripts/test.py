"""Run every test: `python3 scripts/test.py [arguments of pytest]`, from the top of the checkout.

Sets up first where that is needed. Exits with pytest's code.
"""

import os
import sys

from _bootstrap import PYTHON, ROOT, ensure

#: Measured on two cores: four processes gain nothing.
PROCESSES = 2

if __name__ == "__main__":
    ensure("test")
    os.chdir(ROOT)
    python = str(PYTHON)
    os.execv(python, [python, "-m", "pytest", "-n", str(PROCESSES), *sys.argv[1:]])
