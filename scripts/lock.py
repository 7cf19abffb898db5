"""Lock the newest versions that fit, with their hashes: `python3 scripts/lock.py`.

The locks hold for every platform and name no index: where packages come from is the installing
machine's business, and the hashes say whether they are the right ones.
"""

import subprocess
import sys
from pathlib import Path

from _bootstrap import LOCKS, ROOT, bring_uv, uv_environment

UV = "uv>=0.13.9"
OPTIONS = [
    *("--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade", "--quiet"),
    *("--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"),
    *("--no-emit-package", "musterroll"),  # ours, installed from interfaces/sdk
]


def compile_lock(name: str, *sources: str, text: str = "") -> Path:
    """Write one lock. Raises CalledProcessError when no versions fit."""
    lock = LOCKS / f"{name}.txt"
    words = [str(bring_uv()), "pip", "compile", *sources, *OPTIONS, "--output-file", str(lock)]
    subprocess.run(words, cwd=ROOT, env=uv_environment(), input=text, text=True, check=True)
    return lock


def places_named_in(lock: Path) -> list[str]:
    """The lines of a lock that name a place to get packages from; there should be none."""
    return [
        f"{lock.name}:{number}: {line}"
        for number, line in enumerate(lock.read_text().splitlines(), start=1)
        if "://" in line or "@" in line or line.startswith(("-", "/", "."))
    ]


if __name__ == "__main__":
    run = compile_lock("run", "pyproject.toml", "--group", "build")
    test = compile_lock(
        "test", "pyproject.toml", "--group", "build", "--group", "dev", "--constraint", str(run)
    )
    bench = compile_lock("bench", "--group", "pyproject.toml:bench", "--constraint", str(run))
    uv = compile_lock("uv", "-", text=UV)
    named = [place for lock in (run, test, bench, uv) for place in places_named_in(lock)]
    sys.exit("\n".join(["A lock names a place:", *named]) if named else 0)
