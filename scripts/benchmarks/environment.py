"""The peers' own environment, below the ignored folder. Standard library only."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from _bootstrap import LOCKS, TOOLS, bring_uv, uv_environment

FOLDER = TOOLS / "bench"
VENV = FOLDER / "venv"
PEERS_PYTHON = VENV / "bin" / "python"
LOCK = LOCKS / "bench.txt"
BUILT = "socketify"
"""The one peer without a wheel; to build it copies the library that it brings."""
STAMP = VENV / "musterroll-bench-made-from"


def why_no_peers() -> str | None:
    """Make the peers' environment where it is missing or out of date; None when it is there.

    Otherwise, in one line, why it cannot be had: the bench then goes on without them.
    """
    wanted = _fingerprint()
    if STAMP.is_file() and STAMP.read_text() == wanted and PEERS_PYTHON.exists():
        return None
    print("musterroll: installing the peers to compare with", file=sys.stderr, flush=True)
    try:
        _make()
    except subprocess.CalledProcessError as error:
        said = [line.strip() for line in str(error.stderr).splitlines() if line.strip()]
        return f"their packages cannot be installed: {(said or ['no reason given'])[-1]}"
    STAMP.write_text(wanted)
    return None


def _fingerprint() -> str:
    python = Path(sys.executable).resolve()
    return f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()} {python} {VENV}"


def _make() -> None:
    uv = str(bring_uv())
    python = getattr(sys, "_base_executable", sys.executable)
    _run(uv, "venv", "--clear", "--quiet", "--no-python-downloads", "--python", python, str(VENV))
    into = ["--python", str(PEERS_PYTHON), "--require-hashes", "--quiet"]
    names = re.findall(r"^([a-z0-9._-]+)==", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    into += [f"--only-binary={name}" for name in names if name != BUILT]
    _run(uv, "pip", "sync", str(LOCK), *into, "--no-build-isolation")


def _run(*words: str) -> None:
    subprocess.run(words, env=uv_environment(), capture_output=True, text=True, check=True)
