"""What a run took place on. Nothing in it tells whose machine it is, or where its files are."""

import importlib.metadata
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.environment import LOCK
from benchmarks.place import NOT_A_DISK, Place, file_system

PACKAGES = ("eventsourcing", "psycopg", "starlette", "uvicorn", "uvloop", "httptools", "orjson")
PEER_PACKAGES = (
    *("pgqueuer", "procrastinate", "dbos", "taskiq", "taskiq-redis", "restate-sdk", "asyncpg"),
    "socketify",
)
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")
ROOT = Path(__file__).parents[2]


def describe(place: Place) -> dict[str, Any]:
    """The machine, its software and the settings that matter."""
    disk = file_system(place.folder)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file_system": disk,
        "durable": disk not in NOT_A_DISK,
        "postgresql": _postgresql(place),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "peers": _locked(),
    }


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _postgresql(place: Place) -> dict[str, str]:
    with psycopg.connect(place.server.owner) as connection:
        names = ("server_version", *SETTINGS)
        rows = [
            connection.execute("SELECT current_setting(%s)", (name,)).fetchone() for name in names
        ]
    return {name: str(row[0]) for name, row in zip(names, rows, strict=True) if row}


def _locked() -> dict[str, str]:
    found = dict(
        re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    )
    return {name: found[name] for name in PEER_PACKAGES if name in found}


def _commit() -> str:
    """The commit that was measured, with a plus sign where the checkout holds changes."""
    git = ("git", "-C", str(ROOT))
    asked = [(*git, "rev-parse", "--short", "HEAD"), (*git, "status", "--porcelain", "-uno")]
    said = [
        subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
        for words in asked
    ]
    return said[0] + ("+" if said[1] else "")


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")
