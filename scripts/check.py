"""Check style, types and the dependency rule: `python3 scripts/check.py`.

Runs every check, also when one fails, and exits with 1 when any did.
"""

import subprocess
import sys
import time

from _bootstrap import ROOT, VENV, ensure

CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy --strict": ["mypy", "--strict"],
    "lint-imports": ["lint-imports"],
}


def passes(name: str, words: list[str]) -> bool:
    """Run one check and print its outcome, with everything it said when it failed."""
    began = time.monotonic()
    program = str(VENV / "bin" / words[0])
    done = subprocess.run(
        [program, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    passed = done.returncode == 0
    outcome = "passed" if passed else "FAILED"
    print(f"{name:<14} {outcome} in {time.monotonic() - began:.1f} s", flush=True)
    if not passed:
        print(done.stdout + done.stderr, flush=True)
    return passed


if __name__ == "__main__":
    ensure("test")
    outcomes = [passes(name, words) for name, words in CHECKS.items()]
    sys.exit(0 if all(outcomes) else 1)
