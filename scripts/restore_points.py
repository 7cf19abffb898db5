"""Restores to 200 positions of chance and compares each, bit for bit and digest for digest, with
what stood and was shown there: the long run of tests/interfaces/test_restore_points.py.

    python scripts/restore_points.py [POINTS]
"""

import os
import subprocess
import sys
from pathlib import Path

POINTS = 200


def main() -> int:
    """The exit code of the test run."""
    points = sys.argv[1] if len(sys.argv) > 1 else str(POINTS)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0"]
    return subprocess.run(
        [*command, "tests/interfaces/test_restore_points.py"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "MUSTERROLL_RESTORE_POINTS": points},
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
